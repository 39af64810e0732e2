"""The oracle catches the same bugs when they are planted into what the product really wrote."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from confluent_kafka import Producer

from tests.faults.catalog import DEAD_LETTERS
from tests.faults.harness import Stage
from tests.faults.oracle import judge
from tests.faults.plants import PLANTS, copy_of
from tests.faults.world import Seen

pytestmark = pytest.mark.timeout(120)


def publish(here: Stage, record: Seen, *, value: bytes | None) -> None:
    """Put a record on the bus beside the product."""
    producer = Producer({"bootstrap.servers": here.bootstrap})
    producer.produce(
        record.topic,
        key=record.key,
        value=value,
        headers=[(name, held) for name, held in record.headers],
        partition=record.partition,
    )
    assert producer.flush(30) == 0


def test_bugs_in_real_data_are_caught(stage: Callable[..., Stage]) -> None:
    """Bugs planted in a copy of a real world, in Postgres and on Kafka itself, are all caught."""
    here = stage(seed=41)
    worker = here.start()
    here.feed(800)
    here.feed_transactions()
    here.feed(100)
    here.rest()
    world = here.observe()
    verdict = judge(world)
    assert verdict.clean, verdict
    missed = []
    for plant, counter in PLANTS:
        spoiled = copy_of(world)
        plant(spoiled)
        if not judge(spoiled).counts[counter]:
            missed.append(plant.__name__)
    assert missed == []
    worker.kill()
    for counter, spoil in spoilers(here):
        spoil()
        assert judge(here.observe()).counts[counter] > 0, counter


def spoilers(here: Stage) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield ways to spoil the real thing, each with the counter that must notice."""

    def execute(query: str) -> None:
        with psycopg.connect(here.dsn, autocommit=True) as db:
            db.execute(query)

    world = here.observe()
    event, letter = world.canonical[0], world.dead[0]
    assert letter.topic == here.prefix + DEAD_LETTERS
    yield "dup_canonical", lambda: publish(here, event, value=event.value)
    yield "wrong_dead", lambda: publish(here, letter, value=b"other")
    yield (
        "books",
        lambda: execute(
            "UPDATE source_offsets SET entries = entries - 1, discards = discards + 1 "
            "WHERE entries > 0"
        ),
    )
    yield (
        "lost",
        lambda: execute(
            "DELETE FROM audit_entries WHERE entry_id = (SELECT min(entry_id::text)::uuid "
            "FROM audit_entries)"
        ),
    )
    yield "gaps", lambda: execute("UPDATE org_heads SET last_seq = last_seq + 1")
    yield (
        "wrong_bytes",
        lambda: execute("UPDATE audit_entries SET actor_id = 'x' || actor_id WHERE seq = 2"),
    )
    yield "missing_dead", lambda: execute("DELETE FROM dead_letters WHERE reason = 'invalid_json'")
