"""What the canonical topics hold: the highest number of each organization, for ``recover``."""

import asyncio
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from processor.errors import BusOutage
from processor.ingest.consumer import OUTAGES
from processor.settings import Settings
from schemas.catalogue import CANONICAL_TOPICS, OWN_TOPICS

POLL_MILLISECONDS = 500
ANSWER_SECONDS_MAX = 30.0
"""Without a single record for so long, the bus is away."""

Progress = Callable[[int, int], None]


async def heads(
    settings: Settings, *, since_ms: int | None = None, progress: Progress | None = None
) -> dict[str, int]:
    """Return the highest ``ce_orgseq`` of each organization on the canonical topics.

    ``since_ms`` leaves out what was published before it; ``progress`` is told how many offsets are
    done, and of how many.
    """
    consumer = AIOKafkaConsumer(
        **settings.kafka.client_options(),
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await consumer.start()
            ends = await _assign(consumer, settings, since_ms)
        return await _read(consumer, ends, progress)
    except OUTAGES as error:
        servers = settings.kafka.bootstrap_servers
        raise BusOutage(f"Kafka at {servers} does not answer ({type(error).__name__})") from error
    finally:
        await consumer.stop()


async def _assign(
    consumer: AIOKafkaConsumer, settings: Settings, since_ms: int | None
) -> dict[TopicPartition, int]:
    """Stand at the beginning of what is to be read; return where it ends."""
    names = [settings.topic(name) for name in (*CANONICAL_TOPICS, *OWN_TOPICS)]
    places = [TopicPartition(name, lane) for name in names for lane in range(settings.lanes)]
    consumer.assign(places)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(places)
    begins = await consumer.beginning_offsets(places)
    if since_ms is not None:
        later = await consumer.offsets_for_times(dict.fromkeys(places, since_ms))
        begins = {at: later[at].offset if later.get(at) else ends[at] for at in places}
    for place in places:
        consumer.seek(place, begins[place])
    return ends


async def _read(
    consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int], progress: Progress | None
) -> dict[str, int]:
    found: dict[str, int] = {}
    clock = asyncio.get_running_loop().time
    heard_at = clock()
    total, left = None, 1
    while left:
        arrived = await consumer.getmany(timeout_ms=POLL_MILLISECONDS)
        for records in arrived.values():
            _note(records, found)
        behind = left
        left = sum([max(0, end - await consumer.position(at)) for at, end in ends.items()])
        total = left if total is None else max(total, left)
        if arrived or left != behind:
            heard_at = clock()
        if clock() - heard_at > ANSWER_SECONDS_MAX:
            raise TimeoutError
        if progress:
            progress(total - left, total)
    return found


def _note(records: Sequence[ConsumerRecord[bytes, bytes]], found: dict[str, int]) -> None:
    for record in records:
        headers = dict(record.headers)
        org_id, seq = headers.get("ce_orgid", b"").decode(), int(headers.get("ce_orgseq", b"0"))
        if seq > found.get(org_id, 0):
            found[org_id] = seq
