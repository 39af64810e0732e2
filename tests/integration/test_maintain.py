"""Maintenance on a real Kafka and Postgres: exact to the day, in nobody's way, and told."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from processor import maintain
from processor.cli import main
from processor.emit import acknowledged
from processor.errors import StartRefused
from processor.ingest.decode import decode
from processor.local.port import free_port
from processor.normalize import normalize
from processor.settings import Settings
from processor.store import retention, seal
from processor.store.load import load
from processor.store.maintenance import Session, alone, maintenance
from processor.store.partitions import ENTRIES, days
from processor.store.pool import MAINTENANCE, Database
from processor.worker import limits_of
from schemas.record import RawRecord
from tests.integration import bus
from tests.integration.overdue import KEPT, OLD, OLD_DAY, TODAY, announcing, overdue
from tests.integration.store import SOMEBODY_WAITS, StoringLane, an_entry, query, settings_at, until
from tests.integration.test_store_migrations import login_user
from tests.scraped import sample

LEAF = f"audit_entries_{OLD_DAY:%Y%m%d}"

GAPS = "SELECT org_id, seqs::text, reason FROM seq_gaps ORDER BY org_id"
PURGES = "SELECT org_id, entries, first_seq, last_seq, announced_at IS NOT NULL FROM purges"
STORED = "SELECT org_id, seq FROM audit_entries ORDER BY org_id, seq"


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give settings for a topic and a database of the test's own."""
    with announcing(kafka, postgres_dsn) as settings:
        yield settings


