"""SIEM subscriptions: their rows, what is new for them, and the leases on their shards.

Positions here follow those that Kafka commits with the messages and never lead them; a forwarder
starts from the larger of the two.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from processor.store.pool import Database
from processor.store.rows import decode
from processor.store.sql import statements
from schemas.catalogue import FormatName
from schemas.entry import Entry
from schemas.subscription import Filter

_SQL = statements("subscriptions.sql")

SEQ_MAX = 2**63 - 1


class Replay(NamedTuple):
    """Entries that are wanted again: those above ``after``, up to ``through``."""

    id: UUID
    after: int
    through: int


class Subscription(NamedTuple):
    """A subscription as it stands; ``last_seq`` is the organization's newest entry.

    Every entry up to ``forwarded_through`` was considered for it, and its subscriber was told so up
    to ``told_through``.
    """

    org_id: str
    format: FormatName
    filter: Filter
    paused: bool
    last_seq: int
    forwarded_through: int
    told_through: int
    created_at: datetime
    delivered_at: datetime | None
    error: str | None
    error_at: datetime | None
    replay: Replay | None
    test_id: UUID | None


class Delivered(NamedTuple):
    """How far a subscription has come, and which of its orders are carried out."""

    org_id: str
    format: FormatName
    forwarded_through: int
    told_through: int
    sent: bool
    replay_done: UUID | None = None
    test_done: UUID | None = None


class Wanted(NamedTuple):
    """Entries of an organization above one number, up to another."""

    org_id: str
    after: int
    through: int = SEQ_MAX


class Gap(NamedTuple):
    """Numbers that no entry has any more, both ends included, and why."""

    first: int
    last: int
    reason: str


async def of_shard(db: Database, shard: int) -> list[Subscription]:
    """Return the subscriptions of a shard that are not paused."""
    async with db.connection() as connection:
        return [_subscription(row) for row in await connection.fetch(_SQL["of_shard"], shard)]


async def listed(db: Database, org_id: str | None = None) -> list[Subscription]:
    """Return the subscriptions of an organization, or of all."""
    async with db.connection() as connection:
        return [_subscription(row) for row in await connection.fetch(_SQL["listed"], org_id)]


async def states(db: Database) -> dict[str, int]:
    """Return how many subscriptions are active, paused and failing."""
    async with db.connection() as connection:
        return dict(await connection.fetchrow(_SQL["states"]))


async def entries_after(db: Database, wanted: Sequence[Wanted], limit: int) -> list[list[Entry]]:
    """Return for each of the wanted ranges its first entries by number, ``limit`` at most."""
    found: list[list[Entry]] = [[] for _ in wanted]
    places = list(range(len(wanted)))
    columns = [list(column) for column in zip(*wanted, strict=True)]
    async with db.connection() as connection:
        rows = await connection.fetch(_SQL["entries_after"], places, *columns, limit)
    for row in rows:
        found[row["place"]].append(decode(row))
    return found


async def gaps(db: Database, org_id: str, first: int, last: int) -> list[Gap]:
    """Return which numbers from ``first`` to ``last`` are known to be gone."""
    async with db.connection() as connection:
        return [Gap(*row) for row in await connection.fetch(_SQL["gaps"], org_id, first, last)]


async def note_delivered(db: Database, delivered: Iterable[Delivered]) -> None:
    """Write how far subscriptions have come, which also clears what was wrong with them."""
    columns = [list(column) for column in zip(*delivered, strict=True)]
    async with db.connection() as connection:
        await connection.execute(_SQL["delivered"], *columns)


async def note_failed(db: Database, org_id: str, name: str, error: str) -> None:
    """Write why a subscription cannot be served."""
    async with db.connection() as connection:
        await connection.execute(_SQL["failed"], org_id, name, error)


# --- orders ------------------------------------------------------------------------------------


async def create(db: Database, org_id: str, name: FormatName, hashed: int, wanted: Filter) -> bool:
    """Create a subscription that begins with the next entry; False when there is one already.

    ``hashed`` is a number of the organization's by which shards are chosen.
    """
    text = wanted.model_dump_json(exclude_defaults=True)
    async with db.connection() as connection:
        row = await connection.fetchrow(_SQL["create"], org_id, name, hashed, text)
    return row is not None


async def set_paused(db: Database, org_id: str, name: str, *, paused: bool) -> bool:
    """Stop a subscription, which keeps its place, or let it go on; False when there is none."""
    async with db.connection() as connection:
        return await connection.fetchval(_SQL["pause"], org_id, name, paused) is not None


async def order_replay(
    db: Database, org_id: str, name: str, after: int, through: int | None
) -> int | None:
    """Order entries again, those that were delivered already; returns up to which, or None."""
    async with db.connection() as connection:
        last: int | None = await connection.fetchval(_SQL["replay"], org_id, name, after, through)
    return last


async def seq_at(db: Database, org_id: str, instant: datetime) -> int:
    """Return the last number that was given out before an instant."""
    async with db.connection() as connection:
        seq: int = await connection.fetchval(_SQL["seq_at"], org_id, instant)
    return seq


async def order_test(db: Database, org_id: str, name: str) -> bool:
    """Order a test event; False when there is no such subscription."""
    async with db.connection() as connection:
        return await connection.fetchval(_SQL["test"], org_id, name) is not None


async def delete(db: Database, org_id: str, name: str) -> bool:
    """End a subscription; False when there was none."""
    async with db.connection() as connection:
        return await connection.fetchval(_SQL["delete"], org_id, name) is not None


# --- shards ------------------------------------------------------------------------------------


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


def _subscription(row: Mapping[str, Any]) -> Subscription:
    replay = None
    if row["replay_id"] is not None:
        replay = Replay(row["replay_id"], row["replay_after"], row["replay_through"])
    return Subscription(
        org_id=row["org_id"],
        format=row["format"],
        filter=Filter.model_validate(orjson.loads(row["filter"])),
        paused=row["paused"],
        last_seq=row["last_seq"],
        forwarded_through=row["forwarded_through"],
        told_through=row["told_through"],
        created_at=row["created_at"],
        delivered_at=row["delivered_at"],
        error=row["error"],
        error_at=row["error_at"],
        replay=replay,
        test_id=row["test_id"],
    )
