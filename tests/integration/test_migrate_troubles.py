"""Migrating while somebody uses the tables: nobody stands behind it, and it says who is first."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from processor.errors import DatabaseOutage
from processor.store import migrations
from processor.store.sql import migrations as all_migrations
from tests.integration.store import StoringLane, an_entry, opened, until

WAITING = """SELECT count(*) > 0 FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
             WHERE NOT l.granted AND d.datname = current_database()"""


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have one migration more, which changes a table that all processes use."""
    more = ("9999_more", "ALTER TABLE audit_entries ADD COLUMN more text")
    monkeypatch.setattr(migrations, "migrations", lambda: [*all_migrations(), more])
    monkeypatch.setattr(migrations, "ATTEMPT_PAUSE_SECONDS", 0.1)


async def test_migration_lets_others_work_during_a_backup(postgres_dsn: str, newer: None) -> None:
    """While pg_dump keeps a migration from its table batches are stored, and then it is applied."""
    async with opened(postgres_dsn) as db:
        lane = await StoringLane.take(db)
        with backup(postgres_dsn) as dump:
            migrating = asyncio.create_task(migrations.migrate(postgres_dsn))
            for event_id in ("a", "b"):
                await until(postgres_dsn, WAITING)
                async with asyncio.timeout(20):
                    await lane.store(an_entry("acme", event_id))
            dump.rollback()
            assert await migrating == ["9999_more"]


async def test_migration_gives_up_when_a_backup_takes_too_long(
    postgres_dsn: str, newer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what is in its way, and nothing of it has been done."""
    monkeypatch.setattr(migrations, "ATTEMPTS_MAX", 2)
    with backup(postgres_dsn), pytest.raises(DatabaseOutage, match="9999_more waits for a session"):
        await migrations.migrate(postgres_dsn)
    async with opened(postgres_dsn) as db:
        assert await migrations.pending(db) == ["9999_more"]


@contextmanager
def backup(dsn: str) -> Iterator[psycopg.Connection]:
    """Hold the lock that pg_dump holds as long as it works."""
    with psycopg.connect(dsn) as dump:
        dump.execute("LOCK TABLE audit_entries IN ACCESS SHARE MODE")
        yield dump
