"""The group consumer: which lanes are ours, their records, and where each lane stands on the bus.

The client's own idea of a position is never used. Where a lane starts is decided by
``processor.lane`` from Postgres; until then its partitions are paused at a placeholder, so that
the client neither fetches nor acts on the group's offsets: it takes the broker's "coordinator is
loading" for "nothing committed" and would start at the beginning, or at the end.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from processor.client import STOP_SECONDS_MAX, stop_consumer
from processor.errors import BusOutage, LaneStopped, Outage
from processor.ingest.unpack import Drained, noting
from processor.settings import Settings
from schemas.record import Record

log = logging.getLogger(__name__)

FETCH_BYTES_MAX = 4 * 1024 * 1024
"""Of one answer of a broker: unpacking it takes some 15 ms, which heartbeats can wait for."""

PARTITION_FETCH_BYTES_MAX = 2 * 1024 * 1024
"""Above the raw topics' ``max.message.bytes``, so that no record is ever passed over."""

POLL_MILLISECONDS = 200
ASK_SECONDS_MAX = 10.0
LOADING_SECONDS_MAX = 30.0
"""What a group's coordinator may need after a broker's restart."""

RETRY_SECONDS = 0.1

REBALANCE_MILLISECONDS_MIN = 8_000
"""What a member gets to give its lanes back before the group goes on without it.

Its running batches may take 2 s, and ending their producers as long again. The client's own default
is the session's time-out: with one of 2 s a busy group of three turned each other out for a minute.
"""

PLACEHOLDER = 0

OUTAGES = (KafkaError, OSError, TimeoutError)

LanesListener: TypeAlias = Callable[[frozenset[int]], Awaitable[None]]
TroubleListener: TypeAlias = Callable[[int, Outage | LaneStopped], None]


class Committed(NamedTuple):
    """What the group has committed for a partition: the offset and the lane's batch number."""

    offset: int
    batch: int | None


class Extent(NamedTuple):
    """Where a partition's log begins and where its committed part ends (exclusive)."""

    begin: int
    end: int


