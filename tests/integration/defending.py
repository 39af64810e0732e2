"""Defend for its tests: an environment of its own with its processes, and what it comes to."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from processor.defend.app import topics
from processor.emit.route import canonical, partition_of
from processor.local.port import free_port
from processor.settings import Settings
from processor.store.load import load
from processor.store.pool import WRITER, Database
from schemas.entry import Entry
from schemas.finding import FINDINGS_TOPIC
from schemas.telemetry import TELEMETRY_TOPIC
from tests.integration import bus
from tests.integration.ops import cleaned, settings_of
from tests.integration.store import query
from tests.unit.defend_signals import MINUTE, SECOND, Log

PATIENCE_SECONDS = 60.0
HUB_AUDIT = (sys.executable, "-c", "from processor.cli import main; main()")
ADA, ABROAD = "ada@acme.example", "203.0.113.66"
NOW = time.time_ns() // 1_000_000
BEGIN = NOW - NOW % 3_600_000 - 50 * MINUTE
"""Ten minutes into the hour before this one."""


class World:
    """An environment of its own, and its Defend processes."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        """Prepare the topics."""
        self.settings, self._directory = settings, directory
        self._stack = ExitStack()
        self.log = Log()
        names = [*topics(settings), settings.topic(FINDINGS_TOPIC)]
        stamped = {"message.timestamp.type": "LogAppendTime"}
        bus.create(settings.kafka.bootstrap_servers, names, settings.lanes, stamped)

    def environment(self) -> dict[str, str]:
        """Return the environment of a command, with a port of its own."""
        settings = self.settings
        given = {
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": settings.kafka.topic_prefix,
            "POSTGRES_DSN": settings.postgres.dsn.get_secret_value(),
            "GROUP": settings.group,
            "LANES": str(settings.lanes),
            "HTTP_PORT": str(free_port()),
            "KAFKA_SESSION_TIMEOUT_MS": "6000",
            "DEFEND_COMMIT_SECONDS": "0.2",
        }
        return dict(os.environ) | {f"HUB_AUDIT_{name}": value for name, value in given.items()}

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run Defend for the length of a block; it has to end as it was told to."""
        number = len(list(self._directory.iterdir()))
        with (self._directory / f"defend-{number}.log").open("wb") as log:
            process = subprocess.Popen([*HUB_AUDIT, "defend"], env=self.environment(), stderr=log)
            try:
                yield process
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    assert process.wait(30) == 0
            finally:
                process.kill()
                process.wait()

    def logs(self) -> str:
        """Return what the processes said."""
        return "".join(each.read_text() for each in sorted(self._directory.iterdir()))

    async def store(self, entries: Sequence[Entry]) -> None:
        """Store entries, as a lane would before the bus has them."""
        db = await Database.open(self.settings.postgres.dsn.get_secret_value(), role=WRITER)
        try:
            await load(db, entries)
        finally:
            await db.close()

    def publish(self, entries: Sequence[Entry], *, commit: bool = True) -> None:
        """Put entries on their canonical topics in one transaction."""
        producer = Producer(
            {
                "bootstrap.servers": self.settings.kafka.bootstrap_servers,
                "transactional.id": f"{self.settings.group}.test",
            }
        )
        producer.init_transactions(20)
        producer.begin_transaction()
        for entry in entries:
            out = canonical(entry)
            producer.produce(
                self.settings.topic(out.topic), out.value, out.key, headers=out.headers,  # type: ignore[arg-type]
                partition=partition_of(entry["org_id"], self.settings.lanes),
            )  # fmt: skip
        producer.flush(20)
        if commit:
            producer.commit_transaction(20)
        else:
            producer.abort_transaction(20)

    def report(self, *values: bytes | None) -> None:
        """Put values on the telemetry topic."""
        producer = Producer({"bootstrap.servers": self.settings.kafka.bootstrap_servers})
        for value in values:
            producer.produce(self.settings.topic(TELEMETRY_TOPIC), value, b"acme", partition=0)
        assert producer.flush(20) == 0

    def findings(self) -> list[tuple[str, str, str, int]]:
        """Return rule, subject, severity and number of entries of what is kept."""
        names = ("low", "medium", "high", "critical")
        rows = query(
            self.settings.postgres.dsn.get_secret_value(),
            "SELECT rule, subject, severity, cardinality(seqs) FROM findings ORDER BY 1, 2",
        )
        return [(rule, subject, names[severity], count) for rule, subject, severity, count in rows]

    def published(self) -> dict[str, dict[str, Any]]:
        """Return the latest version of each finding on the topic."""
        latest: dict[str, dict[str, Any]] = {}
        topic = self.settings.topic(FINDINGS_TOPIC)
        for record in bus.read(self.settings.kafka.bootstrap_servers, [topic]):
            finding = orjson.loads(bus.value_of(record))
            latest[finding["finding_id"]] = finding
        return latest


@contextmanager
def a_world(kafka: str, dsn: str, directory: Path) -> Iterator[World]:
    """Have an environment, whose topics are removed at the end."""
    settings = settings_of(kafka, dsn, LANES="2")
    with cleaned(settings):
        yield World(settings, directory)


def until(condition: Callable[[], bool], world: World) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, (world.findings(), world.logs()[-4_000:])
        time.sleep(0.1)


def brute_force(log: Log, count: int, at: int = BEGIN) -> list[Entry]:
    """Return failed logins of one account, seconds apart."""
    first = len(log.entries)
    log.failures(at + first * SECOND, ADA, count, SECOND, ABROAD)
    return log.entries[first:]


def committed(world: World) -> int:
    """Return the sum of the offsets that Defend's group has committed."""
    return sum(offsets(world).values())


def offsets(world: World) -> Mapping[tuple[str, int], int]:
    """Return the committed offsets of the topics of failed logins."""
    topic = world.settings.topic("hub.auth.login_failed")
    consumer = Consumer(
        {
            "bootstrap.servers": world.settings.kafka.bootstrap_servers,
            "group.id": f"{world.settings.group}.defend",
        }
    )
    try:
        parts = [TopicPartition(topic, n) for n in range(world.settings.lanes)]
        known = consumer.committed(parts, timeout=10)
        return {(each.topic, each.partition): max(0, each.offset) for each in known}
    finally:
        consumer.close()
