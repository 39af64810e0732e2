"""Looks at the running processor from outside, as its subscribers and its operators do."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from processor.demo.scene import Scene, Totals
from processor.errors import DatabaseOutage
from processor.store.books import books
from processor.store.pool import READER, Database
from schemas.catalogue import CANONICAL_TOPICS, DEAD_LETTER_TOPIC

LOOK_SECONDS = 0.5
ANSWER_SECONDS_MAX = 3.0
"""Somebody watches: a server that is frozen is away, long before a client gives it up."""

AWAY = (KafkaError, OSError)  # TimeoutError is one as well
COUNTED = ("passed", "entries", "duplicates", "discards", "dead_letters", "offset_holes")


async def subscribe(bootstrap_servers: str, scene: Scene) -> None:
    """Read every canonical topic and the dead letters from now on, until cancelled."""
    consumer = AIOKafkaConsumer(
        *CANONICAL_TOPICS,
        DEAD_LETTER_TOPIC,
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="latest",
    )
    async with consumer:
        async for record in consumer:
            note(record, scene)


def note(record: ConsumerRecord[bytes, bytes], scene: Scene) -> None:
    """Tell the scene of one record."""
    if record.topic == DEAD_LETTER_TOPIC:
        # The processor's own headers come last; the sender's may have the same names.
        reason = dict(record.headers).get("dl_reason", b"?")
        scene.dead_letter(reason.decode())
    elif record.value is not None:
        entry = orjson.loads(record.value)
        scene.canonical(record.topic, record.value, entry, seen_at=time.time())


async def look(bootstrap_servers: str, dsn: str, scene: Scene) -> None:
    """Read the books and the ends of the raw topics twice a second, until cancelled.

    Where one of the two is away, the scene says so until it is back.
    """
    while True:
        try:
            await _look_on(bootstrap_servers, dsn, scene)
        except DatabaseOutage:
            scene.away = "database away"
        except AWAY:
            scene.away = "bus away"
        await asyncio.sleep(LOOK_SECONDS)


async def _look_on(bootstrap_servers: str, dsn: str, scene: Scene) -> None:
    db = await Database.open(dsn, role=READER, connections=1)
    try:
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap_servers) as consumer:
            while True:
                await look_once(db, consumer, scene)
                await asyncio.sleep(LOOK_SECONDS)
    finally:
        await db.close()


async def look_once(db: Database, consumer: AIOKafkaConsumer, scene: Scene) -> None:
    """Bring the scene's totals and lag up to date; raises DatabaseOutage, and what AWAY has."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            kept = await books(db)
    except TimeoutError as error:
        raise DatabaseOutage("the books were not answered") from error
    counted = {name: sum(getattr(book, name) for book in kept) for name in COUNTED}
    stored = {(book.topic, book.partition): book.stored_through for book in kept}
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        ends = await consumer.end_offsets([TopicPartition(*at) for at in stored])
    lag = sum(end - stored[at.topic, at.partition] for at, end in ends.items())
    scene.looked(Totals(**counted, balanced=all(book.balanced for book in kept)), lag)


async def outlast(work: Callable[[], Awaitable[None]]) -> None:
    """Do what needs the bus, again from its beginning whenever that was away, until cancelled."""
    while True:
        try:
            await work()
        except* AWAY:
            pass
        await asyncio.sleep(LOOK_SECONDS)
