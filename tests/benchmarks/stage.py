"""Where a measurement plays: topics loaded once, and for every run a database and a group."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from processor.emit import topics
from processor.local.port import free_port
from processor.settings import Settings
from processor.store.migrations import migrate
from schemas.catalogue import CANONICAL_TOPICS, OWN_TOPICS
from tests.benchmarks.compiled import allocator
from tests.benchmarks.compiled import packages as compiled_packages
from tests.benchmarks.events import RawEvent
from tests.benchmarks.servers import Servers, resident_mb

PATIENCE_SECONDS = 900.0
LOOK_SECONDS = 0.2
SILENCE_SECONDS = 10.0
LANES = 12
ROOT = Path(__file__).parents[2]


class Published(NamedTuple):
    """What a read_committed reader found: how many records, and when the last was appended."""

    records: int
    last_at: float


@dataclass
class Bus:
    """A set of our topics under a prefix of their own, which any number of runs may read."""

    servers: Servers
    prefix: str = field(default_factory=lambda: f"bench{secrets.token_hex(3)}.")
    audited: int = 0
    loaded: int = 0
    value_bytes: int = 0

    @classmethod
    @contextmanager
    def laid(cls, servers: Servers, raw: Iterable[RawEvent] = ()) -> Iterator[Self]:
        """Create the topics, load events, and delete the topics at the end."""
        bus = cls(servers)
        settings = settings_of(bus.environment("none", servers.admin_dsn))
        asyncio.run(topics.create(settings))
        try:
            bus.load(raw)
            yield bus
        finally:
            bus._remove()

    def environment(self, group: str, dsn: str) -> dict[str, str]:
        """Return the environment of a process that works on this bus."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("HUB_AUDIT_")}
        return {
            **inherited,
            **allocator(),
            "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS": self.servers.bootstrap_servers,
            "HUB_AUDIT_KAFKA_TOPIC_PREFIX": self.prefix,
            "HUB_AUDIT_POSTGRES_DSN": dsn,
            "HUB_AUDIT_GROUP": group,
            "HUB_AUDIT_LANES": str(LANES),
            "PYTHONPATH": str(ROOT),
        }

    def producer(self) -> Producer:
        """Return a producer that partitions as the contract wants."""
        return Producer(
            {
                "bootstrap.servers": self.servers.bootstrap_servers,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "batch.size": 200_000,
                "queue.buffering.max.messages": 500_000,
            }
        )

    def load(self, raw: Iterable[RawEvent]) -> None:
        """Put events on the bus."""
        producer = self.producer()
        for event in raw:
            self.send(producer, event)
        if producer.flush(120):
            raise TimeoutError("the bus did not take the events")

    def send(self, producer: Producer, event: RawEvent) -> None:
        """Hand one event to a producer, waiting when its queue is full."""
        while True:
            try:
                producer.produce(self.prefix + event.topic, event.value, event.key)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
        self.loaded += 1
        self.audited += event.audited
        self.value_bytes += len(event.value)

    def canonical(self) -> list[str]:
        """Return the topics on which an entry's event may be."""
        return [self.prefix + name for name in (*CANONICAL_TOPICS, *OWN_TOPICS)]

    def create_topic(self, name: str) -> None:
        """Create a topic for a contender that has one for everything."""
        new = NewTopic(self.prefix + name, LANES, 1, config={"message.timestamp.type": APPEND})
        admin = self._admin()  # it must outlive its futures
        for future in admin.create_topics([new]).values():
            future.result(30)

    def ends(self, names: Sequence[str]) -> list[TopicPartition]:
        """Return where the topics end now, transactions that are just ending included."""
        consumer = self.reader("read_uncommitted")
        partitions = [TopicPartition(name, lane) for name in names for lane in range(LANES)]
        ends = [
            TopicPartition(at.topic, at.partition, consumer.get_watermark_offsets(at)[1])
            for at in partitions
        ]
        consumer.close()
        return ends

    def published(self, since: list[TopicPartition], expected: int) -> Published:
        """Count the committed records from some offsets on, until so many or nothing more comes."""
        consumer = self.reader()
        consumer.assign(since)
        records, last_ms, heard_at = 0, 0, time.monotonic()
        while records < expected or time.monotonic() - heard_at < 1:
            arrived = [record for record in consumer.consume(10_000, 0.2) if not record.error()]
            if arrived:
                records, heard_at = records + len(arrived), time.monotonic()
                last_ms = max(last_ms, *(record.timestamp()[1] for record in arrived))
            elif time.monotonic() - heard_at > SILENCE_SECONDS:
                break
        consumer.close()
        return Published(records, last_ms / 1000)

    def reader(self, isolation: str = "read_committed") -> Consumer:
        """Return a consumer that is in nobody's group."""
        return Consumer(
            {
                "bootstrap.servers": self.servers.bootstrap_servers,
                "group.id": f"{self.prefix}reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": isolation,
                "fetch.wait.max.ms": 10,
            }
        )

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.servers.bootstrap_servers})

    def _remove(self) -> None:
        admin = self._admin()
        names = [name for name in admin.list_topics(timeout=30).topics if self.prefix in name]
        for future in admin.delete_topics(names).values():
            future.result(60)


