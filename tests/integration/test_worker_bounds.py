"""The worker at the edges of what the bus takes, on real servers."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from processor.emit import topics
from processor.local.port import free_port
from processor.settings import Settings
from tests.integration import bus, ops
from tests.integration.test_worker import (
    ask,
    login,
    published,
    running,
    send,
    until,
    until_dead_letters,
)

pytestmark = pytest.mark.timeout(90)

DEAD = "hub.audit.dead_letters"


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give an environment of the test's own, with one lane."""
    port = str(free_port())
    with ops.cleaned(ops.settings_of(kafka, postgres_dsn, LANES="1", HTTP_PORT=port)) as own:
        asyncio.run(topics.create(own))
        yield own


def send_compressed(
    settings: Settings, key: bytes, value: bytes, headers: list[tuple[str, bytes]]
) -> None:
    """Publish a record whose parts, compressed, take next to nothing."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "compression.type": "gzip",
            "message.max.bytes": 50_000_000,
        }
    )
    topic = settings.topic("raw.identity")
    producer.produce(topic, value, key, headers=headers)  # type: ignore[arg-type] # a list, too
    assert producer.flush(20) == 0


async def test_record_that_is_larger_than_it_came_stops_no_lane(settings: Settings) -> None:
    """Its dead letter is cut to what the topic takes and says so; the table has it whole."""
    key, header = b"k" * 600_000, ("much", b"x" * 1_200_000)
    send_compressed(settings, key, b"{", [("first", b"1"), header])
    send(settings, login())
    async with running(settings):
        await until(lambda: len(published(settings)) == 1, "the event behind it")
        await until_dead_letters(settings, 1)
    (letter,) = published(settings, DEAD)
    assert (letter.key(), letter.value()) == (key[:65_536], b"{")
    said = bus.headers_of(letter)
    assert "much" not in said
    assert (said["first"], said["dl_truncated"]) == (b"1", b"key=600000,headers=2")
    ((kept, headers),) = ask(settings, "SELECT length(key), headers::text FROM dead_letters")
    assert kept == len(key)
    assert [len(value) for _, value in json.loads(headers)] == [4, 1_600_000]
