"""What an afternoon's work would be instead: the loop to compare with, run as a process.

confluent-kafka with transactions, pydantic, psycopg's COPY. It validates, maps and emits the same
raw events. It does not number entries, tell conflicts from duplicates, redact, keep dead letters,
fence a zombie in Postgres, or survive a bad record: that is the difference that is paid for.
"""

import hashlib
import os
import signal
import sys
import uuid
from typing import Any

import orjson
import psycopg
from confluent_kafka import Consumer, Message, Producer
from pydantic import BaseModel, TypeAdapter

BATCH = 5_000
TABLE = """
CREATE TABLE IF NOT EXISTS handwritten (
    org_id text, occurred_at timestamptz, entry_id uuid, recorded_at timestamptz, type text,
    actor_id text, actor_email text, ip inet, session_id text, details json, source_topic text,
    source_partition int, source_offset bigint, PRIMARY KEY (org_id, occurred_at, entry_id)
)
"""
COPY = "COPY handwritten FROM STDIN"


class Actor(BaseModel):
    """Who did it."""

    type: str
    id: str | None = None
    email: str | None = None
    name: str | None = None


class Client(BaseModel):
    """Where it came from."""

    ip: str | None = None
    user_agent: str | None = None
    session_id: str | None = None
    request_id: str | None = None


class Data(BaseModel, extra="allow"):
    """What happened."""

    actor: Actor
    client: Client | None = None


class Event(BaseModel):
    """A raw event."""

    id: str
    source: str
    type: str
    time: str
    orgid: str
    data: Data


ADAPTER = TypeAdapter(Event)


def entry_of(record: Message) -> dict[str, Any]:
    """Validate a record and make an entry of it."""
    event = ADAPTER.validate_json(record.value() or b"")
    actor, client = event.data.actor, event.data.client or Client()
    identity = hashlib.sha256(f"{event.orgid}\0{event.source}\0{event.id}".encode()).digest()
    return {
        "entry_id": str(uuid.UUID(bytes=identity[:16])),
        "org_id": event.orgid,
        "occurred_at": event.time,
        "recorded_at": record.timestamp()[1] / 1000,
        "type": event.type,
        "actor": {**actor.model_dump(), "email": (actor.email or "").lower()},
        "ip": client.ip,
        "user_agent": client.user_agent,
        "session_id": client.session_id,
        "details": event.data.model_extra,
        "source": {
            "topic": record.topic(),
            "partition": record.partition(),
            "offset": record.offset(),
        },
    }


def store(connection: psycopg.Connection, entries: list[dict[str, Any]]) -> None:
    """Copy a batch in one transaction."""
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(COPY) as copy:
        for entry in entries:
            actor, source = entry["actor"], entry["source"]
            copy.write_row(
                (
                    entry["org_id"],
                    entry["occurred_at"],
                    entry["entry_id"],
                    entry["occurred_at"],
                    entry["type"],
                    actor["id"],
                    actor["email"],
                    entry["ip"],
                    entry["session_id"],
                    orjson.dumps(entry["details"]).decode(),
                    source["topic"],
                    source["partition"],
                    source["offset"],
                )
            )


def main() -> None:
    """Consume, store and emit until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    env = os.environ
    bootstrap, group = env["HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS"], env["HUB_AUDIT_GROUP"]
    prefix = env["HUB_AUDIT_KAFKA_TOPIC_PREFIX"]
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(
        [f"{prefix}raw.{family}" for family in ("identity", "permission", "billing")]
    )
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": group,
            "linger.ms": 20,
            "queue.buffering.max.messages": 200_000,
        }
    )
    producer.init_transactions()
    with psycopg.connect(env["HUB_AUDIT_POSTGRES_DSN"], autocommit=True) as connection:
        connection.execute(TABLE)
        while True:
            records = [r for r in consumer.consume(BATCH, 0.2) if r.error() is None]
            if not records:
                continue
            entries = [entry_of(record) for record in records]
            store(connection, entries)
            producer.begin_transaction()
            for entry in entries:
                topic = f"{prefix}hub.auth.login_success"
                producer.produce(topic, orjson.dumps(entry), entry["org_id"])
            positions = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata())
            producer.commit_transaction()


if __name__ == "__main__":
    main()
