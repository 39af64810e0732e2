"""From nothing to an event in Postgres and on its canonical topic, by commands alone."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import pytest
from confluent_kafka import Producer

from processor.local.port import free_port
from processor.settings import Settings
from tests.integration import bus
from tests.integration.ops import cleaned, settings_of
from tests.integration.store import query

PATIENCE_SECONDS = 40.0
HUB_AUDIT = (sys.executable, "-c", "from processor.cli import main; main()")


@pytest.fixture
def settings(kafka: str, empty_postgres_dsn: str) -> Iterator[Settings]:
    """Give settings for a bus and a database in which nothing is prepared."""
    own = settings_of(kafka, empty_postgres_dsn, HTTP_PORT=str(free_port()))
    with cleaned(own):
        yield own


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a command."""
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": settings.kafka.topic_prefix,
        "POSTGRES_DSN": settings.postgres.dsn.get_secret_value(),
        "GROUP": settings.group,
        "LANES": str(settings.lanes),
        "HTTP_PORT": str(settings.http.port),
    }
    return dict(os.environ) | {f"HUB_AUDIT_{name}": value for name, value in given.items()}


def command(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*HUB_AUDIT, *arguments],
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def answer(settings: Settings, path: str) -> str:
    """Return what the process answers; nothing while it does not or is not ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{settings.http.port}{path}") as response:
            text: str = response.read().decode()
            return text
    except (URLError, OSError):
        return ""


def publish(settings: Settings, *events: object) -> None:
    """Put events on the identity topic, as upstream does."""
    producer = Producer(
        {"bootstrap.servers": settings.kafka.bootstrap_servers, "partitioner": "murmur2_random"}
    )
    for event in events:
        producer.produce(settings.topic("raw.identity"), json.dumps(event), "acme")
    assert producer.flush(20) == 0


def login() -> dict[str, object]:
    """Return a raw login of now."""
    return {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/hub/identity",
        "type": "identity.login.succeeded.v1",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "orgid": "acme",
        "data": {"actor": {"type": "user", "id": "u-1"}, "method": "sso"},
    }


@contextmanager
def worker(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker for the length of a block, from when it is ready."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [*HUB_AUDIT, "process"], env=environment(settings), stdout=output, stderr=output
        )
    try:
        until(lambda: "3 lanes flow" in answer(settings, "/readyz"), log.read_text())
        yield process
    finally:
        process.kill()
        process.wait()


def prepare(settings: Settings) -> None:
    """Make tables and topics, by the commands that a refused start names."""
    refused = command(settings, "process")
    assert refused.returncode == 2
    assert "run `hub-audit topics create`" in refused.stderr
    assert "hub-audit migrate" in refused.stderr
    assert command(settings, "migrate").stdout.endswith("the database is up to date\n")
    created = command(settings, "topics", "create")
    assert created.stdout == "34 topics created, 0 got partitions\n"


@pytest.mark.timeout(150)
def test_commands_lead_from_nothing_to_an_audit_log(settings: Settings, tmp_path: Path) -> None:
    """Refused first, then prepared, started, fed, examined, redriven and ended in order."""
    prepare(settings)
    log, dsn = tmp_path / "process.log", settings.postgres.dsn.get_secret_value()
    with worker(settings, log) as process:
        publish(settings, login(), login() | {"type": "identity.login.succeeded.v9"})
        ends = "SELECT (SELECT count(*) FROM audit_entries), (SELECT count(*) FROM dead_letters)"
        until(lambda: query(dsn, ends) == [(1, 1)], "an entry and a dead letter")
        topic = settings.topic("hub.auth.login_success")
        until(lambda: len(bus.read(settings.kafka.bootstrap_servers, [topic])) == 1, "canonical")
        entries = 'hub_audit_entries_total{category="authentication"} 1.0'
        until(lambda: entries in answer(settings, "/metrics"), entries)
        doctor = command(settings, "doctor")
        assert doctor.returncode == 0, doctor.stdout + doctor.stderr
        assert "0 records, 1 workers" in doctor.stdout
        growing = command(settings, "topics", "create", "--partitions", "4")
        assert (
            growing.stderr == "hub-audit: 1 worker running: stop all before partitions are added\n"
        )
        assert command(settings, "dead-letters", "redrive", "--yes").returncode == 0
        redriven = "SELECT count(redriven_at), count(*) FROM dead_letters"
        until(lambda: query(dsn, redriven) == [(1, 2)], "a dead letter that was redriven")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events.count("lane_taken_over") == 3
    assert events.count("started") == 1
    assert events[-1] == "stopped"
