"""Reading Kafka with librdkafka, so that a fault of the product's client cannot hide itself."""

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tests.faults.world import Ends, Place, Seen, Spot

COMMITTED = "read_committed"
SILENCE_SECONDS = 30

HEADERS_SHARED_MAX = 100_000
_HEADERS: dict[tuple[str, bytes | None], tuple[str, bytes | None]] = {}


def consumer(bootstrap: str, group: str, isolation: str = COMMITTED) -> Consumer:
    """Return a consumer that commits nothing and tells where partitions end."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": 4_194_304,
            "fetch.wait.max.ms": 20,
            "log_level": 0,
        }
    )


def places(bootstrap: str, topics: Iterable[str]) -> list[Place]:
    """Return the partitions of those of the topics that exist."""
    reader = consumer(bootstrap, "oracle-places")
    try:
        known = reader.list_topics(timeout=30).topics
    finally:
        reader.close()
    return [(topic, p) for topic in topics if topic in known for p in known[topic].partitions]


def read_all(bootstrap: str, where: list[Place]) -> list[Seen]:
    """Return every committed record of the partitions, from their beginning to their end."""
    return list(each(bootstrap, where))


def each(bootstrap: str, where: list[Place]) -> Iterator[Seen]:
    """Yield every committed record of the partitions, from their beginning to their end."""
    reader = consumer(bootstrap, "oracle-reader")
    try:
        yield from _read(reader, where)
    finally:
        reader.close()


def _read(reader: Consumer, where: list[Place]) -> Iterator[Seen]:
    reader.assign([TopicPartition(topic, partition, 0) for topic, partition in where])
    open_ = set(where)
    deadline = time.monotonic() + SILENCE_SECONDS
    while open_:
        # The client waits for the whole time unless it can fill the batch.
        batch: list[Any] = reader.consume(10_000, timeout=0.1)
        if batch:
            deadline = time.monotonic() + SILENCE_SECONDS
        elif time.monotonic() > deadline:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"no end of {sorted(open_)}"))
        for message in batch:
            error = message.error()
            if error is None:
                yield seen(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                open_.discard((message.topic(), message.partition()))
            elif not error.retriable():
                raise KafkaException(error)


def seen(message: Any) -> Seen:
    """Return what the oracle keeps of a message."""
    return Seen(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        [_shared(pair) for pair in message.headers() or ()],
    )


def _shared(pair: tuple[str, bytes | None]) -> tuple[str, bytes | None]:
    """Return a header of which there is one object where many records carry it."""
    if len(_HEADERS) > HEADERS_SHARED_MAX:
        _HEADERS.clear()
    return _HEADERS.setdefault(pair, pair)


def digest(record: Seen) -> int:
    """Return what tells a record from another one at its place, within this process."""
    return hash((record[:6], tuple(record.headers)))


def ends(bootstrap: str, where: list[Place]) -> dict[Place, Ends]:
    """Return begin, end and last stable offset of the partitions."""
    stable = consumer(bootstrap, "oracle-ends")
    plain = consumer(bootstrap, "oracle-ends", "read_uncommitted")
    try:
        found = {}
        for place in where:
            low, high = plain.get_watermark_offsets(TopicPartition(*place), timeout=30)
            _, last = stable.get_watermark_offsets(TopicPartition(*place), timeout=30)
            found[place] = Ends(low, high, last)
        return found
    finally:
        stable.close()
        plain.close()


class Listener:
    """A subscriber that reads committed records while the faults go on, as a SIEM would.

    ``ends`` is how far it has come.
    """

    at_once = 1_000
    """A batch waits until it is full, or for the time-out."""

    def __init__(self, bootstrap: str, where: list[Place]) -> None:
        """Start reading at once, in a thread of its own."""
        self.ends: dict[Place, int] = {}
        self._reader = consumer(bootstrap, "oracle-live")
        self._reader.assign([TopicPartition(topic, partition, 0) for topic, partition in where])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._reader.consume(self.at_once, timeout=0.2):
                if message.error() is None:
                    record = seen(message)
                    self.take(record)
                    self.ends[record.spot[:2]] = record.offset + 1

    def take(self, record: Seen) -> None:
        """Note a record."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(30)
        self._reader.close()


class LiveReader(Listener):
    """One that keeps where each record stood, and what it was."""

    def __init__(self, bootstrap: str, where: list[Place]) -> None:
        """Start reading at once."""
        self.records: list[tuple[Spot, int]] = []
        super().__init__(bootstrap, where)

    def take(self, record: Seen) -> None:
        """Note a record."""
        self.records.append((record.spot, digest(record)))

    def seen(self, now: Iterable[Seen]) -> list[Seen]:
        """Return what was seen, given what stands there now: another record where it differs."""
        standing = {record.spot: record for record in now}
        found = []
        for spot, kept in self.records:
            record = standing.get(spot)
            if record is None or digest(record) != kept:
                record = Seen(*spot, -1, None, b"a record that is not there any more", [])
            found.append(record)
        return found
