"""SIEMs that nobody here wrote: how they are started, fed by commands alone, and looked at."""

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from processor.settings import Settings
from processor.store.load import load
from processor.store.pool import WRITER, Database
from schemas.catalogue import FormatName
from schemas.generate import ROOT
from schemas.subscription import topic_of
from tests.integration import bus
from tests.integration.store import an_entry
from tests.integration.test_process import HUB_AUDIT, command, environment, until

SIEM = ROOT.parent / "deploy" / "siem"
ORG = "acme"
HOSTILE = 'a|b=c\\d"e]f é∑😀 \x7f\u2028\tg\r\nh'


class Siem:
    """A consumer with the configuration of ``deploy/siem``, and the file that it writes."""

    def __init__(
        self, settings: Settings, name: FormatName, directory: Path, arguments: Sequence[str]
    ) -> None:
        """Say whose topic it reads, where it writes, and how it is started."""
        self.topic = settings.topic(topic_of(ORG, name))
        self.bootstrap = settings.kafka.bootstrap_servers
        self._file = directory / "hub-audit.log"
        self._arguments = list(arguments)
        self._given = {
            "HUB_SIEM_BROKERS": self.bootstrap,
            "HUB_SIEM_TOPIC": self.topic,
            "HUB_SIEM_GROUP": f"siem.{ORG}.{secrets.token_hex(4)}",
            "HUB_SIEM_FILE": str(self._file),
            "HUB_SIEM_STATE": str(directory / "offsets"),
            "HUB_SIEM_CONNECT_LISTENERS": "http://127.0.0.1:0",
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it for the length of a block."""
        with running(self._arguments, dict(os.environ) | self._given):
            yield

    def lines(self) -> list[str]:
        """Return the lines that it has written so far, ended ones alone."""
        if not self._file.exists():
            return []
        return [line.decode() for line in self._file.read_bytes().split(b"\n")[:-1]]

    def await_lines(self, wanted: int) -> None:
        """Wait until so many different lines are there."""
        until(lambda: len(set(self.lines())) >= wanted, f"{wanted} lines")

    def sent(self) -> list[str]:
        """Return what Kafka holds for those who read committed records."""
        return [bus.value_of(r).decode() for r in bus.read(self.bootstrap, [self.topic])]

    def take_back(self) -> None:
        """Write a record as a forwarder does that dies before it commits: the bus aborts it."""
        producer = Producer(
            {"bootstrap.servers": self.bootstrap, "transactional.id": secrets.token_hex(8)}
        )
        producer.init_transactions()
        producer.begin_transaction()
        producer.produce(self.topic, b"<110>1 - - - - - - taken back")
        producer.flush()
        producer.abort_transaction()


@contextmanager
def running(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Have a program for the length of a block, and end it in good order."""
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@contextmanager
def forwarding(settings: Settings) -> Iterator[None]:
    """Have a forwarder for the length of a block."""
    often = {"HUB_AUDIT_FORWARD_HEARTBEAT_SECONDS": str(settings.forward.heartbeat_seconds)}
    with running([*HUB_AUDIT, "forward"], environment(settings) | often):
        yield


def subscribe(settings: Settings, name: FormatName) -> None:
    """Subscribe as an operator does."""
    done = command(settings, "subscriptions", "create", ORG, name)
    assert done.returncode == 0, done.stderr


async def happen(settings: Settings, first: int, count: int, **fields: Any) -> None:
    """Store entries of the organization."""
    db = await Database.open(settings.postgres.dsn.get_secret_value(), role=WRITER)
    try:
        made = [an_entry(ORG, f"evt-{n}", **fields) for n in range(first, first + count)]
        assert await load(db, made) == count
    finally:
        await db.close()
