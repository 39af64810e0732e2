"""``hub-audit demo``: a newcomer's first minute, from nothing to a live audit log and back."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from processor.local.kafka import Broker
from processor.local.stack import Addresses

COUNTS = ("published", "stored")
HUB_AUDIT = Path(sys.executable).with_name("hub-audit")


@contextmanager
def demo(directory: Path, servers: Addresses | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run the demo with its data in a directory, on servers of its own or on those given."""
    directory.mkdir()
    command = [str(HUB_AUDIT), "demo", "--rate", "200"]
    with subprocess.Popen(
        command,
        cwd=directory,
        env=os.environ | (servers.environment() if servers else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(process: subprocess.Popen[str], pattern: str) -> str:
    """Return the first line of the output that matches; fail with all of it when none does."""
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        if re.search(pattern, line):
            return line
    pytest.fail(f"{pattern} is nowhere in:\n{''.join(lines)}")


def listens(port: int) -> bool:
    """Return whether a server takes connections on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.timeout(120)
def test_demo_shows_entries_and_dead_letters_and_ends_all_it_started(
    server_directory: Path,
) -> None:
    """Ctrl-C after the first dead letter: exit code 0, and neither server is there any more."""
    directory = server_directory / "demo"
    with demo(directory) as process:
        until(process, r"entries [1-9].* discards [1-9].* dead letters [1-9].* p50 [\d,]+ ms")
        settings = (directory / ".local" / "env").read_text()
        ports = {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", settings)}
        assert [listens(port) for port in ports] == [True, True]
        process.send_signal(signal.SIGINT)
        until(process, "ending what was started")
        assert process.wait() == 0
        assert [listens(port) for port in ports] == [False, False]


@contextmanager
def frozen(dsn: str) -> Iterator[None]:
    """Freeze a Postgres server, with every backend of its, for the length of a block."""
    with psycopg.connect(dsn) as connection:
        status = Path(f"/proc/{connection.info.backend_pid}/status").read_text()
    server = int(*re.findall(r"^PPid:\s+(\d+)", status, re.MULTILINE))
    os.kill(server, signal.SIGSTOP)  # first: from now on there are no others
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    backends = [int(child) for child in children]
    for backend in backends:
        os.kill(backend, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in (*backends, server):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.timeout(180)
def test_demo_outlasts_a_database_that_is_away(server_directory: Path) -> None:
    """It says so for as long as Postgres is frozen, 15 s, and then goes on; figures stay true."""
    directory = server_directory / "outage"
    with demo(directory) as process:
        until(process, r"entries [1-9]")
        settings = (directory / ".local" / "env").read_text()
        (dsn,) = re.findall(r"HUB_AUDIT_POSTGRES_DSN=(\S+)", settings)
        with frozen(*shlex.split(dsn)):
            began = seconds(until(process, "database away"))
            while seconds(until(process, "database away")) < began + 15:
                pass
        line = until(process, r"lag \d+  latency p50 [\d,]+ ms p95 [\d,]+ ms$")
        published, stored = (int(*re.findall(rf"{of} (\d+)", line)) for of in COUNTS)
        assert published >= stored > 0
        process.send_signal(signal.SIGINT)
        until(process, "ending what was started")
        assert process.wait() == 0


def seconds(line: str) -> float:
    """Return when a line of the demo was said, in seconds since it began."""
    return float(line.split(maxsplit=1)[0])


@pytest.mark.timeout(120)
def test_demo_runs_on_servers_that_are_not_its_own(
    server_directory: Path, empty_postgres_dsn: str
) -> None:
    """In a fresh checkout too, and they stay when it ends."""
    broker = Broker(server_directory / "kafka-of-others")
    broker.start()
    try:
        servers = Addresses(broker.bootstrap_servers, empty_postgres_dsn)
        with demo(server_directory / "guest", servers) as process:
            until(process, r"entries [1-9]")
            process.send_signal(signal.SIGINT)
            until(process, "ending what was started")
            assert process.wait() == 0
        assert broker.answers()
    finally:
        broker.kill()
