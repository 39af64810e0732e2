"""What a kill -9 and a rebalance leave: rows and records missing, records repeated, by contender.

Whoever ends by itself is started again at once, as a supervisor would. Everything is counted by the
entries' identifiers, in Postgres and by a read_committed reader, once nothing more comes.
"""

import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import orjson
from confluent_kafka import TopicPartition

from tests.benchmarks.rivals.afternoon import WORKER
from tests.benchmarks.stage import LOOK_SECONDS, PATIENCE_SECONDS, Bus, Process, Stage
from tests.benchmarks.throughput import Contender

JOINED_AT, LEFT_AT = 0.3, 0.6
"""Shares of the rows at which a worker is killed, or a second one comes, and at which it goes."""

SILENCE_SECONDS = 75.0
"""Longer than a transaction that was left open keeps committed records from a reader: 60 s."""


class Left(NamedTuple):
    """What is there after a disturbance."""

    contender: str
    disturbance: str
    expected: int
    missing_rows: int
    missing_records: int
    repeated_records: int
    restarts: int
    seconds: float


class Crew:
    """The workers of a contender, kept alive."""

    def __init__(self, stage: Stage, contender: Contender) -> None:
        """Begin with one."""
        self._stage, self._command = stage, contender.command
        self._working: dict[int, Process] = {}
        self.restarts = 0
        self._deadline = time.monotonic() + PATIENCE_SECONDS
        self.start(0)

    def start(self, worker: int) -> None:
        """Start a worker; whoever stands in for another has its number."""
        if self._command:
            self._stage.environment[WORKER] = str(worker)
        self._working[worker] = self._stage.start(self._command)

    def end(self, worker: int, how: signal.Signals = signal.SIGTERM) -> None:
        """End a worker for good."""
        self._working.pop(worker).stop(how)

    def until(self, share: float) -> None:
        """Wait until such a share of the rows is there, and see to the workers meanwhile."""
        while rows(self._stage) < share * self._stage.bus.audited:
            self.look()
            time.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Start again who ended by itself; give up when it takes too long."""
        for worker, process in self._working.items():
            if not process.running:
                self.restarts += 1
                self.start(worker)
        if time.monotonic() > self._deadline:
            raise TimeoutError(self._stage.log.read_text()[-3000:])


def killed(crew: Crew) -> None:
    """Kill the only worker, and start another in its place."""
    crew.until(JOINED_AT)
    crew.end(0, signal.SIGKILL)
    crew.start(0)


def rebalanced(crew: Crew) -> None:
    """Let a second worker come, and go again."""
    crew.until(JOINED_AT)
    crew.start(1)
    crew.until(LEFT_AT)
    crew.end(1)


DISTURBANCES: dict[str, Callable[[Crew], None]] = {
    "kill -9": killed,
    "a second worker comes and goes": rebalanced,
}


def disturb(bus: Bus, contender: Contender, disturbance: str) -> Left:
    """Disturb a contender on its way through the events of a bus; return what it leaves."""
    with Stage(bus, migrated=not contender.command).set_up() as stage:
        since = bus.ends([bus.prefix + name for name in contender.topics] or bus.canonical())
        began, crew = time.monotonic(), Crew(stage, contender)
        DISTURBANCES[disturbance](crew)
        crew.until(1.0)
        seconds = time.monotonic() - began
        seen = _published(bus, since, crew)
        return Left(
            contender=contender.name,
            disturbance=disturbance,
            expected=bus.audited,
            missing_rows=bus.audited - rows(stage),
            missing_records=bus.audited - len(seen),
            repeated_records=seen.total() - len(seen),
            restarts=crew.restarts,
            seconds=seconds,
        )


def rows(stage: Stage) -> int:
    """Return how many entries are stored; a rival makes its table itself."""
    if stage.ask("SELECT to_regclass('audit_entries')") is None:
        return 0
    return int(stage.ask("SELECT count(DISTINCT entry_id) FROM audit_entries"))


def _published(bus: Bus, since: list[TopicPartition], crew: Crew) -> Counter[str]:
    """Return how often each entry is on the bus, all of them there and a while after."""
    seen: Counter[str] = Counter()
    consumer = bus.reader()
    consumer.assign(since)
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < (5 if len(seen) >= bus.audited else SILENCE_SECONDS):
        crew.look()
        arrived = [record for record in consumer.consume(10_000, 0.2) if not record.error()]
        seen.update(orjson.loads(record.value() or b"")["entry_id"] for record in arrived)
        if arrived:
            quiet_since = time.monotonic()
    consumer.close()
    return seen
