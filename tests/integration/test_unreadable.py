"""Raw records of every codec, with any names, and one that cannot be read, on real servers."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer, TopicPartition

from processor import lane
from processor.ingest import unpack
from processor.settings import Settings
from tests.integration import ops
from tests.integration.test_worker import admin, ask, login, published, running, until
from tests.unit.batches import Name, builder

MEBIBYTE = 1024 * 1024
pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give an environment of the test's own, with two lanes."""
    with ops.two_lanes(kafka, postgres_dsn) as own:
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


async def test_what_unpacks_without_bounds_stops_its_lane_until_it_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other lane goes on; records deleted before the named offset let it go on, with a gap."""
    monkeypatch.setattr(lane, "STOPPED_SECONDS", 1.0)
    monkeypatch.setattr(unpack, "BATCH_BYTES_MAX", MEBIBYTE)
    bomb = {"compression.type": "gzip", "message.max.bytes": 2 * MEBIBYTE}
    send(settings, 1, event())
    send(settings, 1, bytes(MEBIBYTE + 1), **bomb)
    send(settings, 1, event())
    async with running(settings) as worker:
        reason = re.compile("cannot be read at offset 1: .* delete records before offset 2$")
        await until(lambda: bool(reason.search(worker.readiness()[1])), "its reason")
        send(settings, 0, event())
        await until(lambda: stored(settings, 0) == 1, "the other lane's entry")
        assert stored(settings, 1) == 1
        name = settings.topic("raw.identity")
        client = admin(settings)
        for deleted in client.delete_records([TopicPartition(name, 1, 2)]).values():
            deleted.result()
        await until(lambda: stored(settings, 1) == 2, "the entry behind it")
        await until(lambda: worker.readiness() == (True, "2 lanes flow"), "all lanes")
    assert ask(settings, "SELECT partition, from_offset, to_offset FROM source_gaps") == [(1, 1, 2)]
    assert len(published(settings)) == 3
