"""The tests' own databases, migrated, empty, and nobody else's; and servers that a shell names."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from processor.local.port import free_port


def test_database_is_migrated_and_empty(postgres_dsn: str) -> None:
    """A test finds the tables and nothing in them, and may write as it likes."""
    with psycopg.connect(postgres_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM audit_entries").fetchone() == (0,)
        connection.execute("CREATE TABLE mine ()")


def test_database_is_not_shared(postgres_dsn: str, empty_postgres_dsn: str) -> None:
    """What one test makes, no other sees."""
    find = "SELECT to_regclass('mine'), to_regclass('audit_entries')"
    with psycopg.connect(postgres_dsn) as connection:
        assert connection.execute(find).fetchone() == (None, "audit_entries")
    with psycopg.connect(empty_postgres_dsn) as connection:
        assert connection.execute(find).fetchone() == (None, None)


@pytest.mark.parametrize(
    ("name", "address", "test"),
    [
        ("HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:{}", "test_topics.py"),
        ("HUB_AUDIT_POSTGRES_DSN", "postgresql://hub:secret@127.0.0.1:{}/hub", "test_seal.py"),
    ],
)
@pytest.mark.parametrize("processes", ["0", "2"])
def test_servers_that_have_ended_are_said_at_once(
    name: str, address: str, test: str, processes: str
) -> None:
    """One message instead of a thousand failures, where a shell still has what `make up` wrote."""
    file = str(Path(__file__).with_name(test))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        processes,
        file,
    ]
    env = os.environ | {name: address.format(free_port())}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"no server answers where {name} of this shell leads" in done.stdout
    assert "passed" not in done.stdout
