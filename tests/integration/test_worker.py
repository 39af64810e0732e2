"""A worker on real Kafka and Postgres: every end of a record, and every way to take a lane over."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from confluent_kafka import (
    OFFSET_END,
    ConsumerGroupTopicPartitions,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from processor import lane, redrive, worker
from processor.emit import topics
from processor.emit.producer import LaneProducer
from processor.emit.route import canonical
from processor.ingest.decode import decode
from processor.local.port import free_port
from processor.normalize import normalize
from processor.settings import Settings
from processor.store import lanes
from processor.store.pool import Database
from processor.store.writer import Advance, Batch, encoded, write
from schemas.record import RawRecord
from tests.integration import bus, ops

pytestmark = pytest.mark.timeout(90)

PATIENCE_SECONDS = 30.0
ORG = "acme"


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give an environment of the test's own: topics, database, group; one lane."""
    own = ops.settings_of(
        kafka,
        postgres_dsn,
        LANES="1",
        HTTP_PORT=str(free_port()),
    )
    with ops.cleaned(own):
        asyncio.run(topics.create(own))
        yield own


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no lane wait for numbers that a test took away."""
    monkeypatch.setattr(lane, "NUMBER_SECONDS_MAX", 0.3)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[worker.Worker]:
    """Run a worker for the length of a block."""
    db = await Database.open(settings.postgres.dsn.get_secret_value())
    stop = asyncio.Event()
    try:
        working = worker.Worker(settings, db, await worker.limits_of(settings, db))
        task = asyncio.create_task(working.run(stop))
        try:
            yield working
        finally:
            stop.set()
            await task
    finally:
        await db.close()


def login(event_id: str | None = None, **data: Any) -> dict[str, Any]:
    """Return a raw login of now."""
    return {
        "specversion": "1.0",
        "id": event_id or secrets.token_hex(8),
        "source": "/hub/identity",
        "type": "identity.login.succeeded.v1",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "orgid": ORG,
        "data": {"actor": {"type": "user", "id": "u-1"}, "method": "sso", **data},
    }


def send(settings: Settings, *events: object, topic: str = "") -> None:
    """Publish events to a raw topic, and wait for the bus to have them."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "partitioner": "murmur2_random",
        }
    )
    for event in events:
        value = event if isinstance(event, bytes) else json.dumps(event).encode()
        producer.produce(topic or settings.topic("raw.identity"), value, ORG)
    assert producer.flush(20) == 0


