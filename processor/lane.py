"""The protocol around the path: take a lane over, settle, batch by batch, reset on any doubt.

A lane is partition p of every raw topic, and one worker's at a time. Where it stands is written
twice, on purpose: in Postgres (the lane's batch number and next offsets, in the transaction that
stores a batch) and on Kafka (the same number as metadata of the committed offsets, in the
transaction that emits it). One batch is in flight at most, so after any crash the two numbers are
equal, and everything is emitted, or one apart, and exactly that batch is not.
"""

import asyncio
import logging
import random
from collections.abc import Iterable
from enum import StrEnum

from processor import metrics
from processor.emit.producer import LaneProducer
from processor.emit.route import Outgoing, redelivered
from processor.errors import DatabaseOutage, Doubt, Fenced, LaneStopped, Outage
from processor.ingest.consumer import Committed, Consumer, Fetched
from processor.ingest.group import AGREED_SECONDS
from processor.ingest.intake import Intake
from processor.left_behind import LeftBehind
from processor.pipeline import Holding, Pipeline
from processor.progress import Ends, Progress
from processor.settings import Settings
from processor.store import lanes as store
from processor.store.lanes import LaneState
from processor.store.pool import Database
from schemas.record import Record

log = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
GATHER_SECONDS_MAX = 0.25
"""A small batch gathers for as long as the last one took: where transactions are dear, because
the machine or the broker is busy, they get fewer and larger instead of queueing up."""

BACKOFF_SECONDS_MIN = 0.2
BACKOFF_SECONDS_MAX = 5.0
DOUBLINGS_MAX = 10
"""An outage of hours is a thousand failures: no float holds as many doublings."""

FENCED_SECONDS = 1.0
"""Long enough for the group to tell a worker that woke from a freeze that the lane is lost."""

STOPPED_SECONDS = 15.0
"""How often a stopped lane looks whether an operator has acted."""

NUMBER_SECONDS, NUMBER_SECONDS_MAX = 0.25, 10.0
"""How often, and for how long, a number is asked for again that has to be there."""


class Phase(StrEnum):
    """What a lane is doing."""

    TAKING_OVER = "taking_over"
    FLOWING = "flowing"
    WAITING = "waiting"
    STOPPED = "stopped"


