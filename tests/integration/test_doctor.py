"""What speaks against a start, and what the doctor finds, on a real Kafka and Postgres."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from confluent_kafka import Producer

from processor.doctor import Finding, Level, examine, preflight
from processor.emit import topics
from processor.emit.producer import LaneProducer
from processor.emit.route import partition_of
from processor.local.port import free_port
from processor.settings import Settings
from processor.store.migrations import migrate
from tests.integration.listening import Listening
from tests.integration.ops import cleaned, settings_of
from tests.integration.store import NOW, StoringLane, an_entry, opened, query

ORG = "acme"
HOME = partition_of(ORG, 3)
STORED = (
    "INSERT INTO source_offsets (topic, partition, first_offset, stored_through, entries)"
    " VALUES (%s, %s, 0, %s, %s)"
)


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give settings for topics and a database of the test's own; the topics are not there yet."""
    with cleaned(settings_of(kafka, postgres_dsn, HTTP_PORT=str(free_port()))) as settings:
        yield settings


async def findings(settings: Settings, level: Level) -> list[Finding]:
    """Return what the doctor finds of a level."""
    return [finding for finding in await examine(settings) if finding.level is level]


def publish(settings: Settings, topic: str, partition: int, count: int) -> None:
    """Put so many records on a partition."""
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    for _ in range(count):
        producer.produce(settings.topic(topic), value=b"{}", partition=partition)
    assert producer.flush(20) == 0


async def test_ready_environment_may_start(settings: Settings) -> None:
    """With topics and tables in order nothing speaks against it, and the database is claimed."""
    await topics.create(settings)
    assert await preflight(settings) == []
    owner = query(settings.postgres.dsn.get_secret_value(), "SELECT * FROM identity")
    assert owner == [(True, settings.environment, settings.group)]
    assert await preflight(settings) == []


async def test_everything_missing_is_told_at_once(kafka: str, empty_postgres_dsn: str) -> None:
    """No topics and no tables: one list says both, and which commands make them."""
    problems = await preflight(settings_of(kafka, empty_postgres_dsn))
    assert len(problems) == 2
    assert problems[0].startswith("34 topics are missing")
    assert problems[0].endswith("run `hub-audit topics create`")
    assert "hub-audit migrate" in problems[1]


async def test_tables_without_all_migrations_refuse_the_start(settings: Settings) -> None:
    """A database that an older release made is not written to; nor is it claimed."""
    await topics.create(settings)
    dsn = settings.postgres.dsn.get_secret_value()
    query(dsn, "DELETE FROM schema_migrations WHERE name LIKE '0003%'")
    (problem,) = await preflight(settings)
    assert problem.startswith("the database lacks 1 migrations, first 0003")
    assert problem.endswith("run `hub-audit migrate`")
    assert query(dsn, "SELECT * FROM identity") == []


async def test_database_of_another_group_refuses_the_start(settings: Settings) -> None:
    """Two groups on one database would give the same numbers twice."""
    await topics.create(settings)
    assert await preflight(settings) == []
    other = settings.model_copy(update={"group": "other"})
    assert await preflight(other) == [
        (
            f"the database belongs to environment development, group {settings.group}, and "
            "environment development, group other are set: give each its own database"
        )
    ]


async def test_day_without_partition_refuses_the_start(settings: Settings) -> None:
    """A worker does not start where today's entries have no place."""
    await topics.create(settings)
    dsn = settings.postgres.dsn.get_secret_value()
    query(dsn, f"DROP TABLE audit_entries_{NOW:%Y%m%d}")
    assert await preflight(settings) == [
        f"table audit_entries has no partition for {NOW:%Y-%m-%d}: run `hub-audit migrate`"
    ]
    await migrate(dsn)
    assert await preflight(settings) == []


async def test_wrong_password_is_a_problem(settings: Settings) -> None:
    """Where the database does not know us, the setting to look at is named; the secret is not."""
    await topics.create(settings)
    dsn = "postgresql://nobody:s3cret@" + settings.postgres.dsn.get_secret_value().partition("@")[2]
    wrong = settings_of(settings.kafka.bootstrap_servers, dsn)
    problems = await preflight(wrong)
    assert problems[-1].startswith("Postgres does not let us in (")
    assert problems[-1].endswith("check HUB_AUDIT_POSTGRES_DSN")
    assert "s3cret" not in "".join(problems)


