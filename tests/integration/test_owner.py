"""A database of another environment or group: every process and command leaves it alone."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from click.testing import CliRunner, Result

from processor import maintain, worker
from processor.api import serve
from processor.cli import main
from processor.defend import app as defend
from processor.demo.seed import seed
from processor.emit import topics
from processor.errors import StartRefused
from processor.forward import forwarder
from processor.local.port import free_port
from processor.settings import Settings
from processor.store.books import ours
from processor.store.pool import FORWARDER, MAINTENANCE, READER, WRITER
from tests.integration.ops import cleaned, environment_of, settings_of
from tests.integration.store import StoringLane, an_entry, opened, query, settings_at

REFUSED = "the database belongs to environment elsewhere, group others"
TOKEN = str(UUID(int=7))
LETTER = "raw.billing/1/7"
FILE = "log.csv"

PROCESSES = {
    "process": worker.run,
    "serve": serve.run,
    "forward": forwarder.run,
    "defend": defend.run,
    "maintain": maintain.run,
}

COMMANDS = (
    "process",
    "maintain --once",
    "maintain --dry-run",
    "recover --yes",
    "republish --yes",
    "dead-letters list",
    f"dead-letters show {LETTER}",
    "dead-letters redrive --yes",
    f"dead-letters redrive --yes {LETTER}",
    "subscriptions list",
    "subscriptions create acme hub",
    "subscriptions pause acme hub",
    "subscriptions resume acme hub",
    "subscriptions replay acme hub --after 0",
    "subscriptions test acme hub",
    "subscriptions tail acme hub --limit 1",
    "subscriptions delete acme hub --yes",
    "tokens create acme poller",
    "tokens list acme",
    f"tokens rotate acme {TOKEN}",
    f"tokens revoke acme {TOKEN} --yes",
    f"export --org acme --output {FILE}",
    "search --org acme",
)
"""All that opens the database but for migrate, which makes it, and doctor, which says so itself."""


def rows_of(dsn: str) -> dict[str, list[tuple[str]]]:
    """Return every row of the database, as text, by table."""
    tables = query(
        dsn,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p') AND NOT relispartition",
    )
    text = "SELECT t::text FROM {} AS t ORDER BY 1"
    return {name: query(dsn, str.format(text, name)) for (name,) in tables}


@pytest.fixture
def foreign_dsn(postgres_dsn: str) -> str:
    """Give a database with an entry, a subscription and a token of others."""

    async def fill() -> None:
        """Store an entry."""
        async with opened(postgres_dsn) as db:
            await (await StoringLane.take(db)).store(an_entry("acme", "a"), dead_letters=1)

    asyncio.run(fill())
    query(postgres_dsn, "INSERT INTO identity VALUES (true, 'elsewhere', 'others')")
    query(
        postgres_dsn,
        "INSERT INTO subscriptions (org_id, format, shard, filter, forwarded_through, told_through)"
        " VALUES ('acme', 'hub', 0, '{}', 0, 0)",
    )
    query(
        postgres_dsn,
        "INSERT INTO service_tokens (id, org_id, name, sha256, expires_at)"
        " VALUES (%s, 'acme', 'theirs', '', now() + '1 day'::interval)",
        [TOKEN],
    )
    return postgres_dsn


def invoke(settings: Settings, command: str) -> Result:
    """Run a command in the environment of the settings."""
    return CliRunner(env=environment_of(settings)).invoke(main, command.split())


@pytest.mark.parametrize("process", PROCESSES)
def test_no_process_works_with_the_database_of_another(
    kafka: str, foreign_dsn: str, process: str
) -> None:
    """Each ends at once, says whose it is, and has written nothing."""
    ports = {"HTTP_PORT": str(free_port()), "SERVE_PORT": str(free_port())}
    run: Callable[[Settings, asyncio.Event], Awaitable[None]] = PROCESSES[process]
    before = rows_of(foreign_dsn)

    async def start() -> None:
        """Run it until it ends by itself, or has not for far too long."""
        async with asyncio.timeout(30):
            await run(settings_of(kafka, foreign_dsn, **ports), asyncio.Event())

    with pytest.raises(StartRefused, match=REFUSED):
        asyncio.run(start())
    assert rows_of(foreign_dsn) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_works_with_the_database_of_another(
    kafka: str,
    foreign_dsn: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each says whose it is: what settings that belong elsewhere change cannot be taken back."""
    monkeypatch.chdir(tmp_path)
    before = rows_of(foreign_dsn)
    with cleaned(settings_of(kafka, foreign_dsn)) as settings:
        result = invoke(settings, command)
    assert result.exit_code == 2, result.output
    assert REFUSED in result.stderr
    assert rows_of(foreign_dsn) == before
    assert list(tmp_path.iterdir()) == []


def test_partitions_are_not_added_by_the_database_of_another(kafka: str, foreign_dsn: str) -> None:
    """Its lanes say nothing of the batches that may not be on these topics yet."""
    with cleaned(settings_of(kafka, foreign_dsn)) as settings:
        asyncio.run(topics.create(settings))
        result = invoke(settings, "topics create --partitions 4")
        assert asyncio.run(topics.check(settings)) == topics.State([], [])
    assert result.exit_code == 2, result.output
    assert REFUSED in result.stderr


def test_demo_gives_no_past_to_the_database_of_another(foreign_dsn: str) -> None:
    """Ninety days that never were could not be told from those that were."""
    before = rows_of(foreign_dsn)
    with pytest.raises(StartRefused, match=REFUSED):
        asyncio.run(seed(settings_at(foreign_dsn)))
    assert rows_of(foreign_dsn) == before


@pytest.mark.parametrize("role", [WRITER, READER, FORWARDER, MAINTENANCE])
async def test_every_role_may_work_with_what_is_nobodys_yet(postgres_dsn: str, role: str) -> None:
    """Who reads or subscribes may be there before the first worker, and claims nothing."""
    async with ours(settings_at(postgres_dsn), role=role) as db:
        await db.answers()
    assert query(postgres_dsn, "SELECT * FROM identity") == []


@pytest.mark.parametrize(
    "without", ["REVOKE SELECT ON identity FROM hub_audit_forwarder", "DROP TABLE identity"]
)
async def test_database_before_its_migrations_is_said_to_be(
    postgres_dsn: str, without: str
) -> None:
    """A process that is exchanged before the schema says what is to be run."""
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(without.encode())
    with pytest.raises(StartRefused, match="not up to date: run hub-audit migrate"):
        async with ours(settings_at(postgres_dsn), role=FORWARDER):
            raise AssertionError
