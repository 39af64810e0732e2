"""A process from its start to its exit code, and what it says of itself meanwhile."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError

import pytest

from processor import metrics
from processor.errors import StartRefused
from processor.health import serve
from processor.local.port import free_port
from processor.settings import Http

PROGRAM = """
import asyncio, sys
from processor import lifecycle, logs
from processor.errors import DatabaseOutage, StartRefused

async def until_stopped(stop):
    print("started", flush=True)
    await stop.wait()

async def refused(stop):
    raise StartRefused(["no topics", "no tables"])

async def outage(stop):
    raise DatabaseOutage("away")

async def bug(stop):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.sleep(60))
        raise ZeroDivisionError

async def cancelled(stop):
    inner = asyncio.ensure_future(stop.wait())
    inner.cancel()
    await inner

logs.configure("INFO", "json")
sys.exit(lifecycle.run(globals()[sys.argv[1]]))
"""


@contextmanager
def program(main: str) -> Iterator[subprocess.Popen[str]]:
    """Run one of the mains above in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, main]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_in_order(number: signal.Signals) -> None:
    """On SIGTERM and Ctrl-C the main ends by itself, and the exit code is 0."""
    with program("until_stopped") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(number)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("main", "code", "events"),
    [
        ("refused", 2, [("start_refused", "no topics"), ("start_refused", "no tables")]),
        ("outage", 1, [("ended", "away")]),
    ],
)
def test_expected_ends_have_no_trace(main: str, code: int, events: list[tuple[str, str]]) -> None:
    """A refused start is 2 and lists its problems, an outage at the start is 1."""
    with program(main) as process:
        _, said = process.communicate(timeout=20)
    assert process.returncode == code
    logged = [json.loads(line) for line in said.splitlines()]
    assert [(line["event"], line.get("problem") or line.get("error")) for line in logged] == events
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("main", "error"), [("bug", "ZeroDivisionError"), ("cancelled", "CancelledError")]
)
def test_bug_ends_the_process(main: str, error: str) -> None:
    """A crash in any task is logged with its trace, and the exit code asks for a restart.

    So is a cancellation that nobody asked for.
    """
    with program(main) as process:
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    (line,) = [json.loads(line) for line in said.splitlines()]
    assert line["event"] == "crashed"
    assert error in line["trace"]


def get(port: int, path: str) -> tuple[int, str]:
    """Return status and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_health_and_metrics_are_served() -> None:
    """Alive while the loop turns, ready when the process says so, metrics at any time."""
    state = (False, "lane 3 is taking over")
    port = free_port()
    async with serve(Http(port=port), lambda: state):
        assert await asyncio.to_thread(get, port, "/livez") == (200, "ok\n")
        assert await asyncio.to_thread(get, port, "/readyz") == (503, "lane 3 is taking over\n")
        state = (True, "12 lanes flow")
        assert await asyncio.to_thread(get, port, "/readyz") == (200, "12 lanes flow\n")
        metrics.started("process", "0.0.0", "0")
        status, text = await asyncio.to_thread(get, port, "/metrics")
        assert status == 200
        assert 'hub_audit_build_info{normalizer="0",version="0.0.0"} 1.0' in text
        assert "process_resident_memory_bytes" in text
        assert "process_start_time_seconds" in text
        assert (await asyncio.to_thread(get, port, "/elsewhere"))[0] == 404


async def test_server_ends_with_its_block() -> None:
    """Afterwards nothing listens, and signals are still the process's own."""
    port = free_port()
    before = signal.getsignal(signal.SIGTERM)
    async with serve(Http(port=port), lambda: (True, "")):
        assert signal.getsignal(signal.SIGTERM) is before
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    async with serve(Http(port=port), lambda: (True, "")):
        pass


async def test_port_in_use_refuses_the_start() -> None:
    """Somebody else on the port: one sentence with the setting that helps."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartRefused) as caught:
            async with serve(Http(port=port), lambda: (True, "")):
                pass
    assert caught.value.problems == [
        f"http.port: 127.0.0.1:{port} is in use; set HUB_AUDIT_HTTP_PORT to another"
    ]
