"""Hub Audit's own events: put on ``raw.audit`` like those of any upstream service.

They come back down the path and become entries: what is done to the log is in the log.

An event that comes twice is one entry anyway.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaProducer

from processor.emit.acknowledged import acknowledged
from processor.emit.route import SOURCE, Header
from processor.emit.topics import OUTAGES
from processor.errors import BusOutage
from processor.settings import Settings

PUBLISH_SECONDS_MAX = 5.0
"""What somebody waits for who wants to read: the client itself would try for ever."""


class OwnEvent(NamedTuple):
    """Something done to an organization's log; the same id and time make it the same event."""

    id: str
    type: str
    time: datetime
    org_id: str
    data: Mapping[str, Any]


class OwnEvents:
    """A producer for our own events; every one is acknowledged before ``publish`` returns."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        """Hold a started producer."""
        self._producer = producer
        self._topic = topic

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> "AsyncIterator[OwnEvents]":
        """Connect for the length of a block; raises BusOutage when the bus is away."""
        async with acknowledged(settings, "no own event can be told") as producer:
            yield cls(producer, settings.topic(settings.topics.audit))

    async def publish(self, events: Iterable[OwnEvent]) -> None:
        """Put the events on the bus; raises BusOutage unless each of them is acknowledged."""
        try:
            async with asyncio.timeout(PUBLISH_SECONDS_MAX):
                futures = [
                    await self._producer.send(
                        self._topic,
                        key=event.org_id.encode(),
                        value=orjson.dumps(event.data),
                        headers=_headers(event),
                    )
                    for event in events
                ]
                await asyncio.gather(*futures)
        except OUTAGES as error:
            raise BusOutage(
                f"an own event was not acknowledged ({type(error).__name__})"
            ) from error


def _headers(event: OwnEvent) -> list[Header]:
    """Return the attributes of the event, binary mode."""
    at = event.time.astimezone(UTC).isoformat(timespec="milliseconds")
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_source", SOURCE.encode()),
        ("ce_type", event.type.encode()),
        ("ce_time", at.replace("+00:00", "Z").encode()),
        ("ce_orgid", event.org_id.encode()),
        ("content-type", b"application/json"),
    ]
