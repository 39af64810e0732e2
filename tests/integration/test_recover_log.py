"""Recovering lanes whose raw topic is not the log that was stored, on a real Kafka and Postgres."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Message, Producer

from processor.emit import topics
from processor.emit.route import partition_of
from processor.errors import StartRefused
from processor.recover import Diagnosis, diagnose, findings, mend
from processor.settings import Settings
from tests.integration import bus, ops
from tests.integration.test_worker import ask, login, running, until

pytestmark = pytest.mark.timeout(90)

ORGS = [
    next(f"org-{n}" for n in range(99) if partition_of(f"org-{n}", 2) == lane) for lane in (0, 1)
]
"""An organization at home in each of the two lanes."""

BOOKS = "SELECT sum(entries), sum(duplicates), sum(discards), sum(dead_letters) FROM source_offsets"
ENDED = "SELECT sum(entries + duplicates + discards + dead_letters) FROM source_offsets"
BALANCED = "SELECT bool_and(balanced) FROM books"
SEEN = "SELECT context ->> 'event_id' FROM audit_entries ORDER BY 1"


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give an environment of the test's own: topics, database, group; two lanes."""
    with ops.two_lanes(kafka, postgres_dsn) as own:
        yield own


def event(event_id: str, lane: int = 0) -> dict[str, Any]:
    """Return a login of the lane's organization."""
    return {**login(event_id), "orgid": ORGS[lane]}


def put(settings: Settings, lane: int, *events: object) -> None:
    """Put events on a partition of the identity topic, as upstream does."""
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    for each in events:
        value = each if isinstance(each, bytes) else json.dumps(each).encode()
        producer.produce(settings.topic("raw.identity"), value, ORGS[lane], lane)
    assert producer.flush(20) == 0


async def work(settings: Settings, records: int) -> None:
    """Run a worker until so many records have ended in all."""
    async with running(settings):
        await until(lambda: ask(settings, ENDED) == [(records,)], f"{records} records")
    assert ask(settings, BALANCED) == [(True,)]


def lose_topic(settings: Settings) -> list[Message]:
    """Delete the identity topic; return what was on it."""
    kafka, name = settings.kafka.bootstrap_servers, settings.topic("raw.identity")
    records = bus.read(kafka, [name])
    bus.delete(kafka, [name])
    return records


def bring_back(settings: Settings, records: list[Message]) -> None:
    """Make the identity topic again with records as they were, append times and all."""
    kafka, name = settings.kafka.bootstrap_servers, settings.topic("raw.identity")
    bus.create(kafka, [name], 2, {"message.timestamp.type": "CreateTime"})
    producer = Producer({"bootstrap.servers": kafka})
    for record in records:
        partition, (_, at) = record.partition() or 0, record.timestamp()
        producer.produce(name, record.value(), record.key(), partition, timestamp=at)
    assert producer.flush(20) == 0
    ops.configure(kafka, name, "message.timestamp.type", "LogAppendTime")


async def recovered(settings: Settings, *, new_cluster: bool = False) -> list[str]:
    """Recover; return what was found."""
    diagnosis = await diagnose(settings, new_cluster=new_cluster)
    await mend(settings, diagnosis)
    return list(findings(diagnosis))


async def test_log_that_lost_its_end_is_read_on_where_it_is_stored(settings: Settings) -> None:
    """Nothing that has a row is read again, and nothing that came after the loss is passed over."""
    refreshed = {**event("r"), "type": "identity.token.refreshed.v1"}
    twice = event("e-0")
    put(settings, 0, twice, event("e-1"), b"{", event("e-2"), twice, refreshed)
    put(settings, 0, event("e-3"), event("e-4"))
    await work(settings, 8)
    bring_back(settings, lose_topic(settings)[:6])
    put(settings, 0, event("e-5"))
    name = settings.topic("raw.identity")
    assert await recovered(settings) == [
        f"{name}/0: ends at 7, stored through 8, of this log through 4: it is read on from there"
    ]
    assert ask(settings, "SELECT from_offset, to_offset, reason FROM source_gaps") == [
        (8, 4, "the bus lost the end of the log")
    ]
    await work(settings, 11)
    assert ask(settings, BOOKS) == [(6, 2, 2, 1)]
    assert ask(settings, SEEN) == [(f"e-{n}",) for n in range(6)]


