"""What `make up` and the demo leave for shells, and whose servers a later command takes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from processor.local.child import NotStarted
from processor.local.postgres import find_binaries
from processor.local.stack import LOCAL_SERVERS, Addresses, Stack, running


@pytest.fixture(scope="module")
def up(server_directory: Path) -> Iterator[tuple[Stack, Addresses]]:
    """Give servers as `make up` leaves them."""
    stack = Stack(server_directory / "up")
    yield stack, stack.up(outlive=True)
    stack.remove()


def sourced(file: Path, command: str) -> str:
    """Return what a command prints in a shell that has sourced a file and finds nothing else."""
    return subprocess.run(
        ["/bin/sh", "-c", f". '{file}'; {command}"],
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_shell_finds_the_servers_and_their_psql(up: tuple[Stack, Addresses]) -> None:
    """Where only the server's folder has psql, a shell finds it there; it knows whose they are."""
    stack, addresses = up
    assert sourced(stack.env_file, "echo $LOCAL_SERVERS") == addresses.mark(stack.directory)
    assert sourced(stack.env_file, "command -v psql") == str(find_binaries() / "psql")
    dsn = sourced(stack.env_file, 'echo "$HUB_AUDIT_POSTGRES_DSN"')
    assert dsn == addresses.dsn
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_servers_of_make_up_are_taken(
    up: tuple[Stack, Addresses], caplog: pytest.LogCaptureFixture
) -> None:
    """A second `make up`, and a demo, take them and leave them running."""
    stack, addresses = up
    assert Stack(stack.directory).up(outlive=True) == addresses
    caplog.set_level("INFO")
    with running(stack.directory) as found:
        assert found == addresses
    assert caplog.messages == ["using the Kafka and Postgres of `make up`"]
    assert stack.left_running() == addresses


def test_servers_of_a_demo_are_not_taken_for_those_of_make_up(
    server_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They end with it: a second demo says so, and `make up` refuses to pass them on."""
    directory = server_directory / "demos"
    with running(directory) as addresses:
        with pytest.raises(NotStarted, match="a demo runs here"):
            Stack(directory).up(outlive=True)
        caplog.set_level("INFO")
        caplog.clear()
        with running(directory) as found:
            assert found == addresses
        assert caplog.messages == ["using the Kafka and Postgres of another demo: they end with it"]
        assert Stack(directory).left_running() == addresses
    assert Stack(directory).left_running() is None
    Stack(directory).remove()


def test_what_a_shell_sourced_here_is_not_taken_for_servers_of_others(
    up: tuple[Stack, Addresses], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its addresses may be dead by now; those of others, set in the same shell, are taken."""
    stack, addresses = up
    dead = addresses._replace(bootstrap_servers="127.0.0.1:1")
    monkeypatch.setenv(LOCAL_SERVERS, dead.mark(stack.directory))
    for name, value in dead.environment().items():
        monkeypatch.setenv(name, value)
    with running(stack.directory) as found:
        assert found == addresses
    others = Addresses("kafka.example:9092", "postgresql://db.example/audit")
    for name, value in others.environment().items():
        monkeypatch.setenv(name, value)
    with running(stack.directory) as found:
        assert found == others
