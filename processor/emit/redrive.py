"""Redrive: a dead letter's record goes on the redrive topic as it came, with where it came from.

To redrive a record twice does no harm, the second is a duplicate.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from processor.emit.acknowledged import acknowledged
from processor.emit.route import Header
from processor.emit.topics import OUTAGES
from processor.errors import BusOutage
from processor.settings import Settings
from schemas.record import ORIGINAL, REDRIVEN, Record

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
"""What a broker says of a record that came compressed and is larger than the topic takes."""


class RedriveTopic:
    """A producer for the redrive topic."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        """Hold a started producer."""
        self._producer = producer
        self._topic = topic

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> "AsyncIterator[RedriveTopic]":
        """Connect for the length of a block; raises BusOutage when the bus is away."""
        async with acknowledged(settings, "nothing was redriven") as producer:
            yield cls(producer, settings.topic(settings.topics.redrive))

    async def publish(self, records: Sequence[Record]) -> list[Record]:
        """Put records on the topic and return those that it refuses for their size.

        Raises BusOutage with the number of those that were not acknowledged for another reason:
        they may be there all the same.
        """
        try:
            futures = [await self._send(record) for record in records]
        except OUTAGES as error:
            raise BusOutage(f"records were not sent ({type(error).__name__})") from error
        answers = await asyncio.gather(*futures, return_exceptions=True)
        failed = [
            answer
            for answer in answers
            if isinstance(answer, BaseException) and not isinstance(answer, TOO_LARGE)
        ]
        if failed:
            raise BusOutage(
                f"{len(failed)} of {len(records)} records were not acknowledged "
                f"({type(failed[0]).__name__})"
            )
        return [
            record
            for record, answer in zip(records, answers, strict=True)
            if isinstance(answer, TOO_LARGE)
        ]

    async def _send(self, record: Record) -> asyncio.Future[object]:
        """Send a record alone: the client's ``send`` refuses one without key and value."""
        batch = self._producer.create_batch()
        batch.append(
            timestamp=None,
            key=record.key,
            value=record.value,
            headers=redriven_headers(record, self._topic),
        )
        # Its own partition: the lane that had it, where the organization's other records are.
        sent: asyncio.Future[object] = await self._producer.send_batch(
            batch, self._topic, partition=record.partition
        )
        return sent


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
