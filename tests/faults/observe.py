"""Collects a world: all of Kafka that matters by librdkafka, all of Postgres by psycopg."""

from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

from tests.faults import ledger, offsets, reader
from tests.faults.catalog import CANONICAL_TOPICS, DEAD_LETTERS, RAW_TOPICS
from tests.faults.world import Place, Seen, World

ROWS: LiteralString = "SELECT * FROM audit_entries"


def connected(dsn: str) -> psycopg.Connection[dict[str, Any]]:
    """Connect for reading rows in which JSON, ids and addresses are the texts that Postgres sends.

    A million parsed documents would fill the memory, and what is made into objects only to be
    written down again takes a tenth of the time.
    """
    db = psycopg.connect(dsn, row_factory=dict_row)
    for name in ("json", "jsonb", "uuid", "inet"):
        db.adapters.register_loader(name, TextLoader)
    return db


def raw_places(prefix: str, lanes: int) -> list[Place]:
    """Return every partition of the raw topics."""
    return [(prefix + topic, p) for topic in RAW_TOPICS for p in range(lanes)]


def output_places(prefix: str, lanes: int) -> list[Place]:
    """Return every partition of the canonical topics and of the dead letters."""
    topics = (*CANONICAL_TOPICS, DEAD_LETTERS)
    return [(prefix + topic, p) for topic in topics for p in range(lanes)]


def observe(bootstrap: str, dsn: str, path: Path, *, prefix: str, lanes: int, group: str) -> World:
    """Return the world as it stands now."""
    lines, acked = ledger.read(path)
    published = reader.read_all(bootstrap, output_places(prefix, lanes))
    dead_topic = prefix + DEAD_LETTERS
    world = frame(bootstrap, dsn, prefix=prefix, lanes=lanes, group=group)
    world.ledger, world.acked = lines, acked
    world.raw = reader.read_all(bootstrap, raw_places(prefix, lanes))
    world.canonical = [record for record in published if record.topic != dead_topic]
    world.dead = [record for record in published if record.topic == dead_topic]
    with connected(dsn) as db:
        world.rows = _all(db, ROWS)
        world.dead_rows = _all(db, "SELECT * FROM dead_letters")
    return world


def frame(bootstrap: str, dsn: str, *, prefix: str, lanes: int, group: str) -> World:
    """Return the world without its records and rows: what is small however long it ran."""
    raw, output = raw_places(prefix, lanes), output_places(prefix, lanes)
    with connected(dsn) as db:
        return World(
            prefix=prefix,
            lanes=lanes,
            ledger={},
            raw=[],
            canonical=[],
            dead=[],
            ends=reader.ends(bootstrap, raw + output),
            committed=offsets.committed(bootstrap, group, raw),
            rows=[],
            dead_rows=[],
            books=_all(db, "SELECT * FROM source_offsets"),
            heads={row["org_id"]: row["last_seq"] for row in _all(db, "SELECT * FROM org_heads")},
            lane_rows=_all(db, "SELECT * FROM lanes"),
            seq_gaps=len(_all(db, "SELECT * FROM seq_gaps")),
            source_gaps=len(_all(db, "SELECT * FROM source_gaps")),
        )


def _all(db: psycopg.Connection[dict[str, Any]], query: LiteralString) -> list[dict[str, Any]]:
    return db.execute(query).fetchall()


def markers_of(record: Seen) -> bytes:
    """Return everything of a record in which an organization's marker could stand."""
    headers = b"\0".join(value or b"" for _, value in record.headers)
    return b"\0".join((record.key or b"", record.value or b"", headers)).lower()
