"""``hub-audit forward``: one of any number of forwarders that share the shards evenly."""

import asyncio
import logging
from collections.abc import Iterable
from importlib.metadata import version
from uuid import UUID, uuid4  # noqa: TID251 - names a process, not an entry

from processor import metrics
from processor.errors import DatabaseOutage
from processor.forward.shard import Shard
from processor.health import serve
from processor.normalize import NORMALIZER
from processor.settings import Settings
from processor.store import subscriptions
from processor.store.books import ours
from processor.store.leases import Leases
from processor.store.pool import FORWARDER, Database

log = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 3
STOP_SECONDS = 5.0


class Forwarder:
    """Holds a share of the shards and runs them."""

    def __init__(self, settings: Settings, db: Database, instance: UUID) -> None:
        """Prepare a forwarder; ``run`` takes shards and forwards."""
        self._settings = settings
        self._db = db
        self._leases = Leases(db, instance, settings.forward.lease_seconds)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._renewed = False

    def readiness(self) -> tuple[bool, str]:
        """Tell whether the leases could be renewed the last time."""
        if not self._renewed:
            return False, "the shards' leases are not renewed: is the database away?"
        return True, f"{len(self._tasks)} shards are forwarded"

    async def run(self, stop: asyncio.Event) -> None:
        """Forward until ``stop`` is set, then give the shards back."""
        stopping = asyncio.create_task(stop.wait())
        lease = self._settings.forward.lease_seconds
        # However long a lease is, a forwarder is seen as often as those who look for one expect.
        pause = min(lease, subscriptions.FORWARDING_SECONDS) / RENEWALS_PER_LEASE
        try:
            while not stopping.done():
                await self._share()
                await asyncio.wait({stopping, *self._tasks.values()}, timeout=pause)
                self._look_at_ended()
        finally:
            stopping.cancel()
            await self._drop(list(self._tasks))
            await self._leave()

    async def _share(self) -> None:
        """Hold what is our share, and run exactly that."""
        try:
            held = await self._leases.refresh()
        except DatabaseOutage as error:
            # The shards go on as they can; should a lease end meanwhile, its next holder fences us.
            if self._renewed:
                log.warning("leases_not_renewed", extra={"error": str(error)})
            self._renewed = False
            return
        self._renewed = True
        metrics.forwarder_seen(len(held), await self._states())
        lost = self._tasks.keys() - held
        if lost:
            await self._drop(lost)
            await self._release(lost)
        for shard in sorted(held - self._tasks.keys()):
            log.info("shard_taken", extra={"shard": shard})
            metrics.shard_taken(shard)
            running = Shard(self._settings, self._db, shard).run()
            self._tasks[shard] = asyncio.create_task(running, name=f"shard-{shard}")

    async def _release(self, shards: Iterable[int]) -> None:
        """Give shards back; those that cannot be are free when their leases end."""
        try:
            await self._leases.release(shards)
        except DatabaseOutage as error:
            log.info("leases_left_to_end", extra={"error": str(error)})

    async def _drop(self, shards: Iterable[int]) -> None:
        """End shards; what they were just sending is left to the transaction."""
        tasks = []
        for shard in list(shards):
            tasks.append(self._tasks.pop(shard))
            metrics.shard_released(shard)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)

    def _look_at_ended(self) -> None:
        """Forget shards that were lost; a crashed one raises here what crashed it."""
        for shard, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[shard]
                metrics.shard_released(shard)
                if task.cancelled():
                    raise RuntimeError(f"shard {shard} was cancelled, which nobody asked for")
                task.result()

    async def _states(self) -> dict[str, int]:
        """Return how many subscriptions there are, by state; nothing while that is not known."""
        try:
            return await subscriptions.states(self._db)
        except DatabaseOutage:
            return {}

    async def _leave(self) -> None:
        try:
            await self._leases.leave()
        except DatabaseOutage as error:
            log.info("leases_left_to_end", extra={"error": str(error)})


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run a forwarder until ``stop`` is set."""
    async with ours(
        settings,
        role=FORWARDER,
        connections=settings.postgres.connections,
        statement_timeout_seconds=settings.postgres.statement_timeout_seconds,
    ) as db:
        forwarder = Forwarder(settings, db, uuid4())
        metrics.started("forward", version("hub-audit"), NORMALIZER)
        metrics.watch_connections(db.occupation)
        async with serve(settings.http, forwarder.readiness):
            await forwarder.run(stop)
