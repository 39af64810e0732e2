"""P4 and P8: how late an event is visible, and how long a killed worker's lanes stand still."""

import signal
import threading
import time
from datetime import UTC, datetime
from typing import NamedTuple

import orjson
from confluent_kafka import Consumer, TopicPartition

from tests.benchmarks.events import events
from tests.benchmarks.stage import Servers, Stage

RATE = 2_000
SLICE_SECONDS = 0.01


class Latency(NamedTuple):
    """Milliseconds from the bus's append time."""

    row_p50: float
    row_p99: float
    event_p50: float
    event_p99: float


def latency(servers: Servers, seconds: float) -> Latency:
    """Send events at a steady rate; look when each is a row, and when it is a canonical record."""
    with Stage(servers).set_up() as stage:
        worker = stage.start()
        stage.until_settled(0)
        reader = _Reader(stage)
        stage.load(events(3, 2_000, int(time.time() * 1000)))
        stage.until_settled(2_000)
        reader.seen.clear()
        after = datetime.now(UTC)
        stage.until_settled(2_000 + _send_steadily(stage, seconds))
        time.sleep(1)
        reader.stop()
        worker.stop()
        return Latency(*_row_percentiles(stage, after), *_percentiles(reader.seen))


def take_over(servers: Servers) -> float:
    """Kill a worker; return the seconds until the other one has settled what comes on all lanes."""
    with Stage(servers).set_up() as stage:
        victim, other = stage.start(), stage.start()
        stage.load(events(4, 2_000, int(time.time() * 1000)))
        stage.until_settled(2_000)
        victim.stop(signal.SIGKILL)
        killed = time.monotonic()
        stage.load(events(5, 2_000, int(time.time() * 1000)))
        seconds = stage.until_settled(4_000) - killed
        other.stop()
        return seconds


def _send_steadily(stage: Stage, seconds: float) -> int:
    producer, sent = stage.producer(), 0
    began = time.monotonic()
    for event in events(6, int(RATE * seconds), int(time.time() * 1000)):
        if sent % int(RATE * SLICE_SECONDS) == 0:
            producer.poll(0)
            time.sleep(max(0.0, began + sent / RATE - time.monotonic()))
        producer.produce(stage.settings.topic(event.topic), event.value, event.key)
        sent += 1
    producer.flush(30)
    return sent


class _Reader(threading.Thread):
    """Reads the busiest canonical topic as a subscriber does, beside the measurement."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(daemon=True)
        self.seen: list[float] = []
        self._stage, self._ended = stage, threading.Event()
        self.start()

    def stop(self) -> None:
        self._ended.set()
        self.join(10)

    def run(self) -> None:
        stage = self._stage
        consumer = Consumer(
            {
                "bootstrap.servers": stage.servers.broker.bootstrap_servers,
                "group.id": "latency",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
            }
        )
        topic = stage.settings.topic("hub.auth.login_success")
        consumer.assign([TopicPartition(topic, lane, 0) for lane in range(stage.lanes)])
        while not self._ended.is_set():
            for record in consumer.consume(500, 0.02):
                if record.error() is None:
                    recorded = datetime.fromisoformat(
                        orjson.loads(record.value() or b"")["recorded_at"]
                    )
                    self.seen.append((time.time() - recorded.timestamp()) * 1000)
        consumer.close()


def _row_percentiles(stage: Stage, after: datetime) -> tuple[float, float]:
    """Return the milliseconds until the commit of the rows, by Postgres's own commit times."""
    sql = """
        SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY
            extract(epoch FROM pg_xact_commit_timestamp(xmin) - recorded_at)::float * 1000)
        FROM audit_entries WHERE recorded_at > %s
    """
    (both,) = stage.connection.execute(sql, (after,)).fetchone() or ((0.0, 0.0),)
    return both[0], both[1]


def _percentiles(seen: list[float]) -> tuple[float, float]:
    ordered = sorted(seen)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
