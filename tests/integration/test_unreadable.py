"""Raw records of every codec and with any names, on real servers."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from processor.emit import topics
from processor.local.port import free_port
from processor.settings import Settings
from tests.integration import ops
from tests.integration.test_worker import ask, login, published, running, until
from tests.unit.batches import Name, builder

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give an environment of the test's own, with two lanes."""
    own = ops.settings_of(kafka, postgres_dsn, LANES="2", HTTP_PORT=str(free_port()))
    with ops.cleaned(own):
        asyncio.run(topics.create(own))
        yield own


def send(settings: Settings, lane: int, *values: bytes, **options: Any) -> None:
    """Publish to a lane of the identity topic with a producer of one's own options."""
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers, **options})
    for value in values:
        producer.produce(settings.topic("raw.identity"), value, "acme", lane)
    assert producer.flush(20) == 0


def event() -> bytes:
    """Return a raw login that is worth compressing."""
    return json.dumps(login(padding="x" * 2_000)).encode()


def stored(settings: Settings, lane: int) -> int:
    """Return how many entries came by a lane."""
    sql = "SELECT count(*) FROM audit_entries WHERE source_partition = "
    return int(ask(settings, f"{sql}{lane}")[0][0])


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_of_kafkas_is_accepted(settings: Settings, codec: str) -> None:
    """A login in a compressed batch becomes an entry and a canonical event."""
    send(settings, 0, event(), **{"compression.type": codec})
    async with running(settings):
        await until(lambda: stored(settings, 0) == 1, "the entry")
        await until(lambda: len(published(settings)) == 1, "its canonical event")


async def test_a_header_whose_name_is_no_text_is_passed_over(settings: Settings) -> None:
    """Go's clients send any bytes: the worker lives, and the record becomes an entry."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers)
    await producer.start()
    batch = producer.create_batch()
    batch._builder = builder()
    batch.append(timestamp=None, key=b"acme", value=event(), headers=[(Name("x"), b"1")])
    await (await producer.send_batch(batch, settings.topic("raw.identity"), partition=0))
    await producer.stop()
    send(settings, 0, event())
    async with running(settings):
        await until(lambda: stored(settings, 0) == 2, "both entries")