APPEND = "LogAppendTime"


class Process:
    """A contender's process."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], log: Path) -> None:
        """Start it."""
        self.port = free_port()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env={**environment, "HUB_AUDIT_HTTP_PORT": str(self.port)},
                stdout=output,
                stderr=output,
            )
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def resident_mb(self) -> float:
        """Return its resident memory."""
        return resident_mb(self.pid)

    def lanes(self) -> int:
        """Return how many lanes a worker of ours says it holds, once they all flow."""
        try:
            if self._get("readyz") is None:
                return 0
        except OSError:
            return 0
        lines = (self._get("metrics") or "").splitlines()
        held = [line for line in lines if line.startswith("hub_audit_lanes_held ")]
        return int(float(held[0].split()[1])) if held else 0

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self.running:
            self._process.send_signal(number)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)

    def _get(self, path: str) -> str | None:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
            return str(answer.read().decode()) if answer.status == 200 else None


@dataclass
class Stage:
    """One run on a bus: a database and a group of its own, and the processes that work on it."""

    bus: Bus
    migrated: bool = True
    tag: str = field(default_factory=lambda: f"bench{secrets.token_hex(3)}")
    processes: list[Process] = field(default_factory=list)

    @contextmanager
    def set_up(self) -> Iterator[Self]:
        """Make the database; afterwards end the processes and drop it."""
        admin = self.bus.servers.admin_dsn
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.tag}")
        self.dsn = self.bus.servers.dsn(self.tag)
        self.environment = self.bus.environment(self.tag, self.dsn)
        if self.migrated:
            asyncio.run(migrate(self.dsn))
        self.log = Path(tempfile.gettempdir()) / f"{self.tag}.log"
        self.connection = psycopg.connect(self.dsn, autocommit=True)
        try:
            yield self
        finally:
            for process in self.processes:
                process.stop()
            self.connection.close()
            self.log.unlink(missing_ok=True)
            with psycopg.connect(admin, autocommit=True) as connection:
                drop = f"DROP DATABASE {self.tag} WITH (FORCE)"
                connection.execute(drop)

    def ask(self, sql: str) -> Any:
        """Return the first value of a query."""
        row = self.connection.execute(sql).fetchone()
        return row[0] if row else None

    def start(self, command: Sequence[str] = (), *, compiled: bool = True) -> Process:
        """Start a process; without a command, a worker of ours, compiled where that is possible."""
        environment = self.environment
        if not command:
            command = (str(Path(sys.executable).with_name("hub-audit")), "process")
            if compiled and (packages := compiled_packages()):
                environment = {**environment, "PYTHONPATH": str(packages)}
        process = Process(command, environment, self.log)
        self.processes.append(process)
        return process

    def settled(self) -> int:
        """Return how many records have come to an end."""
        ends = "entries + duplicates + discards + dead_letters"
        return int(self.ask(f"SELECT coalesce(sum({ends}), 0) FROM source_offsets"))  # noqa: S608

    def until_settled(self, records: int) -> float:
        """Wait for so many records, and return when that was."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.settled() < records:
            self.check(deadline)
            time.sleep(LOOK_SECONDS)
        return time.monotonic()

    def check(self, deadline: float) -> None:
        """Raise when time is up or no process is left, with what they said last."""
        if time.monotonic() > deadline or not any(p.running for p in self.processes):
            raise TimeoutError(self.log.read_text()[-3000:])


def settings_of(environment: dict[str, str]) -> Settings:
    """Return the settings that a process would have."""
    return Settings.load(
        env={name: value for name, value in environment.items() if name.startswith("HUB_AUDIT_")}
    )
