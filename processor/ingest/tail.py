"""A topic as a subscriber sees it: committed records, as they come."""

import asyncio
from collections.abc import AsyncGenerator

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from processor.client import stop_consumer
from processor.errors import BusOutage
from processor.ingest.consumer import OUTAGES
from processor.settings import Settings

ANSWER_SECONDS_MAX = 15.0


async def tail(
    settings: Settings, topic: str, *, from_beginning: bool = False
) -> AsyncGenerator[ConsumerRecord[bytes, bytes]]:
    """Yield the records of a topic of one partition, from now or from its beginning on.

    Without a group: whoever looks takes nothing from those who read. Raises BusOutage.
    """
    consumer = AIOKafkaConsumer(
        **settings.kafka.client_options(),
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await consumer.start()
            place = TopicPartition(topic, 0)
            consumer.assign([place])
            await (consumer.seek_to_beginning if from_beginning else consumer.seek_to_end)(place)
        async for record in consumer:
            yield record
    except OUTAGES as error:
        raise BusOutage(f"the bus does not answer ({type(error).__name__})") from error
    finally:
        await stop_consumer(consumer)