async def test_doctor_finds_a_healthy_environment_healthy(settings: Settings) -> None:
    """Everything is looked at, and nothing is made up."""
    await topics.create(settings)
    await preflight(settings)
    assert [(finding.check, finding.level) for finding in await examine(settings)] == [
        (check, Level.OK)
        for check in (
            *("versions", "encryption", "topics", "transactions", "clock of kafka", "postgres"),
            *("migrations", "owner", "days of audit_entries", "days of dead_letters", "books"),
            *("dead letters", "strays", "roles", "clock of postgres", "retention"),
            *("subscriptions", "lag", "batches", "delivery", "defend", "issuer's keys"),
            *("cursor secret", "metrics"),
        )
    ]


async def test_doctor_changes_nothing(settings: Settings) -> None:
    """To be asked with the wrong settings does not make the database anybody's."""
    await topics.create(settings)
    await examine(settings)
    assert query(settings.postgres.dsn.get_secret_value(), "SELECT * FROM identity") == []


async def test_doctor_sees_records_that_nobody_takes(settings: Settings) -> None:
    """Records wait and no worker runs: that is worth a word."""
    await topics.create(settings)
    dsn = settings.postgres.dsn.get_secret_value()
    raw = settings.topic("raw.identity")
    publish(settings, "raw.identity", HOME, 5)
    query(dsn, STORED, (raw, HOME, 2, 2))
    (found,) = await findings(settings, Level.WARNING)
    assert (found.check, found.said) == ("lag", "3 records wait and no worker runs")


async def test_doctor_sees_a_topic_that_was_created_anew(settings: Settings) -> None:
    """A position beyond the end of the log is a problem with a way out."""
    await topics.create(settings)
    dsn, raw = settings.postgres.dsn.get_secret_value(), settings.topic("raw.identity")
    query(dsn, STORED, (raw, 1, 9, 9))
    (found,) = await findings(settings, Level.PROBLEM)
    assert found.check == "positions"
    assert found.said == f"stored beyond the end of {raw}/1: created anew, or cut off by the bus"
    assert found.fix == "run `hub-audit recover`"


async def test_doctor_sees_lost_commits(settings: Settings) -> None:
    """More published than stored: the database has lost something."""
    await topics.create(settings)
    producer = LaneProducer(settings, 1)
    await producer.start()
    await producer.publish([], dict.fromkeys(settings.raw_topics, 0), 7)
    await producer.abandon()
    (found,) = await findings(settings, Level.PROBLEM)
    assert found.check == "batches"
    assert "lane 1: 7 published, 0 stored" in found.said


async def test_doctor_sees_strays_and_refused_records(settings: Settings) -> None:
    """Entries that came by another lane, and records the database refused, are warned of."""
    await topics.create(settings)
    dsn = settings.postgres.dsn.get_secret_value()
    async with opened(dsn) as db:
        lane = await StoringLane.take(db, (HOME + 1) % 3)
        await lane.store(an_entry(ORG, "e-1"), an_entry(ORG, "e-2"), dead_letters=1)
    query(dsn, "UPDATE dead_letters SET reason = 'refused_by_database'")
    found = {finding.check: finding for finding in await findings(settings, Level.WARNING)}
    assert found["strays"].said == "2 of 2 entries came by another lane than their key's"
    assert "refused 1 records" in found["dead letters"].said


@asynccontextmanager
async def stranger(answer: bytes) -> AsyncIterator[int]:
    """Give the port of a server that answers anything with the same."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the first line."""
        await reader.readline()
        writer.write(answer)
        writer.close()

    listening = Listening(reply)
    listening.start()
    try:
        yield listening.port
    finally:
        await listening.stop()


async def test_doctor_sees_whose_port_it_is(kafka: str) -> None:
    """A process of ours on the metrics port is fine, somebody else's server is not."""
    levels = []
    for answer in (b"HTTP/1.0 200 OK\r\n\r\nok\n", b"HTTP/1.0 404 Not Found\r\n\r\n"):
        async with stranger(answer) as port:
            *_, last = await examine(settings_of(kafka, HTTP_PORT=str(port)))
            levels.append((last.check, last.level))
    assert levels == [("metrics", Level.OK), ("metrics", Level.WARNING)]
