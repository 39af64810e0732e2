"""The runbook's own commands and queries, run against a log that has what they look for."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from processor.emit import topics
from processor.settings import Settings
from tests.integration.ops import cleaned, settings_of
from tests.integration.store import StoringLane, an_entry, opened, query
from tests.integration.test_process import environment

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
    with cleaned(settings_of(kafka, postgres_dsn)) as settings:
        await topics.create(settings)
        async with opened(postgres_dsn) as db:
            lane = await StoringLane.take(db)
            await lane.store(dead_letters=1)
            await lane.store(an_entry("acme", "evt-1"))
        for text in QUERIES:
            rows = query(postgres_dsn, text)
            assert bool(rows) == any(each in text for each in FOUND), text
        for line in COMMANDS:
            run(line, settings)


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