def ask(settings: Settings, sql: str) -> list[Any]:
    """Return the rows of a query, as a superuser sees them."""
    with psycopg.connect(settings.postgres.dsn.get_secret_value(), autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail when it does not come."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.05)


async def until_settled(settings: Settings, records: int) -> None:
    """Wait until the books of the identity topic hold so many records."""
    name = settings.topic("raw.identity")
    ends = "entries + duplicates + discards + dead_letters"
    sql = f"SELECT {ends} FROM source_offsets WHERE topic = '{name}'"  # noqa: S608 - test's own
    await until(lambda: ask(settings, sql) == [(records,)], f"{records} records")


async def until_dead_letters(settings: Settings, count: int) -> None:
    """Wait until there are so many dead letters."""
    sql = "SELECT count(*) FROM dead_letters"
    await until(lambda: ask(settings, sql) == [(count,)], f"{count} dead letters")


def published(settings: Settings, *names: str) -> list[Message]:
    """Return what read_committed readers find in canonical topics."""
    names = names or ("hub.auth.login_success",)
    found = [settings.topic(name) for name in names]
    return bus.read(settings.kafka.bootstrap_servers, found)


async def test_every_record_ends_once_and_the_books_say_how(settings: Settings) -> None:
    """An entry, a duplicate, a discard and a dead letter: each where it belongs, and counted."""
    event = login("evt-1")
    refreshed = {**login(), "type": "identity.token.refreshed.v1"}
    poison = b'{"not": "closed"'
    send(settings, event, event, refreshed, poison)
    async with running(settings):
        await until_settled(settings, 4)

    (row,) = ask(settings, "SELECT entry_id::text, seq, org_id FROM audit_entries")
    (record,) = published(settings)
    entry = json.loads(bus.value_of(record))
    assert (entry["entry_id"], entry["seq"], entry["org_id"]) == (row[0], 1, ORG)
    assert record.key() == ORG.encode()
    assert bus.headers_of(record)["ce_orgseq"] == b"1"
    (dead,) = published(settings, "hub.audit.dead_letters")
    assert dead.value() == poison
    assert bus.headers_of(dead)["dl_reason"] == b"invalid_json"
    counts = "sum(entries), sum(duplicates), sum(discards), sum(dead_letters)"
    assert ask(settings, f"SELECT {counts} FROM source_offsets") == [(1, 1, 1, 1)]  # noqa: S608


@pytest.mark.parametrize("number_known", [True, False])
async def test_a_batch_that_was_stored_and_not_emitted_is_settled(
    settings: Settings, *, number_known: bool
) -> None:
    """What a dead predecessor left in the database alone is emitted once, as its rows have it."""
    await crash_after_store(settings)
    if not number_known:
        rewind(settings)
    send(settings, login())
    async with running(settings):
        await until(lambda: len(published(settings)) == 2, "two canonical events")
    assert not any("hub_redelivery" in bus.headers_of(record) for record in published(settings))
    seqs = [json.loads(bus.value_of(record))["seq"] for record in published(settings)]
    assert seqs == [1, 2]


async def test_a_copy_from_before_the_loss_is_not_the_batch(settings: Settings) -> None:
    """After `recover` an entry is stored under a new number: that its old one is out says nothing.

    Nor does it make a redelivery of the new one.
    """
    await crash_after_store(settings, lost_seq=7)
    async with running(settings):
        await until(lambda: len(published(settings)) == 2, "the event under its new number")
    assert [bus.headers_of(record)["ce_orgseq"] for record in published(settings)] == [b"7", b"1"]
    assert not any("hub_redelivery" in bus.headers_of(record) for record in published(settings))


async def test_batch_is_settled_though_a_raw_topic_is_gone(settings: Settings) -> None:
    """Of a topic that was renamed and deleted the books stay: the bus takes no offsets for it."""
    await crash_after_store(settings)
    columns = "topic, partition, first_offset, stored_through"
    ask(settings, f"INSERT INTO source_offsets ({columns}) VALUES ('renamed', 0, 7, 7)")  # noqa: S608
    async with running(settings):
        await until(lambda: len(published(settings)) == 1, "the batch's event")


async def test_an_emitted_batch_is_not_emitted_again(settings: Settings) -> None:
    """A worker that comes after another one goes on behind it."""
    send(settings, login(), login())
    async with running(settings):
        await until_settled(settings, 2)
    send(settings, login())
    async with running(settings):
        await until_settled(settings, 3)
    seqs = [json.loads(bus.value_of(record))["seq"] for record in published(settings)]
    assert seqs == [1, 2, 3]


async def test_rewound_offsets_repeat_nothing(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Offsets reset by hand, or forgotten by a broker: the last batch is found on its topic."""
    await pass_two_batches(settings)
    rewind(settings)
    send(settings, login())
    async with running(settings):
        await until_settled(settings, 3)
    assert "batch_found_published" in caplog.text
    seqs = [json.loads(bus.value_of(record))["seq"] for record in published(settings)]
    assert seqs == [1, 2, 3]
    assert not any("hub_redelivery" in bus.headers_of(record) for record in published(settings))


async def test_rewound_offsets_repeat_a_dead_letter_neither(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch without an entry is looked for by its dead letter."""
    send(settings, b"not json")
    dead = "hub.audit.dead_letters"
    async with running(settings):
        await until(lambda: len(published(settings, dead)) == 1, "the dead letter")
    rewind(settings)
    async with running(settings):
        await until(lambda: "batch_found_published" in caplog.text, "the batch is found")
    assert len(published(settings, dead)) == 1


async def test_event_that_is_rejected_again_has_one_open_dead_letter(settings: Settings) -> None:
    """However often it is redriven: each time settles the dead letter that it was sent from."""
    still_open = redrive.selection(settings, (), open_only=True)
    async with running(settings):
        send(settings, login() | {"type": "identity.login.succeeded.v9"})
        for count in (1, 2, 3):
            await until_dead_letters(settings, count)
            (found,) = [letter async for letter in redrive.selected(settings, still_open)]
            sent = redrive.redrive(settings, still_open, until=found.recorded_at)
            assert [part async for part in sent] == [redrive.Sent(1, [])]


async def test_batch_that_nobody_can_look_for_comes_again_and_says_so(settings: Settings) -> None:
    """Neither number nor record, since retention took it: skipping the batch could lose it."""
    await pass_two_batches(settings)
    rewind(settings)
    topic = settings.topic("hub.auth.login_success")
    everything = TopicPartition(topic, 0, OFFSET_END)
    client = admin(settings)
    for deleted in client.delete_records([everything]).values():
        deleted.result()
    async with running(settings):
        await until(lambda: len(published(settings)) == 1, "the redelivery")
    (again,) = published(settings)
    assert bus.headers_of(again)["hub_redelivery"] == b"true"
    assert json.loads(bus.value_of(again))["seq"] == 2


async def test_a_lane_whose_database_lost_commits_stops_and_says_so(settings: Settings) -> None:
    """Kafka ahead of Postgres: nothing is stored, nothing emitted, and the reason names both."""
    send(settings, login())
    async with running(settings):
        await until_settled(settings, 1)
    ask(settings, "UPDATE lanes SET batch = 0")
    send(settings, login())
    async with running(settings) as working:
        await until(lambda: "batch 1" in working.readiness()[1], "the lane's reason")
        assert working.readiness()[0]
    assert len(published(settings)) == 1


async def test_records_that_the_bus_forgot_are_a_recorded_gap(settings: Settings) -> None:
    """Below the log's begin the lane goes on at it, and the books and a gap say what is missing."""
    send(settings, login())
    async with running(settings):
        await until_settled(settings, 1)
    send(settings, login(), login(), login())
    name = settings.topic("raw.identity")
    client = admin(settings)
    for deleted in client.delete_records([TopicPartition(name, 0, 3)]).values():
        deleted.result()
    async with running(settings):
        await until_settled(settings, 2)
    assert ask(settings, "SELECT from_offset, to_offset FROM source_gaps") == [(1, 3)]
    books = "stored_through - first_offset, entries + offset_holes"
    sql = f"SELECT {books} FROM source_offsets WHERE topic = '{name}'"  # noqa: S608
    assert ask(settings, sql) == [(4, 4)]


async def test_a_recreated_topic_stops_the_lane(settings: Settings) -> None:
    """A position beyond the log's end is never taken for a new beginning."""
    send(settings, login(), login())
    async with running(settings):
        await until_settled(settings, 2)
    name = settings.topic("raw.identity")
    beyond = "stored_through = stored_through + 97, offset_holes = offset_holes + 97"
    ask(settings, f"UPDATE source_offsets SET {beyond} WHERE topic = '{name}'")  # noqa: S608
    async with running(settings) as working:
        await until(lambda: "recreated" in working.readiness()[1], "the lane's reason")


async def test_an_idle_lane_says_up_to_when_it_is_complete(settings: Settings) -> None:
    """Without any record the lane keeps writing when it last had everything."""
    began = time.time()
    sql = "SELECT extract(epoch FROM min(caught_up_at))::float FROM source_offsets"
    async with running(settings):
        await until(lambda: (ask(settings, sql)[0][0] or 0) > began, "a first time")
        first = ask(settings, sql)[0][0]
        await until(lambda: ask(settings, sql)[0][0] > first, "a later time")


async def test_two_workers_share_the_lanes(kafka: str, postgres_dsn: str) -> None:
    """Each lane has one owner, and what comes while they change hands is emitted once."""
    own = ops.settings_of(kafka, postgres_dsn, HTTP_PORT=str(free_port()))
    orgs = [f"org-{n}" for n in range(12)]
    with ops.cleaned(own):
        await topics.create(own)
        async with running(own) as one:
            send(own, *({**login(), "orgid": org} for org in orgs))
            await until(lambda: len(published(own)) == len(orgs), "the first events")
            async with running(own) as other:
                await until(lambda: one.readiness()[0] and other.readiness()[0], "both ready")
                held = sorted(int(w.readiness()[1].split()[0]) for w in (one, other))
                assert held == [1, 2]
                send(own, *({**login(), "orgid": org} for org in orgs))
                await until(lambda: len(published(own)) == 2 * len(orgs), "the second events")
        seqs = {(r.key(), json.loads(bus.value_of(r))["seq"]) for r in published(own)}
        assert seqs == {(org.encode(), seq) for org in orgs for seq in (1, 2)}


async def pass_two_batches(settings: Settings) -> None:
    """Send two events in turn, so that the last batch is a part of history only."""
    for number in (1, 2):
        send(settings, login())
        async with running(settings):
            await until_settled(settings, number)


async def crash_after_store(settings: Settings, lost_seq: int = 0) -> None:
    """Leave the database as a worker does that dies between its two commits.

    With ``lost_seq`` the entry was published before, under that number, and lost by the database.
    """
    send(settings, login("evt-0"))
    name = settings.topic("raw.identity")
    (record,) = bus.read(settings.kafka.bootstrap_servers, [name])
    db = await Database.open(settings.postgres.dsn.get_secret_value())
    try:
        state = await lanes.take_over(db, 0)
        for topic in settings.raw_topics:
            await lanes.start_partition(db, 0, state.epoch, topic, 0)
        at, value = record.offset() or 0, bus.value_of(record)
        raw = RawRecord(name, 0, at, record.timestamp()[1], ORG.encode(), value)
        event = decode(raw, settings.topic("raw.redrive"))
        entry: Any = normalize(event, await worker.limits_of(settings, db))  # type: ignore[arg-type]
        lost = [canonical(entry | {"seq": lost_seq})] if lost_seq else []
        producer = LaneProducer(settings, 0)
        await producer.start()
        await producer.publish(lost, dict.fromkeys(settings.raw_topics, 0), 0)
        await producer.abandon()
        advances = {name: Advance(1, 0, 0)}
        candidate: Any = encoded(entry, raw)
        batch = Batch(0, state.epoch, [candidate], [], advances)
        await write(db, batch)
    finally:
        await db.close()


def admin(settings: Settings) -> AdminClient:
    """Return a client for what operators do; what it was asked ends when it is let go of."""
    return AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})


def rewind(settings: Settings) -> None:
    """Set the group's offsets back to the beginning, as an operator's tool does."""
    places = [TopicPartition(topic, 0, 0) for topic in settings.raw_topics]
    wish = ConsumerGroupTopicPartitions(settings.group, places)
    client = admin(settings)
    for done in client.alter_consumer_group_offsets([wish]).values():
        done.result()