@pytest.fixture
async def db(postgres_dsn: str) -> AsyncIterator[Database]:
    """Give the store, with two entries of the day that is too old, and one of the oldest kept."""
    async with overdue(postgres_dsn) as database:
        yield database


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for readers no longer than a test has to."""
    monkeypatch.setattr(seal, "ATTEMPTS_MAX", 2)


def told(settings: Settings) -> list[Any]:
    """Return our own events as the bus has them."""
    topic = settings.topic(settings.topics.audit)
    return bus.read(settings.kafka.bootstrap_servers, [topic])


async def test_day_90_is_kept_and_day_91_is_gone(
    settings: Settings, postgres_dsn: str, db: Database
) -> None:
    """An entry a millisecond too old goes, its neighbor stays; numbers and organizations know."""
    done = await maintain.once(settings)
    assert done.purged == {ENTRIES: [OLD_DAY]}
    assert query(postgres_dsn, STORED) == [("acme", 2)]
    assert query(postgres_dsn, GAPS) == [
        ("acme", "{[1,2)}", "retention"),
        ("beta", "{[1,2)}", "retention"),
    ]
    assert (await days(db))[0] == KEPT.date()
    assert done.announced == 2
    assert sorted(query(postgres_dsn, PURGES)) == [("acme", 1, 1, 1, True), ("beta", 1, 1, 1, True)]
    assert (await maintain.once(settings)).purged == {}
    assert len(told(settings)) == 2


async def test_purge_becomes_an_entry_of_the_organization(settings: Settings, db: Database) -> None:
    """What is told of a purge goes down the path like any event, keyed by its organization."""
    await maintain.once(settings)
    limits = await limits_of(settings, db)
    topic = settings.topic(settings.topics.audit)
    entries = []
    for message in told(settings):
        record = RawRecord(
            topic, 0, 0, message.timestamp()[1], message.key(), message.value(), message.headers()
        )
        entry = normalize(decode(record, "none"), limits)  # type: ignore[arg-type] # no rejection
        assert isinstance(entry, dict), entry
        entries.append((message.key(), entry["org_id"], entry["action"], entry["details"]))
    extra = {"day": str(OLD_DAY), "rows": 1, "first_seq": 1, "last_seq": 1}
    assert sorted(entries, key=lambda entry: entry[1]) == [
        (b"acme", "acme", "audit.retention_purged", {"extra": extra}),
        (b"beta", "beta", "audit.retention_purged", {"extra": extra}),
    ]


async def test_reader_keeps_nobody_waiting(
    settings: Settings, postgres_dsn: str, db: Database
) -> None:
    """A transaction that reads the old day holds up the purge alone; later readers miss the day."""
    lane = await StoringLane.take(db)
    seen = "SELECT count(*) FROM audit_entries WHERE occurred_at < CURRENT_DATE - 90"
    with psycopg.connect(postgres_dsn) as reader:
        assert reader.execute(seen).fetchall() == [(2,)]
        round_ = asyncio.create_task(maintain.once(settings))
        await until(postgres_dsn, SOMEBODY_WAITS)
        number = 0
        while not round_.done():
            number += 1
            await lane.store(an_entry("acme", f"n{number}"))
            assert query(postgres_dsn, "SELECT count(*) FROM audit_entries")[0][0] >= number
        done = await round_
        assert number > 1  # who had to wait for it would come through once, when it gives up
        assert (done.purged, done.waiting) == ({}, {ENTRIES: [OLD_DAY]})
        assert query(postgres_dsn, seen) == [(0,)]
        assert len(query(postgres_dsn, GAPS)) == 2
        assert query(postgres_dsn, PURGES) == []
    assert (await maintain.once(settings)).purged == {ENTRIES: [OLD_DAY]}
    assert len(query(postgres_dsn, PURGES)) == 2
    assert len(query(postgres_dsn, GAPS)) == 2


async def test_purge_that_was_cut_off_is_finished(
    settings: Settings, postgres_dsn: str, db: Database
) -> None:
    """A day that is detached already is accounted for and dropped all the same."""
    query(postgres_dsn, f"ALTER TABLE audit_entries DETACH PARTITION {LEAF} CONCURRENTLY")
    done = await maintain.once(settings)
    assert (done.purged, done.announced) == ({ENTRIES: [OLD_DAY]}, 2)
    assert query(postgres_dsn, "SELECT to_regclass(%s)", [LEAF]) == [(None,)]
    assert len(query(postgres_dsn, GAPS)) == 2


@pytest.mark.parametrize("finished", [False, True], ids=["half", "whole"])
async def test_day_whose_purge_was_begun_comes_back_when_it_is_kept(
    settings: Settings, postgres_dsn: str, db: Database, *, finished: bool
) -> None:
    """With a longer retention what was detached takes entries again, and its numbers are no gap."""
    query(postgres_dsn, "INSERT INTO seq_gaps VALUES ('acme', '{[7,9)}', 'retention')")
    with psycopg.connect(postgres_dsn) as reader:
        reader.execute("SELECT count(*) FROM audit_entries WHERE occurred_at < CURRENT_DATE - 90")
        assert (await maintain.once(settings)).waiting == {ENTRIES: [OLD_DAY]}
    if finished:
        query(postgres_dsn, f"ALTER TABLE audit_entries DETACH PARTITION {LEAF} FINALIZE")
    assert query(postgres_dsn, STORED) == [("acme", 2)]
    longer = settings.model_copy(update={"retention_days": 95})
    assert (await maintain.once(longer)).put_back == {ENTRIES: [OLD_DAY]}
    assert query(postgres_dsn, STORED) == [("acme", 1), ("acme", 2), ("beta", 1)]
    assert query(postgres_dsn, GAPS) == [("acme", "{[7,9)}", "retention")]
    lane = await StoringLane.take(db)
    (new,) = (await lane.store(an_entry("beta", "2", at=OLD))).entries
    assert new["seq"] == 2
    assert (await maintain.once(longer)).put_back == {}
    assert (await maintain.once(settings, shorten=True)).purged[ENTRIES][-1] == OLD_DAY
    assert query(postgres_dsn, STORED) == [("acme", 2)]


async def test_gaps_of_an_organization_grow_together(postgres_dsn: str, db: Database) -> None:
    """Day after day the numbers purged stay one row, next to the gaps of other reasons."""
    await load(db, [an_entry("acme", str(n), at=OLD - timedelta(days=n)) for n in (3, 2)])
    query(postgres_dsn, "INSERT INTO seq_gaps VALUES ('acme', '{[9,10)}', 'recover')")
    async with maintenance(settings_at(postgres_dsn)) as store, alone(store) as session:
        assert session is not None
        for day in await retention.overdue(session, ENTRIES, KEPT.date()):
            assert await retention.purge(session, ENTRIES, day)
    assert sorted(query(postgres_dsn, GAPS)) == [
        ("acme", "{[1,2),[3,5)}", "retention"),
        ("acme", "{[9,10)}", "recover"),
        ("beta", "{[1,2)}", "retention"),
    ]


async def test_what_cannot_be_told_is_told_later(
    settings: Settings, postgres_dsn: str, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the bus away the day goes, and its organizations hear of it when the bus is back."""
    away = settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    monkeypatch.setattr(acknowledged, "START_SECONDS_MAX", 1.0)
    done = await maintain.once(settings.model_copy(update={"kafka": away}))
    assert (done.purged, done.announced, done.unannounced) == ({ENTRIES: [OLD_DAY]}, 0, 2)
    done = await maintain.once(settings)
    assert (done.announced, done.unannounced) == (2, 0)
    assert len(told(settings)) == 2


