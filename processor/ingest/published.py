"""What the canonical topics hold: the highest number of each organization, for ``recover``."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from processor.client import stop_consumer
from processor.errors import BusOutage
from processor.ingest.consumer import OUTAGES
from processor.settings import Settings
from schemas.catalogue import CANONICAL_TOPICS, OWN_TOPICS

POLL_MILLISECONDS = 500
ANSWER_SECONDS_MAX = 30.0
"""Without a single record for so long, the bus is away or a transaction does not end."""

TAIL_OFFSETS = 10_000
"""So many at the end of every partition are read whatever their time: a clock may be wrong."""

Progress = Callable[[int, int], None]
Span = tuple[int, int]
"""The first offset to be read, and the first that is not."""


async def heads(
    settings: Settings, *, since_ms: int | None = None, progress: Progress | None = None
) -> dict[str, int]:
    """Return the highest ``ce_orgseq`` of each organization on the canonical topics.

    ``since_ms`` leaves out what was published before it, by the publishers' clocks, except at the
    end of each partition; ``progress`` is told how many offsets are done, and of how many.
    """
    consumer = AIOKafkaConsumer(
        **settings.kafka.client_options(),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",  # where retention is faster than we are
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            spans = await _spans(settings, since_ms)
            if not spans:
                return {}
            await consumer.start()
        consumer.assign(list(spans))
        for place, (first, _) in spans.items():
            consumer.seek(place, first)
        return await _read(consumer, spans, progress)
    except OUTAGES as error:
        servers = settings.kafka.bootstrap_servers
        raise BusOutage(f"Kafka at {servers} does not answer ({type(error).__name__})") from error
    finally:
        await stop_consumer(consumer)


async def _spans(settings: Settings, since_ms: int | None) -> dict[TopicPartition, Span]:
    """Return what is to be read of those canonical partitions that have something to be read.

    What an open transaction holds back belongs to it: behind that may stand what is committed.
    """
    names = [settings.topic(name) for name in (*CANONICAL_TOPICS, *OWN_TOPICS)]
    places = [TopicPartition(name, lane) for name in names for lane in range(settings.lanes)]
    consumer = AIOKafkaConsumer(
        **settings.kafka.client_options(), isolation_level="read_uncommitted"
    )
    try:
        await consumer.start()
        ends = await consumer.end_offsets(places)
        begins = await consumer.beginning_offsets(places)
        firsts = begins
        if since_ms is not None:
            later = await consumer.offsets_for_times(dict.fromkeys(places, max(0, since_ms)))
            firsts = {at: later[at].offset if later.get(at) else ends[at] for at in places}
    finally:
        await stop_consumer(consumer)
    spans = {
        at: (max(begins[at], min(firsts[at], ends[at] - TAIL_OFFSETS)), ends[at]) for at in places
    }
    return {at: span for at, span in spans.items() if span[0] < span[1]}


async def _read(
    consumer: AIOKafkaConsumer, spans: Mapping[TopicPartition, Span], progress: Progress | None
) -> dict[str, int]:
    """Read every span to its end, waiting for the transactions that are open in it."""
    found: dict[str, int] = {}
    clock = asyncio.get_running_loop().time
    heard_at = clock()
    total = left = sum(end - first for first, end in spans.values())
    while left:
        arrived = await consumer.getmany(timeout_ms=POLL_MILLISECONDS)
        for records in arrived.values():
            _note(records, found)
        missing = {at: end - await consumer.position(at) for at, (_, end) in spans.items()}
        behind, left = left, sum(count for count in missing.values() if count > 0)
        if arrived or left != behind:
            heard_at = clock()
        if clock() - heard_at > ANSWER_SECONDS_MAX:
            at = max(missing, key=lambda place: missing[place])
            raise BusOutage(
                f"{at.topic}/{at.partition} is not read to its end, {missing[at]} offsets are left:"
                " the bus does not answer, or a transaction there does not end"
            )
        if progress:
            progress(total - left, total)
    return found


def _note(records: Sequence[ConsumerRecord[bytes, bytes]], found: dict[str, int]) -> None:
    for record in records:
        headers = dict(record.headers)
        org_id, seq = headers.get("ce_orgid", b"").decode(), int(headers.get("ce_orgseq", b"0"))
        if seq > found.get(org_id, 0):
            found[org_id] = seq
