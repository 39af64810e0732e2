"""Redrive: a dead letter's record goes on the redrive topic as it came, with where it came from."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from processor.emit.route import Header
from processor.emit.topics import OUTAGES
from processor.errors import BusOutage
from processor.settings import Settings
from schemas.record import Record

ORIGINAL = "x-original-"
REDRIVEN = "x-redriven-"
RECORD_BYTES_MAX = 2 * 1024 * 1024
"""Above any record that the raw topics take."""

REQUEST_BYTES_MAX = 16 * 1024 * 1024
START_SECONDS_MAX = 15.0
STOP_SECONDS_MAX = 5.0


async def publish(settings: Settings, records: Sequence[Record]) -> None:
    """Put records on the redrive topic and wait until the bus has acknowledged each.

    Raises BusOutage with the number of those that were not acknowledged: they may be there all the
    same. To redrive a record twice does no harm, the second is a duplicate.
    """
    producer = AIOKafkaProducer(
        **settings.kafka.client_options(),
        enable_idempotence=True,
        max_batch_size=RECORD_BYTES_MAX,
        max_request_size=REQUEST_BYTES_MAX,
        request_timeout_ms=settings.kafka.request_timeout_ms,
    )
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            await producer.start()
        answers = await _send(producer, settings, records)
    except OUTAGES as error:
        raise BusOutage(f"nothing was redriven ({type(error).__name__})") from error
    finally:
        await _stop(producer)
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    if failed:
        raise BusOutage(
            f"{len(failed)} of {len(records)} records were not acknowledged "
            f"({type(failed[0]).__name__}): redrive them again"
        )


async def _send(
    producer: AIOKafkaProducer, settings: Settings, records: Sequence[Record]
) -> list[object]:
    """Send each record alone: the client's ``send`` refuses one without key and value."""
    topic = settings.topic(settings.topics.redrive)
    futures = []
    for record in records:
        batch = producer.create_batch()
        batch.append(
            timestamp=None,
            key=record.key,
            value=record.value,
            headers=redriven_headers(record, topic),
        )
        # Its own partition: the lane that had it, where the organization's other records are.
        futures.append(await producer.send_batch(batch, topic, partition=record.partition))
    return list(await asyncio.gather(*futures, return_exceptions=True))


def redriven_headers(record: Record, redrive_topic: str) -> list[Header]:
    """Return the record's headers and, behind them, where it first came from and where it was.

    A record that was rejected when it was redriven keeps its origin, that of the first; but the
    dead letter that is settled now is its own. Headers of these names that anybody else wrote say
    nothing: ours come last and count.
    """
    place = [
        ("topic", record.topic.encode()),
        ("partition", b"%d" % record.partition),
        ("offset", b"%d" % record.offset),
    ]
    headers = list(record.headers)
    if record.topic != redrive_topic:
        origin = [*place, ("timestamp", b"%d" % record.timestamp)]
        headers += [(ORIGINAL + name, value) for name, value in origin]
    return [*headers, *((REDRIVEN + name, value) for name, value in place)]


async def _stop(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS_MAX):
            await producer.stop()
    except OUTAGES:
        pass