async def test_dead_letters_expire(settings: Settings, postgres_dsn: str, db: Database) -> None:
    """Those of a day that is too old go, those of the oldest day kept stay."""
    lane = await StoringLane.take(db)
    await lane.store(dead_letters=1)
    copy = """SELECT ensure_days('dead_letters', %(old)s::date, %(old)s::date);
              INSERT INTO dead_letters SELECT topic, partition, "offset" + 1, %(at)s, NULL, org_id,
              stage, reason, detail, key, raw, headers FROM dead_letters LIMIT 1"""
    for at in (KEPT, OLD):
        with psycopg.connect(postgres_dsn, autocommit=True) as connection:
            for statement in copy.split(";"):
                connection.execute(statement, {"old": OLD_DAY, "at": at})
    done = await maintain.once(settings)
    assert done.purged == {"audit_entries": [OLD_DAY], "dead_letters": [OLD_DAY]}
    left = "SELECT recorded_at FROM dead_letters ORDER BY recorded_at"
    assert query(postgres_dsn, left)[0] == (KEPT,)
    assert len(query(postgres_dsn, left)) == 2


async def test_second_maintainer_stands_by(
    settings: Settings, postgres_dsn: str, db: Database
) -> None:
    """While one is at work another does nothing but create days; both together do it all once."""
    async with maintenance(settings_at(postgres_dsn)) as store, alone(store):
        assert (await maintain.once(settings)).standing_by
    rounds = await asyncio.gather(*(maintain.once(settings) for _ in range(3)))
    assert sum(len(done.purged.get(ENTRIES, [])) for done in rounds) == 1
    assert sum(done.announced for done in rounds) == 2
    assert sum(len(done.sealed) for done in rounds) == 1


async def test_plain_user_with_the_role_does_all_of_it(
    settings: Settings, postgres_dsn: str, db: Database
) -> None:
    """No superuser is needed to purge, to tell and to seal; without the role there is no start."""
    with login_user(postgres_dsn, MAINTENANCE) as dsn:
        done = await maintain.once(with_dsn(settings, dsn))
    assert (done.purged, done.announced) == ({ENTRIES: [OLD_DAY]}, 2)
    assert [sealed.day for sealed in done.sealed] == [KEPT.date()]
    with login_user(postgres_dsn) as dsn, pytest.raises(StartRefused, match=MAINTENANCE):
        await maintain.once(with_dsn(settings, dsn))


async def test_database_that_is_not_up_to_date_is_refused(
    settings: Settings, empty_postgres_dsn: str
) -> None:
    """Before the tables are there, there is nothing to maintain."""
    with pytest.raises(StartRefused, match="hub-audit migrate"):
        await maintain.once(with_dsn(settings, empty_postgres_dsn))


def with_dsn(settings: Settings, dsn: str) -> Settings:
    """Return the settings for another way into a database."""
    postgres = settings.postgres.model_copy(update={"dsn": SecretStr(dsn)})
    return settings.model_copy(update={"postgres": postgres})


async def test_maintainer_goes_round_until_it_is_stopped(
    settings: Settings, postgres_dsn: str, db: Database
) -> None:
    """It maintains at once, says that it is ready, and ends when it is told to, also in between."""
    http = settings.http.model_copy(update={"port": free_port()})
    settings = settings.model_copy(update={"http": http})
    stop = asyncio.Event()
    running = asyncio.create_task(maintain.run(settings, stop))
    await until(postgres_dsn, "SELECT count(*) = 1 FROM sealed_days")
    await until_ready(f"http://127.0.0.1:{http.port}/readyz")
    await until_shown(0, 0, KEPT, 0)
    stop.set()
    await running


