"""``hub-audit process``: one member of the group, holding its share of the lanes."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from typing import Any

from processor import metrics, tracing
from processor.emit.producer import LaneProducer
from processor.errors import LaneStopped, Outage
from processor.health import serve
from processor.ingest.consumer import Consumer
from processor.lane import Lane, Phase
from processor.normalize import NORMALIZER, Limits
from processor.pipeline import Pipeline
from processor.progress import Ends
from processor.settings import Settings
from processor.store.books import ours
from processor.store.partitions import ensure_window, oldest_day
from processor.store.pool import Database
from processor.store.survey import vitals

log = logging.getLogger(__name__)

RELEASE_SECONDS = 2.0
"""What a running batch gets to finish when its lane is wanted elsewhere."""

STOP_SECONDS = 6.0
"""The same when the worker is asked to end: nobody waits for it, and it is to leave nothing."""

HOUSEKEEPING_SECONDS = 2.0
LIMITS_SECONDS = 300.0
STUCK_SECONDS = 60.0
"""A lane that waits this long for records the bus says are there has a dead client."""


class Worker:
    """Feeds the lanes it is assigned, and gives them back in order."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        limits: Limits,
        *,
        consumer: Callable[..., Consumer] = Consumer,
        producer: Callable[[Settings, int], LaneProducer] = LaneProducer,
    ) -> None:
        """Prepare a worker; ``run`` joins the group.

        ``consumer`` and ``producer`` make its clients of the bus: the simulation has its own.
        """
        self._settings = settings
        self._db = db
        self._pipeline = Pipeline(settings, db, limits)
        self._new_producer = producer
        self._consumer = consumer(
            settings,
            settings.raw_topics,
            on_assigned=self._take,
            on_revoked=self._release,
            on_trouble=self._trouble,
        )
        self._lanes: dict[int, Lane] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()  # of lanes that are given back
        self._stopping = False
        self._crash: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        metrics.watch_lanes(
            settings.lanes, lambda: Counter(lane.state for lane in self._lanes.values())
        )

    def readiness(self) -> tuple[bool, str]:
        """Tell whether the group has spoken and every lane we hold flows; if not, why not.

        A stopped lane waits for people, whoever holds it: a deployment that waited for it could not
        bring the release, or the setting, by which it goes on.
        """
        if not self._consumer.joined:
            return False, "the group has not assigned lanes yet"
        stopped = ""
        for lane in self._lanes.values():
            if lane.state != Phase.FLOWING:
                said = f"lane {lane.lane} is {lane.state}: {lane.trouble.reason}"
                if lane.state != Phase.STOPPED:
                    return False, said
                stopped += f"; {said}"
        flow = sum(lane.state == Phase.FLOWING for lane in self._lanes.values())
        return True, f"{flow} lanes flow{stopped}"

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set, then finish the running batches and leave the group."""
        await self._consumer.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                feeding = tasks.create_task(self._feed(), name="feeding")
                keeping = tasks.create_task(self._keep_house(), name="keeping house")
                await self._until(stop, feeding, keeping)
                feeding.cancel()
                keeping.cancel()
        finally:
            self._stopping = True
            await self._release(frozenset(self._lanes), STOP_SECONDS)
            await self._consumer.stop()

    async def _until(self, stop: asyncio.Event, *working: asyncio.Task[None]) -> None:
        """Wait for ``stop``; a crashed lane raises here what crashed it.

        What works for ever and has ended without an error was cancelled, and nobody asked for it.
        """
        stopping = asyncio.ensure_future(stop.wait())
        waited: set[asyncio.Future[Any]] = {stopping, self._crash, *working}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self._crash.done():
            self._crash.result()
        for task in working:
            if task.done():
                raise _cancelled(task)

    async def _feed(self) -> None:
        """Carry records from the bus to their lanes, for ever."""
        while True:
            for fetched in await self._consumer.poll():
                lane = self._lanes.get(fetched.lane)
                if lane is not None:
                    lane.offer(fetched)

    async def _keep_house(self) -> None:
        """Measure lag, let idle lanes know that they are complete, renew the limits."""
        clock = asyncio.get_running_loop().time
        renewed = clock()
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            try:
                await self._note_ends()
                if clock() - renewed >= LIMITS_SECONDS:
                    self._pipeline.limits = await limits_of(self._settings, self._db)
                    metrics.store_seen(**(await vitals(self._db))._asdict())
                    renewed = clock()
            except Outage as error:
                log.debug("housekeeping_postponed", extra={"error": str(error)})

    async def _note_ends(self) -> None:
        asked_at = time.time()
        for number, by_topic in (await self._consumer.ends()).items():
            lane = self._lanes.get(number)
            if lane is not None:
                lane.progress.seen(Ends(by_topic, asked_at))
                self._watch(lane)

    def _watch(self, lane: Lane) -> None:
        progress = lane.progress
        metrics.lane_lag(lane.lane, progress.lag_records(), progress.lag_seconds())
        if lane.starving() and progress.still_seconds() > STUCK_SECONDS:
            raise RuntimeError(f"lane {lane.lane} gets no records although the bus has some")

    async def _take(self, lanes: frozenset[int]) -> None:
        """Begin to hold the lanes that the group gives us.

        Leaving it finishes a rebalance that is under way: nobody would give those lanes back.
        """
        if self._stopping:
            return
        metrics.rebalanced(lanes)
        log.info("lanes_assigned", extra={"lanes": sorted(lanes)})
        for number in sorted(lanes):
            producer = self._new_producer(self._settings, number)
            lane = Lane(self._settings, self._consumer, self._db, self._pipeline, producer)
            task = asyncio.create_task(lane.run(), name=f"lane-{number}")
            task.add_done_callback(self._ended)
            self._lanes[number], self._tasks[number] = lane, task

    async def _release(self, lanes: frozenset[int], seconds: float = RELEASE_SECONDS) -> None:
        """Give lanes back: their running batch gets a moment to finish, then it is cut off.

        Those that are being given back already are waited for as well: the end comes after them.
        """
        for task in [self._tasks.pop(number) for number in lanes if number in self._tasks]:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for number in lanes:
            lane = self._lanes.pop(number, None)
            if lane is not None:
                lane.release()
                metrics.lane_released(number)
        if tasks := set(self._ending):
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                if not task.cancelling():  # a second time would cut off how it ends
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _trouble(self, number: int, trouble: Outage | LaneStopped) -> None:
        lane = self._lanes.get(number)
        if lane is not None:
            lane.cannot_be_read(trouble)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Have ``run`` raise what crashed a lane; a lane that we hold does not end otherwise."""
        held = task in self._tasks.values()
        error = (_cancelled(task) if held else None) if task.cancelled() else task.exception()
        if error is not None and not self._crash.done():
            self._crash.set_exception(error)


