"""The log of a raw partition, read from behind: what ``recover`` compares with the store."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from processor.client import stop_consumer
from processor.errors import BusOutage, StartRefused
from processor.ingest.consumer import OUTAGES
from processor.settings import Settings

WINDOW_OFFSETS = 1_000
POLL_MILLISECONDS = 500
ANSWER_SECONDS_MAX = 15.0
"""Without any progress for so long, the bus is away."""

Window = list[ConsumerRecord[bytes, bytes]]


class RawLog:
    """Reads stretches of raw partitions, one at a time; takes part in no group."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        """Read by a consumer that is connected."""
        self._consumer = consumer

    async def backwards(
        self, topic: str, partition: int, begin: int, end: int
    ) -> AsyncGenerator[Window, None]:
        """Yield the committed records of a stretch in windows: the last first, each in order."""
        place = TopicPartition(topic, partition)
        if begin < end:
            self._consumer.assign([place])  # with no seek behind it the client would not stop
        while begin < end:
            start = max(begin, end - WINDOW_OFFSETS)
            if window := await self._window(place, start, end):
                yield window
            end = start

    async def _window(self, place: TopicPartition, start: int, end: int) -> Window:
        clock = asyncio.get_running_loop().time
        self._consumer.seek(place, start)
        window: Window = []
        position, moved_at = start, clock()
        try:
            while position < end:
                arrived = await self._consumer.getmany(place, timeout_ms=POLL_MILLISECONDS)
                window += arrived.get(place, ())
                before, position = position, await self._consumer.position(place)
                if position != before:
                    moved_at = clock()
                elif clock() - moved_at > ANSWER_SECONDS_MAX:
                    raise TimeoutError
        except TopicAuthorizationFailedError as error:
            problem = f"{place.topic} may not be read: allow READ, as deploy/kafka/acls.yaml has it"
            raise StartRefused([problem]) from error
        except OUTAGES as error:
            raise BusOutage(
                f"{place.topic}/{place.partition} is not read beyond offset {position}: {error!r}"
            ) from error
        return [record for record in window if record.offset < end]


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[RawLog]:
    """Lend a reader of raw partitions; raises BusOutage when the bus does not answer."""
    consumer = AIOKafkaConsumer(
        **settings.kafka.client_options(),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
    )
    try:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                await consumer.start()
            await asyncio.sleep(0)  # a task of the client that never began cannot be stopped
        except OUTAGES as error:
            servers = settings.kafka.bootstrap_servers
            raise BusOutage(f"Kafka at {servers} does not answer ({error!r})") from error
        yield RawLog(consumer)
    finally:
        await stop_consumer(consumer)
