"""The runbook's own commands and queries, run against a log that has what they look for."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from processor.emit import topics
from processor.settings import Settings
from processor.store.pool import WRITER
from tests.integration.ops import OPERATOR, cleaned, settings_of
from tests.integration.store import StoringLane, an_entry, opened
from tests.integration.test_process import environment
from tests.integration.test_store_migrations import login_user

RUNBOOK = (Path(__file__).parents[2] / "deploy" / "runbook.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"^```sql\n(.*?)^```", RUNBOOK, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", RUNBOOK, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
FOUND = ("FROM dead_letters", "FROM audit_entries", "FROM source_offsets", "FROM partition_days")
"""Queries that find something in any log; the others find what is wrong, so nothing."""


@pytest.mark.timeout(180)
async def test_commands_and_queries_run(kafka: str, postgres_dsn: str) -> None:
    """Each is accepted, and finds what it is for: a dead letter, an entry, places and days."""
    assert (len(QUERIES), len(COMMANDS)) == (7, 9)
    with (
        login_user(postgres_dsn, *OPERATOR) as operator,
        cleaned(settings_of(kafka, operator)) as settings,
    ):
        await topics.create(settings)
        async with opened(postgres_dsn) as db:
            lane = await StoringLane.take(db)
            await lane.store(dead_letters=1)
            await lane.store(an_entry("acme", "evt-1"))
        for text in QUERIES:
            assert bool(asked(operator, text)) == any(each in text for each in FOUND), text
        for line in COMMANDS:
            run(line, settings)


async def test_operator_finds_and_ends_the_session_that_holds_a_lane(postgres_dsn: str) -> None:
    """Although it is another login's: what such a one does is hidden from most."""
    (sessions,) = [text for text in QUERIES if "pg_stat_activity" in text]
    sessions = sessions.replace("10 seconds", "0 seconds")
    with (
        login_user(postgres_dsn, *OPERATOR) as operator,
        login_user(postgres_dsn, WRITER) as worker,
    ):
        async with opened(worker) as db, db.connection() as frozen:
            await frozen.execute("BEGIN; SELECT FROM lanes FOR UPDATE")
            (pid,) = [row[0] for row in asked(operator, sessions) if "FOR UPDATE" in row[5]]
            assert asked(operator, f"SELECT pg_terminate_backend({pid}, 10000)") == [(True,)]


def asked(dsn: str, text: str) -> list[Any]:
    """Run a block of statements in one session, as `psql` does; return what the query found."""
    found: list[Any] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in filter(None, map(str.strip, text.split(";"))):
            cursor = connection.execute(statement)
            if cursor.description:
                found = cursor.fetchall()
    return found


def run(line: str, settings: Settings) -> None:
    """Run a command of the runbook; fail where it fails."""
    program, *arguments = shlex.split(line)
    assert program == "hub-audit"
    done = subprocess.run(
        [str(Path(sys.executable).with_name("hub-audit")), *arguments],
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