def _cancelled(task: asyncio.Task[None]) -> RuntimeError:
    return RuntimeError(f"{task.get_name()} was cancelled, which nobody asked for")


async def limits_of(settings: Settings, db: Database) -> Limits:
    """Return what normalizing needs from outside, and see to it that the days it allows exist."""
    await ensure_window(db, settings.retention_days)
    return Limits(
        retention_ms=settings.retention_days * 86_400_000,
        oldest_day_ms=_begin_ms(await oldest_day(db)),
        families=settings.families,
    )


def _begin_ms(day: date | None) -> int:
    """Return the first millisecond of a day; without any day, of the year 1."""
    begin = datetime.combine(day or date.min, datetime.min.time(), UTC)
    return (begin - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run a worker until ``stop`` is set, in an environment that has been found fit to start in."""
    async with ours(
        settings,
        connections=settings.postgres.connections,
        statement_timeout_seconds=settings.postgres.statement_timeout_seconds,
    ) as db:
        try:
            tracing.begin(settings.tracing, "process", version("hub-audit"))
            worker = Worker(settings, db, await limits_of(settings, db))
            metrics.started("process", version("hub-audit"), NORMALIZER)
            metrics.kept(settings.retention_days)
            metrics.watch_connections(db.occupation)
            metrics.store_seen(**(await vitals(db))._asdict())
            async with serve(settings.http, worker.readiness):
                await worker.run(stop)
        finally:
            await asyncio.to_thread(tracing.end)
