"""Whether a record that may have been published is on its topic: what says it for certain.

The group's offsets normally say as much, but a broker's restart can make their coordinator forget
them, or some of them, and answer all the same.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from processor.client import stop_consumer
from processor.emit.route import REDELIVERY_HEADER, Header, Outgoing, partition_of_key
from processor.emit.topics import OUTAGES
from processor.errors import BusOutage
from processor.settings import Settings
from schemas.record import Record

log = logging.getLogger(__name__)

NAMING = frozenset(
    {
        *("ce_id", "ce_orgseq", "dl_topic", "dl_partition", "dl_offset", "dl_timestamp"),
        *("hub_entry_id", "hub_seq", "hub_replay", "hub_test"),
    }
)
"""Headers that tell a canonical event, a dead letter or a SIEM's record from every other one.

An entry that is stored again after ``recover`` has its old identity and a new number: the copy from
before the loss is another event. Where a topic was created anew, coordinates come again.
"""

CLOCK_SLACK_MS = 60_000
"""A record is published after it was made, by clocks that differ by so much at most."""

TAIL_OFFSETS = 10_000
"""So many are looked at whatever their time: a clock may be wrong, and a lane's last batch is, but
for what other lanes put behind it, at the end."""

WINDOWS = (1_000, TAIL_OFFSETS, 100_000)
"""How many offsets before the end are read at first: what was published last is mostly there."""

POLL_MILLISECONDS = 500
ANSWER_SECONDS_MAX = 10.0
"""Without any progress for so long, it is not known."""


async def holds(
    settings: Settings,
    wanted: Outgoing,
    made_ms: int,
    client: Callable[..., AIOKafkaConsumer] = AIOKafkaConsumer,
) -> bool | None:
    """Return whether a committed record like ``wanted`` is on the bus; None: nobody can tell.

    ``made_ms`` is when it was made or a time before, as UNIX time: it was not published earlier.
    None means that records of that time are deleted already, or that the topic may not be read.
    Raises BusOutage when the bus does not say.
    """
    lane = wanted.partition
    place = TopicPartition(
        settings.kafka.topic_prefix + wanted.topic,
        partition_of_key(wanted.key, settings.lanes) if lane is None else lane,
    )
    consumer = client(
        **settings.kafka.client_options(),
        isolation_level="read_committed",
        enable_auto_commit=False,
        request_timeout_ms=settings.kafka.request_timeout_ms,
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await consumer.start()
            consumer.assign([place])
            span = await _span(consumer, place, made_ms - CLOCK_SLACK_MS)
        return None if span is None else await _among(_backwards(consumer, place, *span), wanted)
    except TopicAuthorizationFailedError:
        log.warning("published_not_readable", extra={"topic": place.topic})
        return None
    except OUTAGES as error:
        raise BusOutage(
            f"whether a batch is on {place.topic}/{place.partition} is not known: {error!r}"
        ) from error
    finally:
        await stop_consumer(consumer)


async def _span(
    consumer: AIOKafkaConsumer, place: TopicPartition, since_ms: int
) -> tuple[int, int] | None:
    """Return where to begin and a stable end so far; None when the beginning is deleted."""
    # In this order: what becomes stable in between is then within the span, not before it.
    end = (await consumer.end_offsets([place]))[place]
    later = (await consumer.offsets_for_times({place: max(0, since_ms)})).get(place)
    begin = (await consumer.beginning_offsets([place]))[place]
    first = end if later is None else int(later.offset)
    if begin > 0 and first <= begin:
        return None
    return max(begin, min(first, end - TAIL_OFFSETS)), end


async def _among(arriving: AsyncGenerator[Sequence[Record], None], wanted: Outgoing) -> bool | None:
    """Return whether ``wanted`` is among the records; None when only a marked copy is.

    Who republishes takes part of a batch alone: that says nothing about the rest.
    """
    name, marked = _name(wanted.headers), False
    async with aclosing(arriving):
        async for records in arriving:
            for record in records:
                if _name(record.headers) != name:
                    continue
                if REDELIVERY_HEADER not in record.headers:
                    return True
                marked = True
    return None if marked else False


async def _backwards(
    consumer: AIOKafkaConsumer, place: TopicPartition, first: int, end: int
) -> AsyncGenerator[Sequence[Record], None]:
    """Yield what is committed from ``first`` on, in growing windows from the log's end.

    That is where it ends by now, beyond open transactions: they are waited for. Raises TimeoutError
    when it does not go on.
    """
    clock = asyncio.get_running_loop().time
    stop: int | None = None
    for start in dict.fromkeys(max(first, end - window) for window in (*WINDOWS, end)):
        consumer.seek(place, start)
        position, moved_at = start, clock()
        while stop is None or position < stop:
            arrived = await consumer.getmany(place, timeout_ms=POLL_MILLISECONDS)
            yield arrived.get(place, ())
            if stop is None:
                stop = consumer.highwater(place)
            behind, position = position, await consumer.position(place)
            if position != behind:
                moved_at = clock()
            elif clock() - moved_at > ANSWER_SECONDS_MAX:
                raise TimeoutError(f"stands at offset {position} of {stop}")
        stop = start


def _name(headers: Iterable[Header]) -> list[Header]:
    return [(name, value) for name, value in headers if name in NAMING]
