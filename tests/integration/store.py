"""What the tests of the store share: entries, and a lane that stores them."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple, Self, cast

import psycopg
from psycopg.rows import tuple_row

from processor.settings import Settings
from processor.store.lanes import start_partition, take_over
from processor.store.pool import Database
from processor.store.writer import Advance, Batch, Candidate, encoded, write
from schemas.entry import Entry
from schemas.record import RawRecord
from schemas.rejection import DeadLetter, Reason, Rejection, Stage

TOPIC = "raw.identity"
NOW = datetime.now(UTC).replace(microsecond=123_000)


def rendered(at: datetime) -> str:
    """Render a time as entries do."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def identifier(org_id: str, event_id: str, at: datetime) -> str:
    """Return some UUIDv8 that begins with the time and depends on the rest."""
    tail = int.from_bytes(sha256(f"{org_id}\0{event_id}".encode()).digest()[:10], "big")
    milliseconds = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    number = milliseconds << 80 | tail
    number = number & ~(0xF << 76) | 8 << 76
    return str(uuid.UUID(int=number & ~(3 << 62) | 2 << 62))


def an_entry(org_id: str, event_id: str, *, at: datetime = NOW, **fields: Any) -> Entry:
    """Return an entry of one organization; events of the same id are the same fact."""
    entry = {
        "schema_version": 1,
        "entry_id": identifier(org_id, event_id, at),
        "seq": 0,
        "org_id": org_id,
        "occurred_at": rendered(at),
        "occurred_at_quality": "exact",
        "recorded_at": rendered(NOW),
        "category": "authentication",
        "action": "auth.login_success",
        "outcome": "success",
        "severity": 1,
        "actor": {"type": "user", "id": "usr_1", "email": "ada@example.com"},
        "target": {"type": "user", "id": "usr_1"},
        "details": {"extra": {"method": "password"}},
        "ip": "203.0.113.9",
        "source": {
            "service": "/hub/identity",
            "event_type": "identity.login.succeeded",
            "event_version": 1,
            "event_id": event_id,
            "topic": TOPIC,
            "partition": 0,
            "offset": 0,
        },
        "raw_sha256": sha256(event_id.encode()).hexdigest(),
        "normalizer": "1",
    }
    entry |= fields
    order = {name: entry[name] for name in Entry.__annotations__ if name in entry}
    return cast("Entry", order)


class Outcome(NamedTuple):
    """What a batch came to; the entries that were stored carry their numbers."""

    batch: int
    entries: list[Entry]
    dead_letters: list[DeadLetter]
    duplicates: int


class StoringLane:
    """A lane of one topic that hands its batches to the writer, offset by offset."""

    def __init__(self, db: Database, lane: int, epoch: int, offset: int) -> None:
        """Hold the lane at an offset."""
        self.db = db
        self.lane = lane
        self.epoch = epoch
        self.offset = offset

    @classmethod
    async def take(cls, db: Database, lane: int = 0) -> Self:
        """Take the lane over; begin its topic at offset 0 if it was not begun."""
        state = await take_over(db, lane)
        await start_partition(db, lane, state.epoch, TOPIC, 0)
        position = state.positions.get(TOPIC)
        return cls(db, lane, state.epoch, position.stored_through if position else 0)

    def encoded(self, entries: Sequence[Entry]) -> list[Candidate | DeadLetter]:
        """Give each entry the record of the next offset, and encode it."""
        ends = []
        for offset, entry in enumerate(entries, self.offset):
            entry["source"] |= {"topic": TOPIC, "partition": self.lane, "offset": offset}
            record = RawRecord(TOPIC, self.lane, offset, milliseconds(NOW), b"key", b"value")
            ends.append(encoded(entry, record))
        return ends

    def candidates(self, entries: Sequence[Entry]) -> list[Candidate]:
        """Return the entries that a row can hold as they go into the store."""
        return [end for end in self.encoded(entries) if isinstance(end, Candidate)]

    def dead_letter(self, offset: int, **fields: Any) -> DeadLetter:
        """Return a rejected record of the lane."""
        record = RawRecord(TOPIC, self.lane, offset, milliseconds(NOW), b"key", b"{")
        rejection = Rejection(Stage.DECODE, Reason.INVALID_JSON, "expected a value")
        return DeadLetter(record._replace(**fields), rejection)

    async def store(
        self, *entries: Entry, dead_letters: int = 0, discards: int = 0, repeats: bool = False
    ) -> Outcome:
        """Store a batch: entries, then dead letters, then discards, offset by offset."""
        through = self.offset + len(entries) + dead_letters + discards
        first_dead = self.offset + len(entries)
        ends = self.encoded(entries)
        batch = Batch(
            self.lane,
            self.epoch,
            [end for end in ends if isinstance(end, Candidate)],
            [
                *[end for end in ends if isinstance(end, DeadLetter)],
                *[self.dead_letter(first_dead + n) for n in range(dead_letters)],
            ],
            {TOPIC: Advance(through, offset_holes=0, discards=discards)},
            repeats=repeats,
        )
        stored = await write(self.db, batch)
        self.offset = through
        given = iter(stored.seqs)
        numbered = []
        for end, entry in zip(ends, entries, strict=True):
            if isinstance(end, Candidate) and (seq := next(given)) is not None:
                entry["seq"] = seq
                numbered.append(entry)
        return Outcome(stored.batch, numbered, stored.dead_letters, stored.duplicates)


def milliseconds(at: datetime) -> int:
    """Return a time as records carry it."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def settings_at(dsn: str) -> Settings:
    """Return settings with this database, and everything else as it is by default."""
    return Settings.load(env={"HUB_AUDIT_POSTGRES_DSN": dsn})


@asynccontextmanager
async def opened(dsn: str, **options: Any) -> AsyncIterator[Database]:
    """Open a database, and close it."""
    db = await Database.open(dsn, **options)
    try:
        yield db
    finally:
        await db.close()


def query(dsn: str, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
    """Ask the database behind the store's back, as the superuser."""
    with psycopg.connect(dsn, autocommit=True, row_factory=tuple_row) as connection:
        cursor = connection.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []


def seqs(dsn: str) -> dict[str, list[int]]:
    """Return the sequence numbers that are stored, by organization."""
    sql = "SELECT org_id, array_agg(seq ORDER BY seq) FROM audit_entries GROUP BY org_id"
    return dict(query(dsn, sql))


SOMEBODY_WAITS = """
SELECT count(*) > 0 FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
"""Whether somebody in a database waits for a lock."""


async def until(dsn: str, sql: str, *, deadline_seconds: float = 20) -> None:
    """Wait until a query's only value is true."""
    async with asyncio.timeout(deadline_seconds):
        while not query(dsn, sql)[0][0]:  # noqa: ASYNC110 - what is waited for is in the database
            await asyncio.sleep(0.01)
