"""Dead letters in the store: written with their batch, read by settle, redrive and operators."""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import orjson

from processor.store.pool import Database
from processor.store.sql import statements
from schemas.record import RawRecord
from schemas.rejection import DeadLetter, Reason, Rejection, Stage

COLUMNS = (
    "topic",
    "partition",
    "offset",
    "recorded_at",
    "redriven_at",
    "org_id",
    "stage",
    "reason",
    "detail",
    "key",
    "raw",
    "headers",
)

_SQL = statements("dead_letters.sql")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

BEFORE_ALL = ("", 0, 0, _EPOCH)
"""A key before that of any dead letter: no topic has an empty name."""

Coordinates = tuple[str, int, int]
Key = tuple[str, int, int, datetime]


class StoredDeadLetter(NamedTuple):
    """A dead letter as kept, and whether it came in again since."""

    dead_letter: DeadLetter
    redriven_at: datetime | None


class Summary(NamedTuple):
    """A dead letter without its bytes, and how many those are: of its value, and of all it has."""

    topic: str
    partition: int
    offset: int
    recorded_at: datetime
    redriven_at: datetime | None
    org_id: str | None
    stage: str
    reason: str
    detail: str
    value_bytes: int | None
    bytes: int

    @property
    def key(self) -> Key:
        """Return what tells it from all others, also from those of a topic created anew."""
        return self.topic, self.partition, self.offset, self.recorded_at


class Filter(NamedTuple):
    """Which dead letters to list; None lets everything pass."""

    reason: Reason | None = None
    topic: str | None = None
    since: datetime | None = None
    open_only: bool = False


EVERYTHING = Filter()


async def write_dead_letters(
    connection: asyncpg.Connection, dead_letters: Iterable[DeadLetter]
) -> None:
    """Write a batch's dead letters in its transaction."""
    await connection.copy_records_to_table(
        "dead_letters", records=[_row(letter) for letter in dead_letters], columns=COLUMNS
    )


async def read_dead_letters(db: Database, coordinates: Sequence[Coordinates]) -> list[DeadLetter]:
    """Return the dead letters with these coordinates (topic, partition, offset).

    Of several with the same ones, since a topic was created anew, the last recorded.
    """
    columns = list(zip(*coordinates, strict=True)) or [(), (), ()]
    async with db.connection() as connection:
        rows = await connection.fetch(_SQL["by_coordinates"], *columns)
    last = {(row["topic"], row["partition"], row["offset"]): row for row in rows}
    return [_stored(row).dead_letter for row in last.values()]


async def show_dead_letter(db: Database, coordinates: Coordinates) -> StoredDeadLetter | None:
    """Return one dead letter; of several with the same coordinates, the last recorded."""
    async with db.connection() as connection:
        rows = await connection.fetch(_SQL["by_coordinates"], *([value] for value in coordinates))
    return _stored(rows[-1]) if rows else None


async def newest_dead_letters(
    db: Database, wanted: Filter = EVERYTHING, *, limit: int = 100
) -> list[Summary]:
    """Return the newest dead letters that pass the filter."""
    async with db.connection() as connection:
        rows = await connection.fetch(_SQL["newest"], *wanted, limit)
    return [Summary(*row) for row in rows]


async def page_of_dead_letters(
    db: Database, wanted: Filter, after: Key, *, until: datetime | None, limit: int
) -> list[Summary]:
    """Return the next dead letters that pass the filter, each partition's in order of offsets.

    ``until`` leaves out what was recorded later.
    """
    async with db.connection() as connection:
        rows = await connection.fetch(_SQL["page"], *wanted, until, *after, limit)
    return [Summary(*row) for row in rows]


async def count_matching(db: Database, wanted: Filter) -> int:
    """Return how many dead letters pass the filter."""
    async with db.connection() as connection:
        count: int = await connection.fetchval(_SQL["matching"], *wanted)
    return count


async def whole_dead_letters(db: Database, keys: Sequence[Key]) -> list[DeadLetter]:
    """Return the dead letters with these keys, bytes and all."""
    async with db.connection() as connection:
        rows = await connection.fetch(_SQL["whole"], *zip(*keys, strict=True))
    return [_stored(row).dead_letter for row in rows]


async def count_dead_letters(db: Database) -> dict[str, tuple[int, int]]:
    """Return, by reason, how many dead letters there are and how many of them were redriven."""
    async with db.connection() as connection:
        rows = await connection.fetch(_SQL["counted"])
    return {row["reason"]: (row["dead_letters"], row["redriven"]) for row in rows}


def recorded_at(letter: DeadLetter) -> datetime:
    """Return when the bus recorded the record."""
    return _EPOCH + timedelta(milliseconds=letter.record.timestamp)


def summary(letter: StoredDeadLetter) -> Summary:
    """Return a dead letter without its bytes."""
    record, rejection, org_id = letter.dead_letter
    value = None if record.value is None else len(record.value)
    headers = sum(len(content or b"") for _, content in record.headers)
    return Summary(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        recorded_at=recorded_at(letter.dead_letter),
        redriven_at=letter.redriven_at,
        org_id=org_id,
        stage=rejection.stage,
        reason=rejection.reason,
        detail=rejection.detail,
        value_bytes=value,
        bytes=(value or 0) + len(record.key or b"") + headers,
    )


def _row(letter: DeadLetter) -> tuple[Any, ...]:
    """Return the table's row, in the order of COLUMNS."""
    record, rejection = letter.record, letter.rejection
    return (
        record.topic,
        record.partition,
        record.offset,
        recorded_at(letter),
        None,
        letter.org_id,
        rejection.stage,
        rejection.reason,
        _storable(rejection.detail),
        record.key,
        record.value,
        orjson.dumps(
            [[_storable(name), _base64(value)] for name, value in record.headers]
        ).decode(),
    )


def _storable(text: str) -> str:
    """Return the text without what Postgres cannot hold: NUL and lone surrogates."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _base64(value: bytes | None) -> str | None:
    """Render a header's value for JSON."""
    return None if value is None else b64encode(value).decode()


def _stored(row: Mapping[str, Any]) -> StoredDeadLetter:
    """Return the dead letter of a row."""
    headers = tuple(
        (name, None if value is None else b64decode(value))
        for name, value in orjson.loads(row["headers"])
    )
    record = RawRecord(
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        timestamp=(row["recorded_at"] - _EPOCH) // timedelta(milliseconds=1),
        key=row["key"],
        value=row["raw"],
        headers=headers,
    )
    rejection = Rejection(Stage(row["stage"]), Reason(row["reason"]), row["detail"])
    return StoredDeadLetter(DeadLetter(record, rejection, row["org_id"]), row["redriven_at"])
