"""Where a measurement plays: servers, topics and a database of its own, and its workers."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psycopg
from confluent_kafka import Producer

from processor.emit import topics
from processor.local.kafka import Broker
from processor.local.port import free_port
from processor.local.postgres import Server
from processor.settings import Settings
from processor.store.migrations import migrate
from tests.benchmarks.events import RawEvent

PATIENCE_SECONDS = 600.0
LOOK_SECONDS = 0.05
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Servers:
    """A Kafka and a Postgres of the measurement's own."""

    broker: Broker
    postgres: Server

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """Start both for the length of a block, in a directory that is removed afterwards."""
        directory = Path(tempfile.mkdtemp(prefix="hub-audit-bench-"))
        directory.chmod(0o755)
        broker, postgres = Broker(directory / "kafka"), Server(directory / "postgres")
        try:
            broker.start()
            postgres.start()
            yield cls(broker, postgres)
        finally:
            broker.kill()
            postgres.crash()
            shutil.rmtree(directory, ignore_errors=True)


class Worker:
    """A worker process, and what it uses."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        """Start it."""
        self.port = free_port()
        environment = {**environment, "HUB_AUDIT_HTTP_PORT": str(self.port)}
        self.started_at = time.monotonic()
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("hub-audit"), "process"],
                env=environment,
                stderr=output,
                stdout=output,
            )

    def cpu_seconds(self) -> float:
        """Return the processor time it has used."""
        return cpu_seconds(self.process.pid)

    def resident_mb(self) -> float:
        """Return its resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        self.process.send_signal(number)
        self.process.wait(30)


@dataclass
class Stage:
    """Topics and a database of one measurement."""

    servers: Servers
    lanes: int = 12
    tag: str = field(default_factory=lambda: f"bench{secrets.token_hex(3)}")

    @contextmanager
    def set_up(self) -> Iterator[Self]:
        """Make the database and the topics; drop the database afterwards."""
        admin = self.servers.postgres.dsn("postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.tag}")
        self.dsn = self.servers.postgres.dsn(self.tag)
        self.environment = {
            **{name: value for name, value in os.environ.items() if "HUB_AUDIT" not in name},
            "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS": self.servers.broker.bootstrap_servers,
            "HUB_AUDIT_KAFKA_TOPIC_PREFIX": f"{self.tag}.",
            "HUB_AUDIT_POSTGRES_DSN": self.dsn,
            "HUB_AUDIT_GROUP": self.tag,
            "HUB_AUDIT_LANES": str(self.lanes),
        }
        self.settings = Settings.load(
            env={k: v for k, v in self.environment.items() if k.startswith("HUB_AUDIT_")}
        )
        asyncio.run(migrate(self.dsn))
        asyncio.run(topics.create(self.settings))
        self.log = Path(tempfile.gettempdir()) / f"{self.tag}.log"
        self.connection = psycopg.connect(self.dsn, autocommit=True)
        try:
            yield self
        finally:
            self.connection.close()
            self.log.unlink(missing_ok=True)
            with psycopg.connect(admin, autocommit=True) as connection:
                drop = f"DROP DATABASE {self.tag} WITH (FORCE)"
                connection.execute(drop)

    def ask(self, sql: str) -> Any:
        """Return the first value of a query."""
        row = self.connection.execute(sql).fetchone()
        return row[0] if row else None

    def producer(self) -> Producer:
        """Return a producer that partitions as the contract wants."""
        return Producer(
            {
                "bootstrap.servers": self.servers.broker.bootstrap_servers,
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
            while True:
                try:
                    producer.produce(self.settings.topic(event.topic), event.value, event.key)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        producer.flush(120)

    def start(self) -> Worker:
        """Start a worker."""
        return Worker(self.environment, self.log)

    def settled(self) -> int:
        """Return how many records have come to an end."""
        ends = "entries + duplicates + discards + dead_letters"
        return int(self.ask(f"SELECT coalesce(sum({ends}), 0) FROM source_offsets"))  # noqa: S608

    def until_settled(self, records: int) -> float:
        """Wait for so many records, and return when that was."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.settled() < records:
            if time.monotonic() > deadline:
                raise TimeoutError(self.log.read_text()[-2000:])
            time.sleep(LOOK_SECONDS)
        return time.monotonic()


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
