"""P4 and P8: how late an event is visible, and how long a killed worker's lanes stand still."""

import signal
import statistics
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import orjson
from confluent_kafka import Consumer, TopicPartition

from tests.benchmarks.events import events
from tests.benchmarks.servers import Servers
from tests.benchmarks.stage import LANES, LOOK_SECONDS, PATIENCE_SECONDS, Bus, Stage

RATE = 2_000
SLICE_SECONDS = 0.01
WARM_UP = 80_000
"""A new broker spends ten times as much on a request until its code is compiled."""
TAKE_OVER_SENDS = 500
"""Events a second while a worker is killed: enough for every lane to get some at once."""


class Latency(NamedTuple):
    """Milliseconds from the bus's append time to Postgres's commit, and to a reader's hands."""

    row_p50: float
    row_p99: float
    event_p50: float
    event_p99: float


def latency(servers: Servers, seconds: float) -> Latency:
    """Send events at a steady rate; look when each is a row, and when it is a canonical record.

    A row's time is that of its commit record, some 2 ms before the disk has it and it is visible.
    """
    with Bus.laid(servers) as bus, Stage(bus).set_up() as stage:
        until_held(stage, stage.start().lanes)
        reader = _Reader(bus)
        bus.load(events(3, WARM_UP, int(time.time() * 1000)))
        stage.until_settled(bus.loaded)
        time.sleep(1)
        after = datetime.now(UTC)
        _send_steadily(bus, RATE, seconds)
        stage.until_settled(bus.loaded)
        time.sleep(2)
        reader.stop()
        late = [ms for appended, ms in reader.seen if appended >= after.timestamp()]
        return Latency(*_rows(stage, after), *_percentiles(late))


def take_over(servers: Servers) -> float:
    """Kill one of two workers; return the seconds until the other has settled on all lanes.

    Events come all the time, so that every lane of the dead one has something to settle.
    """
    with Bus.laid(servers) as bus, Stage(bus).set_up() as stage:
        victim, other = stage.start(), stage.start()
        until_held(stage, lambda: 0 < victim.lanes() < LANES == victim.lanes() + other.lanes())
        _send_steadily(bus, TAKE_OVER_SENDS, 3)
        victim.stop(signal.SIGKILL)
        killed, killed_at = time.monotonic(), datetime.now(UTC)
        while not _flows(stage, killed_at):
            _send_steadily(bus, TAKE_OVER_SENDS, LOOK_SECONDS)
            stage.check(killed + PATIENCE_SECONDS)
        return time.monotonic() - killed


def until_held(stage: Stage, held: Callable[[], bool | int]) -> None:
    """Wait until lanes are held as wanted."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not held():
        stage.check(deadline)
        time.sleep(LOOK_SECONDS)


def _flows(stage: Stage, since: datetime) -> bool:
    """Whether every lane has stored an entry that the bus took after a moment."""
    sql = "SELECT count(DISTINCT source_partition) FROM audit_entries WHERE recorded_at > %s"
    row = stage.connection.execute(sql, (since,)).fetchone()
    return row is not None and row[0] == LANES


def _send_steadily(bus: Bus, rate: int, seconds: float) -> None:
    producer, began = bus.producer(), time.monotonic()
    every = max(1, int(rate * SLICE_SECONDS))
    sending = events(1_000 + bus.loaded, int(rate * seconds), int(time.time() * 1000))
    for sent, event in enumerate(sending):
        if sent % every == 0:
            time.sleep(max(0.0, began + sent / rate - time.monotonic()))
        bus.send(producer, event)
    producer.flush(30)


class _Reader(threading.Thread):
    """Reads the busiest canonical topic as a subscriber does, beside the measurement."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[float, float]] = []
        self._bus, self._ended = bus, threading.Event()
        self.start()

    def stop(self) -> None:
        self._ended.set()
        self.join(10)

    def run(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bus.servers.bootstrap_servers,
                "group.id": f"{self._bus.prefix}latency",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
            }
        )
        topic = f"{self._bus.prefix}hub.auth.login_success"
        consumer.assign([TopicPartition(topic, lane, 0) for lane in range(LANES)])
        while not self._ended.is_set():
            record, now = consumer.poll(0.1), time.time()
            if record is not None and record.error() is None:
                recorded = orjson.loads(record.value() or b"")["recorded_at"]
                appended = datetime.fromisoformat(recorded).timestamp()
                self.seen.append((appended, (now - appended) * 1000))
        consumer.close()


def _rows(stage: Stage, after: datetime) -> tuple[float, float]:
    """Return the milliseconds until the commit of the rows, by Postgres's own commit times."""
    sql = """
        SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - recorded_at)::float8 * 1000
        FROM audit_entries WHERE recorded_at > %s
    """
    return _percentiles([ms for (ms,) in stage.connection.execute(sql, (after,)).fetchall()])


def _percentiles(ms: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(ms, n=100)
    return cuts[49], cuts[98]
