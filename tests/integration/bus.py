"""The bus as seen by somebody else: topics made and read with a client the product does not use."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # it does

READ_SECONDS_MAX = 20.0


def create(
    bootstrap: str, names: Sequence[str], partitions: int, config: Mapping[str, str] | None = None
) -> None:
    """Create topics and wait until every partition has its leader."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [NewTopic(name, partitions, 1, config=dict(config or {})) for name in names]
    for created in admin.create_topics(wanted).values():
        created.result()
    deadline = time.monotonic() + READ_SECONDS_MAX
    while time.monotonic() < deadline:
        known = admin.list_topics(timeout=10).topics
        if all(_led(known.get(name), partitions) for name in names):
            return
    raise TimeoutError(f"no leaders for {names}")


def delete(bootstrap: str, names: Sequence[str]) -> None:
    """Delete topics, so that the broker of the test run stays small."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for deleted in admin.delete_topics(list(names)).values():
        deleted.result()


def commit(bootstrap: str, group: str, topic: str, text: str) -> None:
    """Commit an offset of a topic's first partition with a text, as an operator's tool could."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    try:
        place = TopicPartition(topic, 0, 0, metadata=text)
        consumer.commit(offsets=[place], asynchronous=False)
        (kept,) = consumer.committed([TopicPartition(topic, 0)], timeout=10)
        assert kept.metadata == text
    finally:
        consumer.close()


@contextmanager
def topics(
    bootstrap: str, names: Sequence[str], partitions: int = 1, **config: str
) -> Iterator[None]:
    """Have topics for the length of a block; options have ``_`` where Kafka has ``.``."""
    options = {name.replace("_", "."): value for name, value in config.items()}
    create(bootstrap, names, partitions, options)
    try:
        yield
    finally:
        delete(bootstrap, names)


def read(bootstrap: str, names: Sequence[str], *, committed: bool = True) -> list[Message]:
    """Return every record of the topics, up to the end they have now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "fetch.wait.max.ms": 20,  # the end is told with the first answer that brings nothing
        }
    )
    try:
        known = consumer.list_topics(timeout=10).topics
        parts = [TopicPartition(n, p, 0) for n in names for p in known[n].partitions]
        consumer.assign(parts)
        return _until_ends(consumer, len(parts))
    finally:
        consumer.close()


def value_of(record: Message) -> bytes:
    """Return a record's value; a tombstone has none to return."""
    value = record.value()
    assert isinstance(value, bytes)
    return value


def headers_of(record: Message) -> dict[str, bytes]:
    """Return a record's headers."""
    return {str(name): bytes(value) for name, value in dict(record.headers() or ()).items()}  # type: ignore[arg-type]


def _until_ends(consumer: Consumer, partitions: int) -> list[Message]:
    records: list[Message] = []
    ended: set[tuple[str | None, int | None]] = set()
    deadline = time.monotonic() + READ_SECONDS_MAX
    while len(ended) < partitions:
        if time.monotonic() > deadline:
            raise TimeoutError("the ends of the topics were not reached")
        record = consumer.poll(0.2)
        if record is None:
            continue
        if record.error():
            ended.add((record.topic(), record.partition()))
        else:
            records.append(record)
    return records


def _led(topic: object, partitions: int) -> bool:
    found = getattr(topic, "partitions", {})
    return len(found) == partitions and all(part.leader >= 0 for part in found.values())