class Lane:
    """One lane of this worker, from its assignment to its release."""

    def __init__(
        self,
        settings: Settings,
        consumer: Consumer,
        db: Database,
        pipeline: Pipeline,
        producer: LaneProducer,
    ) -> None:
        """Prepare the producer's lane; nothing happens before ``run``."""
        self.lane = producer.lane
        self.phase = Phase.TAKING_OVER
        self.trouble = Trouble()
        self._settings = settings
        self._consumer = consumer
        self._db = db
        self._pipeline = pipeline
        self._producer = producer
        self._intake = self._new_intake()
        self._holding = Holding(self.lane, 0, {})
        self._busy = False
        self._backed_up = False
        self._ahead: Outage | LaneStopped | None = None
        self.progress = Progress()
        self._released = asyncio.Event()

    async def run(self) -> None:
        """Hold the lane until it is released or the task is cancelled; nothing is left open."""
        try:
            while not self._released.is_set():
                try:
                    await self._take_over()
                    await self._flow()
                except Fenced as error:
                    pause = self._reset("fenced", error, FENCED_SECONDS)
                except LaneStopped as error:
                    pause = self._stop(error)
                except Outage as error:
                    pause = self._reset(_cause(error), error, self.trouble.backoff_seconds())
                else:
                    continue
                await self._wait(pause)
        finally:
            self._intake.close()
            await self._producer.abandon()

    def offer(self, fetched: Fetched) -> None:
        """Take in what was fetched; while the lane is not flowing it is thrown away."""
        if self.phase is not Phase.FLOWING or not fetched.records:
            return
        self._intake.offer(fetched.records)
        if self._intake.full and not self._backed_up:
            self._backed_up = True
            self._consumer.pause(self.lane)

    def cannot_be_read(self, trouble: Outage | LaneStopped) -> None:
        """Note why nothing more comes; an outage is met at once, a stop behind what has come."""
        if self._ahead is None or isinstance(trouble, Outage):
            self._ahead = trouble

    @property
    def state(self) -> str:
        """What the lane does, in a word: as in its metric."""
        if self.phase is Phase.FLOWING and self.trouble.cause != "stopped":
            return "flowing"
        return self.trouble.cause or "taking_over"

    def starving(self) -> bool:
        """Whether the lane is ready, has nothing to work on, and the bus holds more."""
        return self.phase is Phase.FLOWING and not self._busy and self.progress.lag_records() > 0

    def release(self) -> None:
        """Let the running batch finish and end ``run``; what waits is left to the next owner."""
        self._released.set()
        self._intake.close()

    # --- take over -------------------------------------------------------------------------

    async def _take_over(self) -> None:
        """Make the lane ours: fence whoever had it, settle what was left, find the positions."""
        with metrics.timed_take_over():
            self.phase = Phase.TAKING_OVER
            self._consumer.pause(self.lane)
            await self._producer.start()
            state = await store.take_over(self._db, self.lane)
            published = await self._settle(state)
            # Asked before the books are opened: a store that loses its last commits may lose that.
            is_new = published is None and state.batch == 0 and await self._is_new(state)
            positions = await self._find_positions(state)
            if is_new:
                await self._producer.publish((), positions, 0)
        self._holding = Holding(self.lane, state.epoch, positions, state.batch)
        self.progress.moved(positions)
        self._intake = self._new_intake()
        self._backed_up, self._ahead = False, None
        self.phase = Phase.FLOWING
        self._consumer.seek(self.lane, positions)
        self._consumer.resume(self.lane)
        log.info("lane_taken_over", extra={"lane": self.lane, "epoch": state.epoch})

    async def _settle(self, state: LaneState) -> int | None:
        """Emit the lane's last batch if, and only if, it was stored and not emitted.

        Returns the number that was published before; None when Kafka knew of none. Number 0 is
        published when a lane is taken over for the first time, so that there is one from then on.
        """
        published = await self._number(state)
        if published == state.batch or (published is None and state.batch == 0):
            return published
        left = await LeftBehind.read(self._db, state.unemitted)
        # The number alone does not say that it is not out: a coordinator that reads its log again
        # after a broker's restart can answer meanwhile from a part of it, or from none.
        out = await self._is_out(left)
        least = state.batch if out else state.batch - 1
        published = await self._number_by_now(state, published, least)
        found = {"lane": self.lane, "batch": state.batch, "published": published}
        if out or published == state.batch:
            if published != state.batch:
                await self._publish(state, ())
            log.warning("batch_found_published", extra=found)
            return published
        redelivery = out is None and published != state.batch - 1
        records = left.outgoing()
        await self._publish(state, map(redelivered, records) if redelivery else records)
        metrics.settled(redelivery=redelivery)
        found |= {"entries": len(left.entries), "dead_letters": len(left.dead_letters)}
        log.warning("batch_settled", extra={**found, "redelivery": redelivery})
        return published

    async def _number(self, state: LaneState) -> int | None:
        """Return the number of the last batch that is published, as far as Kafka knows of one."""
        published = _batch_number((await self._consumer.committed(self.lane)).values())
        if published is not None and published > state.batch:
            raise LaneStopped(
                f"lane {self.lane}: Kafka has batch {published} and the database only batch "
                f"{state.batch}: the database lost commits (an old backup, a lossy failover). "
                "Restore it, or run `hub-audit recover` to go on from what is published"
            )
        return published

    async def _number_by_now(
        self, state: LaneState, published: int | None, least: int
    ) -> int | None:
        """Ask again while the number is too low to be all that Kafka has, until time is up.

        A batch and its number come in one transaction, and one batch at most is not out. So a lower
        number is one that somebody set, or it comes of a part of the group's log: the rest of that
        may say that the database lost commits, and what is published now would stand in its place.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + NUMBER_SECONDS_MAX
        while (published is None or published < least) and clock() < until:
            await asyncio.sleep(NUMBER_SECONDS)
            published = await self._number(state)
        return published

    async def _is_new(self, state: LaneState) -> bool:
        """Tell whether nothing was ever published of a lane of which nothing is stored.

        A lane that never had a record is new. Of any other the number is asked for once more.
        """
        extents = await self._consumer.extents(self.lane)
        if not any(extent.end for extent in extents.values()):
            return True
        await asyncio.sleep(AGREED_SECONDS)
        return await self._number(state) is None

    async def _is_out(self, left: LeftBehind) -> bool | None:
        """Look on its topic for one record of a batch.

        None when the bus has deleted what was published at that time, or does not let us read.
        """
        sample = left.sample()
        return False if sample is None else await self._producer.published(*sample)

    async def _publish(self, state: LaneState, records: Iterable[Outgoing]) -> None:
        """Publish records under the number and the offsets of the lane's last batch.

        The store keeps the books of topics that had another name, too; the bus may have none such,
        and the client would offer it their offsets again and again.
        """
        kept, topics = state.positions, self._settings.raw_topics
        offsets = {topic: kept[topic].stored_through for topic in topics if topic in kept}
        await self._producer.publish(records, offsets, state.batch)

    async def _find_positions(self, state: LaneState) -> dict[str, int]:
        """Return where to go on in each topic, from Postgres, checked against the log."""
        positions: dict[str, int] = {}
        for topic, extent in (await self._consumer.extents(self.lane)).items():
            known = state.positions.get(topic)
            if known is None:
                await store.start_partition(self._db, self.lane, state.epoch, topic, extent.begin)
                positions[topic] = extent.begin
                continue
            positions[topic] = known.stored_through
            if known.stored_through > extent.end:
                raise LaneStopped(
                    f"lane {self.lane}: {topic} ends at {extent.end} and is stored through "
                    f"{known.stored_through}: the topic was recreated or truncated. Run "
                    "`hub-audit recover` to go on with the part that is not stored"
                )
            if known.stored_through < extent.begin:
                await self._skip_gap(state.epoch, topic, known.stored_through, extent.begin)
                positions[topic] = extent.begin
        return positions

    async def _skip_gap(self, epoch: int, topic: str, first: int, end: int) -> None:
        """Record that the bus forgot offsets before they were stored, and go on behind them."""
        await store.record_source_gap(
            self._db, self.lane, epoch, topic, from_offset=first, to_offset=end
        )
        metrics.source_gap(end - first)
        log.error(
            "source_gap",
            extra={"lane": self.lane, "topic": topic, "from_offset": first, "to_offset": end},
        )

    # --- batch by batch --------------------------------------------------------------------

    async def _flow(self) -> None:
        """Take batches down the path until the lane is released."""
        clock = asyncio.get_running_loop().time
        configured = gather_seconds = self._settings.batch.gather_ms / 1000
        while not self._released.is_set():
            records = await self._intake.take(
                wait_seconds=IDLE_SECONDS, gather_seconds=gather_seconds
            )
            began = clock()
            if isinstance(self._ahead, Outage):
                raise self._ahead
            if records:
                await self._one_batch(records)
                gather_seconds = max(configured, min(clock() - began, GATHER_SECONDS_MAX))
            if not len(self._intake):
                if self._ahead:
                    raise self._ahead
                await self._note_caught_up()

    async def _one_batch(self, records: list[Record]) -> None:
        if self._backed_up and not self._intake.full:
            self._backed_up = False
            self._consumer.resume(self.lane)
        self._check_order(records)
        self._busy = True
        try:
            await self._producer.renew()  # before the store's fence: one that slept ends there
            self._holding = await self._pipeline.run(records, self._holding, self._producer)
        finally:
            self._busy = False
        self.progress.moved(self._holding.positions, records[-1].timestamp / 1000)
        if self._ahead is None:
            self.trouble.over(self.lane)

    def _check_order(self, records: list[Record]) -> None:
        """Refuse records below our position: they would be stored a second time."""
        nexts = dict(self._holding.positions)
        for record in records:
            if record.offset < nexts[record.topic]:
                raise Outage(f"{record.topic} went back to offset {record.offset}")
            nexts[record.topic] = record.offset + 1

    async def _note_caught_up(self) -> None:
        """Write, when it is so, that the lane is complete, and step over trailing markers."""
        ends, asked_at = self.progress.ends
        self.progress.ends = Ends(ends, 0.0)
        if not ends or not asked_at:
            return
        reached = {topic: await self._consumer.position(self.lane, topic) for topic in ends}
        if len(self._intake) or self._intake.closed:
            return  # a position counts what waits in the queue, and what was thrown out of it
        positions = {topic: at for topic, at in reached.items() if at is not None}
        if all(positions.get(topic, -1) >= end for topic, end in ends.items()):
            held = self._holding
            await store.caught_up(self._db, self.lane, held.epoch, positions, asked_at, held.batch)
            self._holding = held._replace(positions=positions)
            self.progress.moved(positions)
            self.trouble.over(self.lane)

    # --- resets ----------------------------------------------------------------------------

    def _reset(self, cause: str, error: Exception, pause_seconds: float) -> float:
        self.phase = Phase.WAITING
        self._intake.close()
        metrics.lane_reset(cause)
        self.trouble.met(self.lane, cause, error)
        return pause_seconds * random.uniform(0.75, 1.25)  # noqa: S311 - spreads retries, no secret

    def _stop(self, error: LaneStopped) -> float:
        self.phase = Phase.STOPPED
        self._intake.close()
        metrics.lane_reset("stopped")
        self.trouble.met(self.lane, "stopped", error)
        return STOPPED_SECONDS

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._released.wait()
        except TimeoutError:
            pass

    def _new_intake(self) -> Intake:
        batch = self._settings.batch
        return Intake(records_max=batch.records_max, bytes_max=batch.bytes_max)


class Trouble:
    """Says once that a lane is in trouble, and once that it is over."""

    def __init__(self) -> None:
        """Begin without trouble."""
        self.reason = ""
        self.cause = ""
        self._failures = 0

    def met(self, lane: int, cause: str, error: Exception) -> None:
        """Note a failure; only the first of a row is logged as more than a detail."""
        level = logging.DEBUG if self._failures else logging.WARNING
        if cause == "stopped" and self.reason != str(error):
            level = logging.ERROR
        self.reason, self.cause = str(error), cause
        self._failures += 1
        log.log(level, "lane_reset", extra={"lane": lane, "cause": cause, "error": str(error)})

    def over(self, lane: int) -> None:
        """Note that a batch passed, or that there is none to pass."""
        if self._failures:
            log.info("lane_recovered", extra={"lane": lane, "failures": self._failures})
        self.reason, self.cause, self._failures = "", "", 0

    def backoff_seconds(self) -> float:
        """Return how long to wait before the next attempt: doubling, bounded."""
        doubled = BACKOFF_SECONDS_MIN * 2.0 ** min(self._failures, DOUBLINGS_MAX)
        return min(doubled, BACKOFF_SECONDS_MAX)


def _cause(error: Outage) -> str:
    """Return what is away, or that an outcome is in doubt."""
    if isinstance(error, Doubt):
        return "doubt"
    return "database" if isinstance(error, DatabaseOutage) else "bus"


def _batch_number(committed: Iterable[Committed | None]) -> int | None:
    """Return the highest batch number among a lane's committed offsets."""
    return max((at.batch for at in committed if at and at.batch is not None), default=None)
