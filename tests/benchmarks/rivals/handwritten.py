"""The afternoon's loop: confluent-kafka with transactions, pydantic, psycopg's COPY."""

import os
import signal
import sys

import orjson
from confluent_kafka import Consumer, KafkaException, Message, Producer

from tests.benchmarks.rivals import afternoon
from tests.benchmarks.rivals.afternoon import BOOTSTRAP_SERVERS, GROUP, OUT, PREFIX, WORKER, Entry

BATCH = 5_000


def entry_of(record: Message) -> Entry | None:
    """Validate a record and map it."""
    place = record.topic() or "", record.partition() or 0, record.offset() or 0
    event = afternoon.validated(record.value() or b"")
    return afternoon.entry_of(event, place, record.timestamp()[1])


def clients() -> tuple[Consumer, Producer]:
    """Return a consumer of the raw topics and a transactional producer."""
    consumer = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP_SERVERS,
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(afternoon.RAW_TOPICS)
    producer = Producer(
        {
            "bootstrap.servers": BOOTSTRAP_SERVERS,
            "transactional.id": f"{GROUP}.{os.environ.get(WORKER, '0')}",
            "linger.ms": 20,
            "queue.buffering.max.messages": 200_000,
        }
    )
    producer.init_transactions()
    return consumer, producer


def main() -> None:
    """Consume, store and emit until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    consumer, producer = clients()
    with afternoon.connected() as connection:
        while True:
            records = consumer.consume(BATCH, 0.2)
            for record in records:
                if error := record.error():
                    raise KafkaException(error)
            entries = [entry for record in records if (entry := entry_of(record))]
            if not records:
                continue
            afternoon.store(connection, entries)
            producer.begin_transaction()
            for entry in entries:
                producer.produce(PREFIX + OUT, orjson.dumps(entry), entry["org_id"])
            positions = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata())
            producer.commit_transaction()


if __name__ == "__main__":
    main()
