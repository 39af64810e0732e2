"""A SIEM that nobody here wrote, with the configuration that ships, on a real subscription.

Debian's rsyslog reads with imkafka what ``hub-audit forward`` delivers from the store, by commands
alone; the file that it writes is compared with what Kafka holds, line by line.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from processor.local.port import free_port
from processor.settings import Settings
from processor.store.load import load
from processor.store.pool import WRITER, Database
from schemas.catalogue import FormatName
from schemas.generate import ROOT
from schemas.subscription import topic_of
from tests.integration import bus
from tests.integration.ops import cleaned, settings_of
from tests.integration.store import an_entry
from tests.integration.test_process import HUB_AUDIT, command, environment, until

SIEM = ROOT.parent / "deploy" / "siem"
RSYSLOG = shutil.which("rsyslogd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")

ORG = "acme"
HOSTILE = 'a|b=c\\d"e]f é∑😀 \x7f\u2028\tg\r\nh'

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give an environment of the test's own, with the topic that orders are told on."""
    own = settings_of(kafka, postgres_dsn, HTTP_PORT=str(free_port()))
    with cleaned(own):
        bus.create(kafka, [own.topic("raw.audit")], own.lanes)
        yield own


@contextmanager
def running(arguments: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Have a program for the length of a block, and end it in good order."""
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


class Siem:
    """rsyslog with the configuration of ``deploy/siem``, and the file that it writes."""

    def __init__(self, settings: Settings, name: FormatName, directory: Path) -> None:
        """Say whose topic it reads and where it writes."""
        self.topic = settings.topic(topic_of(ORG, name))
        self.bootstrap = settings.kafka.bootstrap_servers
        self._file = directory / "hub-audit.log"
        self._group = f"siem.{ORG}.{secrets.token_hex(4)}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it for the length of a block."""
        assert RSYSLOG
        given = {
            "HUB_SIEM_BROKERS": self.bootstrap,
            "HUB_SIEM_TOPIC": self.topic,
            "HUB_SIEM_GROUP": self._group,
            "HUB_SIEM_FILE": str(self._file),
        }
        configuration = SIEM / "rsyslog" / "hub-audit.conf"
        arguments = [RSYSLOG, "-n", "-iNONE", "-f", str(configuration)]
        with running(arguments, dict(os.environ) | given):
            yield

    def lines(self) -> list[str]:
        """Return the lines that it has written so far, ended ones alone."""
        if not self._file.exists():
            return []
        return self._file.read_bytes().decode().split("\n")[:-1]

    def sent(self) -> list[str]:
        """Return what Kafka holds for those who read committed records."""
        return [bus.value_of(r).decode() for r in bus.read(self.bootstrap, [self.topic])]


@contextmanager
def forwarding(settings: Settings) -> Iterator[None]:
    """Have a forwarder for the length of a block."""
    with running([*HUB_AUDIT, "forward"], environment(settings)):
        yield


async def happen(settings: Settings, first: int, count: int, **fields: Any) -> None:
    """Store entries of the organization."""
    db = await Database.open(settings.postgres.dsn.get_secret_value(), role=WRITER)
    try:
        made = [an_entry(ORG, f"evt-{n}", **fields) for n in range(first, first + count)]
        assert await load(db, made) == count
    finally:
        await db.close()


def subscribe(settings: Settings, name: FormatName) -> None:
    """Subscribe as an operator does."""
    done = command(settings, "subscriptions", "create", ORG, name)
    assert done.returncode == 0, done.stderr


def take_back(siem: Siem) -> None:
    """Write a record as a forwarder does that dies before it commits: the bus aborts it."""
    producer = Producer(
        {"bootstrap.servers": siem.bootstrap, "transactional.id": secrets.token_hex(8)}
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(siem.topic, b"<110>1 - - - - - - taken back")
    producer.flush()
    producer.abort_transaction()


def written(siem: Siem, wanted: int) -> None:
    """Wait until so many lines are there."""
    until(lambda: len(siem.lines()) >= wanted, f"{wanted} lines")


async def test_rsyslog_loses_no_line_over_a_stop(settings: Settings, tmp_path: Path) -> None:
    """CEF as it was sent, in the order of seq without a hole; what comes again has the same id."""
    subscribe(settings, "cef")
    siem = Siem(settings, "cef", tmp_path)
    with forwarding(settings):
        await happen(settings, 0, 40, user_agent=HOSTILE)
        with siem.running():
            written(siem, 40)
        assert siem.lines() == siem.sent()
        take_back(siem)
        await happen(settings, 40, 20, outcome_reason=HOSTILE)
        with siem.running():
            until(lambda: len(set(siem.lines())) >= 60, "60 different lines")
    lines = list(dict.fromkeys(siem.lines()))
    assert lines == siem.sent()
    assert [int(re.findall(r" cn1=(\d+) ", line)[0]) for line in lines] == list(range(1, 61))
    assert len({re.findall(r" externalId=(\S+) ", line)[0] for line in lines}) == 60
    assert all(line.startswith("<110>1 20") and " CEF:0|Hub|" in line for line in lines)


async def test_rsyslog_keeps_large_documents_whole(settings: Settings, tmp_path: Path) -> None:
    """OCSF with an entry of 100 kB, where rsyslog's own default ends at 8: still the same JSON."""
    subscribe(settings, "ocsf")
    siem = Siem(settings, "ocsf", tmp_path)
    with forwarding(settings):
        await happen(settings, 0, 5, user_agent=HOSTILE)
        await happen(settings, 5, 1, details={"new": {"note": "é" * 50_000}})
        with siem.running():
            written(siem, 6)
    assert siem.lines() == siem.sent()
    events = [orjson.loads(line) for line in siem.lines()]
    assert [event["metadata"]["sequence"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert events[0]["http_request"]["user_agent"] == HOSTILE
    assert len(events[5]["unmapped"]["details"]["new"]["note"]) == 50_000