class Fetched(NamedTuple):
    """Consecutive records of one partition."""

    topic: str
    lane: int
    records: Sequence[Record]


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc] # the client is not typed
    """A member of the consumer group over all raw topics; partition p of each is lane p."""

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[str],
        *,
        on_assigned: LanesListener,
        on_revoked: LanesListener,
        on_trouble: TroubleListener,
    ) -> None:
        """Prepare a member for ``topics`` (names as on Kafka).

        ``on_assigned`` gets the lanes that are ours in full, paused; it must return at once.
        ``on_revoked`` gets the lanes we lose and returns when they are released.
        ``on_trouble`` gets a lane that cannot be read on, and why: an outage where taking it over
        again may help, a stop where what lies ahead cannot be unpacked.
        """
        self._settings = settings
        self._topics = tuple(topics)
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._on_trouble = on_trouble
        self._lanes: frozenset[int] = frozenset()
        self._read: dict[TopicPartition, int] = {}
        self.joined = False
        self._poll_error = ""
        self._admin: AIOKafkaAdminClient | None = None
        self._admin_lock = asyncio.Lock()
        kafka = settings.kafka
        rebalance_ms = max(kafka.session_timeout_ms, REBALANCE_MILLISECONDS_MIN)
        self._consumer = AIOKafkaConsumer(
            **kafka.client_options(),
            group_id=settings.group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=kafka.session_timeout_ms,
            heartbeat_interval_ms=kafka.heartbeat_interval_ms,
            rebalance_timeout_ms=rebalance_ms,
            request_timeout_ms=max(kafka.request_timeout_ms, rebalance_ms + 5_000),
            fetch_max_bytes=FETCH_BYTES_MAX,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES_MAX,
        )
        # A question on the connection that fetches waits behind a fetch, for half a second.
        self._asking = AIOKafkaConsumer(
            **kafka.client_options(),
            enable_auto_commit=False,
            isolation_level="read_committed",
            request_timeout_ms=kafka.request_timeout_ms,
        )

    async def start(self) -> None:
        """Connect and join the group; raises BusOutage when the bus does not answer."""
        try:
            async with asyncio.timeout(ASK_SECONDS_MAX):
                await self._consumer.start()
                await self._asking.start()
        except OUTAGES as error:
            raise BusOutage(f"consumer does not start: {error!r}") from error
        self._consumer.subscribe(list(self._topics), listener=self)

    async def stop(self) -> None:
        """Leave the group, in bounded time."""
        for consumer in (self._consumer, self._asking):
            await stop_consumer(consumer)
        try:
            async with asyncio.timeout(STOP_SECONDS_MAX):
                await self._drop_admin()
        except OUTAGES as error:
            log.warning("consumer_stop_failed", extra={"error": repr(error)})

    async def poll(self) -> list[Fetched]:
        """Return what has arrived on lanes that are not paused, waiting a moment for it."""
        try:
            with noting() as drained:
                arrived = await self._consumer.getmany(timeout_ms=POLL_MILLISECONDS)
        except NoOffsetForPartitionError:
            return []  # struck between assignment and our seek; the placeholder answers it
        except OffsetOutOfRangeError as error:
            for partition in dict(error.args[0]):
                self._on_trouble(
                    partition.partition, Outage("the broker does not have the lane's position")
                )
            return []
        except ConsumerStoppedError:
            return []
        except KafkaError as error:
            await self._poll_failed(repr(error))
            return []
        self._poll_error = ""
        for note in drained:
            self._look_at(note)
        return [Fetched(at.topic, at.partition, records) for at, records in arrived.items()]

    def _look_at(self, drained: Drained) -> None:
        """See that a partition was read on where it had been read to, and whether it can be.

        Transactions leave holes within what is drained and never between: there it was lost.
        """
        (topic, lane), since, through, behind, error = drained
        expected = self._read.get(drained.partition, since)
        self._read[drained.partition] = through
        if since != expected:
            self._on_trouble(lane, Outage(f"{topic} was read on at {since} and not at {expected}"))
        elif error is not None:
            self.pause(lane)
            self._on_trouble(
                lane,
                LaneStopped(
                    f"lane {lane}: {topic}/{lane} cannot be read at offset {through}: {error!r}. "
                    f"It is tried again; to give it up, delete records before offset {behind}"
                ),
            )

    async def _poll_failed(self, error: str) -> None:
        """Say once what keeps the bus from answering, and do not ask in a tight loop."""
        if error != self._poll_error:
            log.warning("poll_failed", extra={"error": error})
        self._poll_error = error
        await asyncio.sleep(RETRY_SECONDS)

    def pause(self, lane: int) -> None:
        """Stop fetching for ``lane``; without effect on a lane that is not ours."""
        self._consumer.pause(*self._ours(lane))

    def resume(self, lane: int) -> None:
        """Go on fetching for ``lane``."""
        self._consumer.resume(*self._ours(lane))

    def seek(self, lane: int, positions: Mapping[str, int]) -> None:
        """Set the next offset of each topic of ``lane``; what was fetched before is thrown away."""
        for partition in self._ours(lane):
            self._consumer.seek(partition, positions[partition.topic])
            self._read[partition] = positions[partition.topic]

    async def position(self, lane: int, topic: str) -> int | None:
        """Return the offset of the next record to come, None when the lane is not ours."""
        try:
            return int(await self._consumer.position(TopicPartition(topic, lane)))
        except IllegalStateError:
            return None

    async def ends(self) -> dict[int, dict[str, int]]:
        """Return the last stable offset of every partition that is ours, by lane and topic."""
        partitions = [at for lane in self._lanes for at in self._ours(lane)]
        ends: dict[int, dict[str, int]] = {}
        if partitions:
            offsets = await self._ask(self._asking.end_offsets(partitions))
            for partition, end in offsets.items():
                ends.setdefault(partition.partition, {})[partition.topic] = end
        return ends

    async def extents(self, lane: int) -> dict[str, Extent]:
        """Return where the log of each topic of ``lane`` begins and ends."""
        partitions = [TopicPartition(topic, lane) for topic in self._topics]
        begins = await self._ask(self._asking.beginning_offsets(partitions))
        ends = await self._ask(self._asking.end_offsets(partitions))
        return {at.topic: Extent(begins[at], ends[at]) for at in partitions}

    async def committed(self, lane: int) -> dict[str, Committed | None]:
        """Return what the group has committed for each topic of ``lane``; None is a sure nothing.

        A partition that is missing from the broker's answer was not answered (the coordinator is
        loading, or moved): it is asked for again, and BusOutage is raised when that does not help.
        """
        partitions = [TopicPartition(topic, lane) for topic in self._topics]
        try:
            async with asyncio.timeout(LOADING_SECONDS_MAX):
                while True:
                    answer = await self._group_offsets(partitions)
                    if all(partition in answer for partition in partitions):
                        return {at.topic: _committed(answer[at]) for at in partitions}
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError as error:
            raise BusOutage("the group's coordinator does not answer for its offsets") from error

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Release the lanes we lose; the group goes on when this returns."""
        lanes = frozenset(partition.partition for partition in revoked)
        self._lanes = frozenset()
        if lanes:
            await self._on_revoked(lanes)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Hold what is ours in place, before anything can be fetched, and hand the lanes over."""
        partitions = set(assigned)
        for partition in partitions:
            self._consumer.pause(partition)
            self._consumer.seek(partition, PLACEHOLDER)
        self.joined = True
        lanes = {partition.partition for partition in partitions}
        partial = {
            lane
            for lane in lanes
            if any(TopicPartition(topic, lane) not in partitions for topic in self._topics)
        }
        if partial:
            log.error("lanes_lack_topics", extra={"lanes": sorted(partial)})
        self._lanes = frozenset(lanes - partial)
        await self._on_assigned(self._lanes)

    def _ours(self, lane: int) -> list[TopicPartition]:
        assigned = self._consumer.assignment()
        return [
            partition
            for topic in self._topics
            if (partition := TopicPartition(topic, lane)) in assigned
        ]

    async def _ask(
        self, question: Awaitable[dict[TopicPartition, int]]
    ) -> dict[TopicPartition, int]:
        try:
            async with asyncio.timeout(ASK_SECONDS_MAX):
                return await question
        except OUTAGES as error:
            raise BusOutage(f"offsets were not answered: {error!r}") from error

    async def _group_offsets(
        self, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, str]]:
        async with self._admin_lock:
            try:
                async with asyncio.timeout(ASK_SECONDS_MAX):
                    admin = await self._connected_admin()
                    return dict(
                        await admin.list_consumer_group_offsets(
                            self._settings.group, partitions=partitions
                        )
                    )
            except OUTAGES as error:
                await self._drop_admin()
                log.info("group_offsets_not_answered", extra={"error": repr(error)})
                return {}

    async def _connected_admin(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            admin = AIOKafkaAdminClient(**self._settings.kafka.client_options())
            await admin.start()
            self._admin = admin
        return self._admin

    async def _drop_admin(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()


def _committed(answer: tuple[int, str]) -> Committed | None:
    offset, metadata = answer
    if offset < 0:
        return None
    key, _, number = metadata.partition("=")
    return Committed(offset, int(number) if key == "batch" and number.isdecimal() else None)
