"""The leases on the shards of subscriptions: which forwarder serves which."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from processor.store.pool import Database
from processor.store.sql import statements

_SQL = statements("subscriptions.sql")


class Leases:
    """The shards that a forwarder holds for as long as it renews; the clock is the database's."""

    def __init__(self, db: Database, instance: UUID, lease_seconds: float) -> None:
        """Prepare the leases of one forwarder; ``refresh`` takes them."""
        self._db = db
        self._instance = instance
        self._lease = timedelta(seconds=lease_seconds)

    async def refresh(self) -> frozenset[int]:
        """Renew what is ours, give up or take what makes our share, and return what we hold.

        Forwarders that are there share the shards evenly, to the next whole number.
        """
        async with self._db.transaction() as connection:
            await connection.execute(_SQL["register"], self._instance)
            alive = await connection.fetchrow(_SQL["alive"], self._lease)
            share = -(-alive["shards"] // max(1, alive["forwarders"]))
            held = await connection.fetch(_SQL["renew"], self._instance, self._lease, share)
            shards = {row["shard"] for row in held}
            if len(shards) < share:
                room = share - len(shards)
                taken = await connection.fetch(_SQL["claim"], self._instance, self._lease, room)
                shards |= {row["shard"] for row in taken}
        return frozenset(shards)

    async def release(self, shards: Iterable[int]) -> None:
        """Give shards back without waiting for their lease to end."""
        async with self._db.connection() as connection:
            await connection.execute(_SQL["release"], self._instance, list(shards))

    async def leave(self) -> None:
        """Give everything back, and be counted no more."""
        async with self._db.connection() as connection:
            await connection.execute(_SQL["unregister"], self._instance)
