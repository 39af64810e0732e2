"""The Kafka and the Postgres of a measurement, and the processor time that everybody uses."""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit, urlunsplit

from processor.local.child import children_of
from processor.local.kafka import Broker
from processor.local.postgres import Server

BOOTSTRAP, DSN = "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS", "HUB_AUDIT_POSTGRES_DSN"
POSTGRES = {
    # What a server of this size would have; a commit still waits for the disk.
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
}
BROKER_HEAP_MB = 1_024
SAMPLE_SECONDS = 0.2
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Servers:
    """Where they are; the process ids are 0 when they are not ours to know."""

    bootstrap_servers: str
    admin_dsn: str
    broker_pid: int = 0
    postgres_pid: int = 0

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """Give those of the environment, or start our own in a directory that is removed."""
        if os.environ.get(BOOTSTRAP) and os.environ.get(DSN):
            yield cls(os.environ[BOOTSTRAP], os.environ[DSN])
            return
        directory = Path(tempfile.mkdtemp(prefix="hub-audit-bench-"))
        directory.chmod(0o755)
        broker = Broker(directory / "kafka", heap_mb=BROKER_HEAP_MB)
        postgres = Server(directory / "postgres", settings=POSTGRES)
        try:
            broker.start()
            postgres.start()
            dsn = postgres.dsn("postgres")
            yield cls(broker.bootstrap_servers, dsn, broker._require().pid, postgres.pid)
        finally:
            if broker.running:
                broker.kill()
            if postgres.running:
                postgres.crash()
            shutil.rmtree(directory, ignore_errors=True)

    def dsn(self, database: str) -> str:
        """Return where a database is."""
        return urlunsplit(urlsplit(self.admin_dsn)._replace(path=f"/{database}"))


class Use(NamedTuple):
    """Processor seconds used in a span, by whom; foreign is the share of the machine by others."""

    contender: float
    postgres: float
    broker: float
    foreign: float


class Sample(NamedTuple):
    """What everybody has used until a moment, and the largest memory of a contender's process."""

    at: float
    contender: float
    postgres: float
    broker: float
    machine: float
    resident_mb: float


class Sampler(threading.Thread):
    """Looks at the processes a few times a second, from its start to ``stop``."""

    def __init__(self, servers: Servers, pids: Sequence[int]) -> None:
        """Watch the contender's processes and, when they are ours, the servers'."""
        super().__init__(daemon=True)
        self._servers, self._pids = servers, pids
        self._ended = threading.Event()
        self.samples: list[Sample] = []

    def run(self) -> None:
        """Look until told to stop."""
        while not self._ended.wait(SAMPLE_SECONDS):
            self.samples.append(self._look())

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        self.join(10)

    def between(self, start: float, end: float) -> Use:
        """Return what was used from one moment (seconds since 1970) to another."""
        one, other = self._at(start), self._at(end)
        used = {name: other[name] - one[name] for name in one}
        ours = used["contender"] + used["postgres"] + used["broker"]
        foreign = max(0.0, used["machine"] - ours) / (end - start) / CORES
        return Use(used["contender"], used["postgres"], used["broker"], foreign)

    def _at(self, moment: float) -> Mapping[str, float]:
        """Return the values at a moment, on the line between the samples around it."""
        before = [sample for sample in self.samples if sample.at <= moment] or self.samples[:1]
        after = [sample for sample in self.samples if sample.at > moment] or self.samples[-1:]
        one, other = before[-1], after[0]
        part = (moment - one.at) / (other.at - one.at) if other.at > one.at else 0.0
        names = ("contender", "postgres", "broker", "machine")
        return {n: getattr(one, n) + part * (getattr(other, n) - getattr(one, n)) for n in names}

    def _look(self) -> Sample:
        return Sample(
            time.time(),
            sum(cpu_seconds(pid) for pid in self._pids),
            cpu_seconds(self._servers.postgres_pid),
            cpu_seconds(self._servers.broker_pid),
            machine_seconds(),
            max((resident_mb(pid) for pid in self._pids), default=0.0),
        )


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its children, ended ones too; 0 for none."""
    if not pid:
        return 0.0
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    own = sum(map(int, fields[11:15])) / TICKS
    return own + sum(cpu_seconds(child) for child in children_of(pid))


def machine_seconds() -> float:
    """Return the processor time that anybody has used: all but idle and waiting for the disk."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 1e6
    except OSError:
        return 0.0