async def test_log_that_lost_its_end_ends_in_a_dead_letter(settings: Settings) -> None:
    """A dead letter that is stored is not read again either."""
    put(settings, 0, event("e-0"), b"{", event("e-1"))
    await work(settings, 3)
    bring_back(settings, lose_topic(settings)[:2])
    (found,) = await recovered(settings)
    assert "ends at 2, stored through 3, of this log through 2" in found
    put(settings, 0, event("e-2"))
    await work(settings, 4)
    assert ask(settings, BOOKS) == [(3, 0, 0, 1)]


async def test_quiet_partition_of_a_new_topic_is_seen_too(settings: Settings) -> None:
    """One has grown past its old position by the time: its first records are read all the same."""
    put(settings, 0, *(event(f"old-{n}") for n in range(3)))
    put(settings, 1, event("old-3", 1))
    await work(settings, 4)
    lose_topic(settings)
    await topics.create(settings)
    put(settings, 0, event("new-0"))
    put(settings, 1, event("new-1", 1), event("new-2", 1))
    name = settings.topic("raw.identity")
    assert await recovered(settings) == [
        f"{name}/0: ends at 1, stored through 3: it is read from its beginning, 0",
        f"{name}/1: ends at 2, stored through 1: it is read from its beginning, 0",
    ]
    await work(settings, 7)
    names = ["new-0", "new-1", "new-2", "old-0", "old-1", "old-2", "old-3"]
    assert ask(settings, SEEN) == [(name,) for name in names]


async def test_new_cluster_is_seen_where_every_partition_has_grown(settings: Settings) -> None:
    """Nothing stands out by itself: who knows that the cluster is new says so."""
    put(settings, 0, event("old-0"))
    await work(settings, 1)
    assert await recovered(settings, new_cluster=True) == []
    lose_topic(settings)
    await topics.create(settings)
    put(settings, 0, event("new-0"), event("new-1"))
    assert await recovered(settings) == []
    (found,) = await recovered(settings, new_cluster=True)
    assert "stored through 1: it is read from its beginning, 0" in found
    await work(settings, 3)


async def test_long_stretch_without_rows_is_looked_through(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no audit event says nothing: it is looked further back, window by window."""
    monkeypatch.setattr("processor.ingest.backwards.WINDOW_OFFSETS", 2)
    refreshed = [{**event(f"r-{n}"), "type": "identity.token.refreshed.v1"} for n in range(5)]
    put(settings, 0, event("e-0"), *refreshed, event("e-1"))
    await work(settings, 7)
    bring_back(settings, lose_topic(settings)[:6])
    (found,) = await recovered(settings)
    assert "ends at 6, stored through 7, of this log through 1" in found
    await work(settings, 12)


async def test_what_moved_since_it_was_looked_at_is_not_moved_again(settings: Settings) -> None:
    """Of two operators who look, the second to answer is told, and changes nothing."""
    put(settings, 0, event("old-0"), event("old-1"))
    await work(settings, 2)
    lose_topic(settings)
    await topics.create(settings)
    diagnosis = await diagnose(settings)
    await mend(settings, diagnosis)
    put(settings, 0, event("new-0"))
    await work(settings, 3)
    with pytest.raises(StartRefused, match="moved after it was looked at, nothing was changed"):
        await mend(settings, diagnosis)
    assert ask(settings, "SELECT count(*) FROM source_gaps") == [(1,)]
    place = f"topic = '{settings.topic('raw.identity')}' AND partition = 0"
    through = f"SELECT stored_through FROM source_offsets WHERE {place}"  # noqa: S608 - test's own
    assert ask(settings, through) == [(1,)]


async def test_nothing_is_recovered_while_workers_run(settings: Settings) -> None:
    """A worker could go on from what is being changed: it has to be stopped first."""
    nothing = Diagnosis([], [], {}, None, {})
    async with running(settings) as working:
        await until(lambda: working.readiness()[0], "a lane")
        with pytest.raises(StartRefused, match="running workers: 1"):
            await mend(settings, nothing)
    await mend(settings, nothing)
