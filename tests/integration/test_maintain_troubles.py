"""Maintenance with lost sessions, full disks, wrong clocks and wrong settings."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from processor import maintain
from processor.errors import DatabaseOutage
from processor.settings import Settings
from processor.store import findings, seal
from processor.store.findings import Alert
from processor.store.load import load
from processor.store.maintenance import Session, alone, maintenance
from processor.store.partitions import ENTRIES
from processor.store.pool import FORWARDER, Database
from tests.integration.overdue import KEPT, OLD_DAY, TODAY, announcing, overdue
from tests.integration.store import an_entry, opened, query, settings_at
from tests.integration.test_maintain import STORED, invoke
from tests.integration.test_seal import disk_full, kill
from tests.integration.test_store_findings import NOW, a_finding

COPIES = "SELECT count(*) FROM pg_class WHERE relname LIKE 'audit_entries%_sealing'"


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


async def test_copy_does_not_wait_for_the_next_round(
    settings: Settings, postgres_dsn: str, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A maintainer that lost its session amid a day removes the copy over another one."""
    copy = seal._copy

    async def cut_off(session: Session, *rest: Any) -> None:
        """Copy, and have the session ended."""
        await copy(session, *rest)
        await kill(postgres_dsn, session)
        await session.execute("SELECT 1")

    monkeypatch.setattr(seal, "_copy", cut_off)
    with pytest.raises(DatabaseOutage):
        await maintain.once(settings)
    assert query(postgres_dsn, COPIES) == [(0,)]


async def test_sealing_rests_after_a_full_disk(
    settings: Settings, postgres_dsn: str, db: Database
) -> None:
    """A day that finds no room is the last for hours, whoever maintains; all else is done."""
    days_ago = [TODAY - timedelta(days=number) for number in (3, 4)]
    await load(db, [an_entry("acme", f"{at:%d}-{n}", at=at) for at in days_ago for n in range(60)])
    unsealed = [str(at.date()) for at in (*days_ago, KEPT)]
    with disk_full(postgres_dsn):
        done = await maintain.once(settings)
    assert done.purged == {ENTRIES: [OLD_DAY]}
    assert ([*done.unsealed], done.sealed) == (unsealed, [])
    assert "the disk was full" in done.unsealed[unsealed[0]]
    assert query(postgres_dsn, COPIES) == [(0,)]
    assert [*(await maintain.once(settings)).unsealed] == unsealed
    assert (
        "would seal nothing before"
        in (await asyncio.to_thread(invoke, settings, "--dry-run")).stdout
    )
    query(postgres_dsn, "UPDATE maintenance SET sealing_rests_until = now()")
    assert [str(sealed.day) for sealed in (await maintain.once(settings)).sealed] == unsealed


@pytest.mark.parametrize("years", [1, -1], ids=["ahead", "behind"])
async def test_nothing_is_dropped_by_a_clock_that_is_wrong(
    settings: Settings, postgres_dsn: str, db: Database, years: int
) -> None:
    """While Postgres' clock is far from ours no day goes, and whoever asks is told."""
    with clock_of_postgres(postgres_dsn, years):
        dry = await asyncio.to_thread(invoke, settings, "--dry-run")
        done = await asyncio.to_thread(invoke, settings, "--once")
    assert f"Postgres' clock is {years * 365 * 86_400:+}"[:-4] in dry.stdout
    assert "would drop" not in dry.stdout
    assert done.exit_code == 1
    assert "nothing is dropped before both are right" in done.stdout
    assert len(query(postgres_dsn, STORED)) == 3
    assert (await maintain.once(settings)).purged[ENTRIES][-1] == OLD_DAY
    assert query(postgres_dsn, STORED) == [("acme", 2)]


@contextmanager
def clock_of_postgres(dsn: str, years: int) -> Iterator[None]:
    """Have a database's clock be years of 365 days ahead."""
    name = urlsplit(dsn).path[1:]
    query(
        dsn,
        f"""CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql STABLE AS
            $$ SELECT pg_catalog.now() + interval '1 day' * {365 * years} $$;
            ALTER DATABASE {name} SET search_path = public, pg_catalog""",
    )
    yield
    query(dsn, f"ALTER DATABASE {name} RESET search_path")


async def test_findings_stay_as_long_as_entries(settings: Settings, postgres_dsn: str) -> None:
    """However few days another process has set, none goes before the entries of its day."""
    young, old, older = (NOW - days * 86_400_000 for days in (40, 91, 200))
    async with opened(postgres_dsn, role=FORWARDER) as db:
        for number, last_ms in enumerate((young, old, older)):
            await findings.keep(db, [a_finding(finding_id=str(UUID(int=number)), last_ms=last_ms)])
            await findings.keep_alerts(db, [Alert("acme", f"{number}", last_ms, last_ms, {})])
    left = "SELECT (SELECT count(*) FROM findings), (SELECT count(*) FROM endpoint_alerts)"
    await maintain.once(settings.model_copy(update={"retention_days": 120}))
    assert query(postgres_dsn, left) == [(2, 2)]
    await maintain.once(settings.model_copy(update={"retention_days": 30}))
    assert query(postgres_dsn, left) == [(2, 2)]
    await maintain.once(settings, shorten=True)
    assert query(postgres_dsn, left) == [(1, 1)]


async def test_retention_is_shortened_by_an_order_alone(
    settings: Settings, postgres_dsn: str, db: Database
) -> None:
    """A shell without the setting drops nothing that is kept, says so, and says how it would."""
    longer = settings.model_copy(update={"retention_days": 95})
    assert (await maintain.once(longer)).purged == {}
    dry = await asyncio.to_thread(invoke, settings, "--dry-run")
    assert dry.stdout == (
        "95 days were kept so far and 90 are set: if the rest may go,"
        " `hub-audit maintain --once --shorten`\n"
    )
    done = await asyncio.to_thread(invoke, settings, "--once")
    assert (done.exit_code, done.stdout) == (1, dry.stdout)
    assert len(query(postgres_dsn, STORED)) == 3
    order = await asyncio.to_thread(invoke, settings, "--dry-run", "--shorten")
    assert f"would drop {OLD_DAY} of audit_entries, about 2 rows" in order.stdout.splitlines()
    assert (await asyncio.to_thread(invoke, settings, "--shorten")).exit_code == 2
    async with maintenance(settings_at(postgres_dsn)) as store, alone(store):
        order = await asyncio.to_thread(invoke, settings, "--once", "--shorten")
    assert (order.exit_code, order.stdout) == (1, "another maintainer is at work\n")
    order = await asyncio.to_thread(invoke, settings, "--once", "--shorten")
    assert (order.exit_code, "were kept" in order.stdout) == (0, False)
    assert query(postgres_dsn, STORED) == [("acme", 2)]
    assert (await asyncio.to_thread(invoke, settings, "--dry-run")).stdout == "nothing to do\n"
