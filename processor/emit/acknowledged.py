"""A producer whose records are acknowledged one by one, for what comes back down the path.

It is no idempotent one: with that, one record that the broker refuses for good leaves a gap in the
client's numbers, and it refuses all that come after. What is sent twice is a duplicate on the path.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaProducer

from processor.emit.topics import OUTAGES
from processor.errors import BusOutage
from processor.settings import Settings

START_SECONDS_MAX = 15.0
STOP_SECONDS_MAX = 5.0


@asynccontextmanager
async def acknowledged(settings: Settings, without: str) -> AsyncIterator[AIOKafkaProducer]:
    """Connect for the length of a block.

    Raises BusOutage when the bus is away, which says what is not done ``without`` it.
    """
    producer = AIOKafkaProducer(
        **settings.kafka.client_options(),
        acks="all",
        request_timeout_ms=settings.kafka.request_timeout_ms,
    )
    try:
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                await producer.start()
        except OUTAGES as error:
            raise BusOutage(f"{without} ({type(error).__name__})") from error
        yield producer
    finally:
        with suppress(*OUTAGES):
            async with asyncio.timeout(STOP_SECONDS_MAX):
                await producer.stop()