async def test_long_round_is_no_standstill(
    settings: Settings, postgres_dsn: str, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a day is sealed, what there is shows, and the process is as ready as it can be."""
    seen: list[tuple[float, float, float]] = []
    sealing = seal.seal

    async def looking(session: Session, day: date, *, rest: float) -> seal.Sealed:
        """Note what is shown before a day is sealed."""
        times = sample("oldest_day_timestamp_seconds"), sample("maintained_timestamp_seconds")
        seen.append((sample("unsealed_partitions"), *times))
        return await sealing(session, day, rest=rest)

    monkeypatch.setattr(seal, "seal", looking)
    await load(db, [an_entry("acme", "3", at=TODAY - timedelta(days=3))])
    http = settings.http.model_copy(update={"port": free_port()})
    stop, began = asyncio.Event(), time.time()
    running = asyncio.create_task(maintain.run(settings.model_copy(update={"http": http}), stop))
    await until(postgres_dsn, "SELECT count(*) = 2 FROM sealed_days")
    stop.set()
    await running
    assert [unsealed for unsealed, _, _ in seen] == [2, 1]
    assert all(oldest > 0 and went_on >= began for _, oldest, went_on in seen)


async def test_standby_tells_what_another_maintainer_did(
    settings: Settings, postgres_dsn: str, db: Database
) -> None:
    """What was sealed, dropped and rejected elsewhere shows here as well, so that alerts end."""
    http = settings.http.model_copy(update={"port": free_port()})
    often = settings.maintain.model_copy(update={"interval_seconds": 0.1})
    mine = settings.model_copy(update={"http": http, "maintain": often})
    stop = asyncio.Event()
    async with maintenance(settings_at(postgres_dsn)) as store, alone(store) as session:
        assert session is not None
        running = asyncio.create_task(maintain.run(mine, stop))
        await until_shown(1, 1, KEPT - timedelta(days=1), 0)
        assert await retention.purge(session, ENTRIES, OLD_DAY)
        await seal.seal(session, KEPT.date())
        await (await StoringLane.take(db)).store(dead_letters=1)
        await until_shown(0, 0, KEPT, 1)
        stop.set()
        await running


async def until_shown(unsealed: int, overdue: int, oldest: datetime, dead_letters: int) -> None:
    """Wait until a maintainer in this process says so of the store."""
    wanted = (unsealed, overdue, oldest.timestamp(), dead_letters)
    shown: tuple[float, ...] = ()
    deadline = time.monotonic() + 20
    while shown != wanted:
        assert time.monotonic() < deadline, shown
        await asyncio.sleep(0.05)
        shown = (
            sample("unsealed_partitions"),
            sample("overdue_partitions"),
            sample("oldest_day_timestamp_seconds"),
            sample("waiting_dead_letter_records", reason="invalid_json"),
        )


async def until_ready(url: str) -> None:
    """Wait until a process says that it is ready."""
    async with asyncio.timeout(20), httpx.AsyncClient() as client:
        while (await client.get(url)).status_code != 200:  # noqa: ASYNC110 - it is another server
            await asyncio.sleep(0.05)


def invoke(settings: Settings, *arguments: str) -> Result:
    """Run the command in the environment of the settings."""
    env = {
        "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "HUB_AUDIT_KAFKA_TOPIC_PREFIX": settings.kafka.topic_prefix,
        "HUB_AUDIT_POSTGRES_DSN": settings.postgres.dsn.get_secret_value(),
    }
    return CliRunner(env=env).invoke(main, ["maintain", *arguments])


async def test_command_says_what_it_does_and_would_do(
    settings: Settings, postgres_dsn: str, db: Database
) -> None:
    """A dry run changes nothing and tells the same days as the run that follows."""
    dry = await asyncio.to_thread(invoke, settings, "--dry-run")
    assert dry.stdout.splitlines() == [
        f"would drop {OLD_DAY} of audit_entries, about 0 rows",
        f"would seal {KEPT.date()}",
    ]
    planned = json.loads((await asyncio.to_thread(invoke, settings, "--dry-run", "--json")).stdout)
    assert planned["purge"]["audit_entries"] == {str(OLD_DAY): 0}
    assert len(query(postgres_dsn, STORED)) == 3
    done = await asyncio.to_thread(invoke, settings, "--once")
    assert done.exit_code == 0
    assert f"dropped {OLD_DAY} of audit_entries" in done.stdout
    assert "announced 2 purges" in done.stdout
    assert f"sealed {KEPT.date()}, 1 entry in" in done.stdout
    assert (await asyncio.to_thread(invoke, settings, "--dry-run")).stdout == "nothing to do\n"
