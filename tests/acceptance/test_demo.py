"""``hub-audit demo``: a newcomer's first minute, from nothing to a live audit log and back."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from processor.local.kafka import Broker
from processor.local.stack import Addresses

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


def until(process: subprocess.Popen[str], pattern: str) -> None:
    """Read the output up to the first line that matches; fail with all of it when none does."""
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        if re.search(pattern, line):
            return
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
