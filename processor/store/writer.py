"""One batch of one lane into the store, in one transaction: all of it, or nothing.

The order of work is that of ``_write``: fence, entries, dead letters, books and what to emit.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import asyncpg

from processor.errors import DatabaseOutage, Fenced
from processor.store.dead_letters import Coordinates, recorded_at, write_dead_letters
from processor.store.entries import DaysMissingError, Outcome, encoded, insert
from processor.store.lanes import Unemitted, dump
from processor.store.partitions import DEAD_LETTERS, ensure_days
from processor.store.pool import Database, TableChanged
from processor.store.resolve import Candidate
from processor.store.sql import statements
from schemas.rejection import DeadLetter

__all__ = ["Advance", "Batch", "Candidate", "Stored", "encoded", "write"]

log = logging.getLogger(__name__)

_SQL = statements("writer.sql")

# Of two batches that wait for each other Postgres ends one within a second, and its next attempt
# nearly always passes; a batch that never does is an outage.
ATTEMPTS_MAX = 5
RETRY_SECONDS = 0.02

# What strikes a batch by chance, another one's locks or a migration: its next attempt may pass.
_NEXT_TIME = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, TableChanged)


class Advance(NamedTuple):
    """How far a batch moves one topic of its lane, and what the writer cannot count itself."""

    stored_through: int
    offset_holes: int
    discards: int


class Batch(NamedTuple):
    """Everything a lane's batch came to, entries ordered by (recorded_at, topic, offset).

    ``redriven``: of the records that came in by the redrive topic, the coordinates of the dead
    letters they were. ``after``: the number of the lane's last batch, as its owner knows it.
    ``repeats``: the lane's last batch held duplicates, so this one is likely to.
    ``at_ms``: the owner's time, which is that of the events it publishes.
    """

    lane: int
    epoch: int
    entries: Sequence[Candidate]
    dead_letters: Sequence[DeadLetter]
    advances: Mapping[str, Advance]
    redriven: Sequence[Coordinates] = ()
    after: int | None = None
    repeats: bool = False
    at_ms: int | None = None


class Stored(NamedTuple):
    """What the batch came to in the store: ``seqs`` has the number of each entry or None."""

    batch: int
    seqs: list[int | None]
    dead_letters: list[DeadLetter]
    duplicates: int


async def write(db: Database, batch: Batch) -> Stored:
    """Store a batch, and number its entries.

    Raises Fenced when the lane has another owner or stands elsewhere than its owner knows,
    DatabaseOutage when the database is away or the outcome is not known: taking the lane over again
    settles it.
    """
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            async with db.transaction() as connection:
                return await _write(connection, batch)
        except _NEXT_TIME as error:
            log.warning("batch_retried", extra={"lane": batch.lane, "sqlstate": error.sqlstate})
            await asyncio.sleep(RETRY_SECONDS * attempt)
        except DaysMissingError as missing:
            for day in missing.days:
                await ensure_days(db, day, day, tables=(missing.table,))
    raise DatabaseOutage(f"lane {batch.lane}: batch not stored in {ATTEMPTS_MAX} attempts")


async def _write(connection: asyncpg.Connection, batch: Batch) -> Stored:
    """Do everything but the commit."""
    number = await connection.fetchval(_SQL["next_batch"], batch.lane, batch.epoch)
    if number is None:
        raise Fenced(f"lane {batch.lane}: epoch {batch.epoch} is over")
    if batch.after is not None and number != batch.after + 1:
        # A failover lost commits, the take-over's not among them: to go on would hide it.
        raise Fenced(f"lane {batch.lane}: after batch {batch.after} the store gives {number}")
    outcome = await insert(connection, batch.entries, repeats=batch.repeats)
    dead_letters = [*batch.dead_letters, *outcome.rejected]
    if dead_letters:
        await _write_dead_letters(connection, dead_letters)
    if batch.redriven:
        await connection.execute(_SQL["redriven"], *zip(*batch.redriven, strict=True))
    await _finish(connection, batch, outcome, dead_letters)
    return Stored(number, outcome.seqs, dead_letters, len(outcome.duplicates))


async def _write_dead_letters(
    connection: asyncpg.Connection, dead_letters: Sequence[DeadLetter]
) -> None:
    """Write the dead letters; whatever day the bus says they are of, there will be a place."""
    try:
        await write_dead_letters(connection, dead_letters)
    except asyncpg.CheckViolationError as error:
        days = {recorded_at(letter).date() for letter in dead_letters}
        raise DaysMissingError(DEAD_LETTERS, days) from error


async def _finish(
    connection: asyncpg.Connection,
    batch: Batch,
    outcome: Outcome,
    dead_letters: Sequence[DeadLetter],
) -> None:
    """Advance the books, and list in the lane's row what the batch has to emit."""
    unemitted = Unemitted(
        outcome.ranges, [(r.topic, r.partition, r.offset) for r, _, _ in dead_letters], batch.at_ms
    )
    advanced = await connection.fetchval(
        _SQL["finish_batch"], batch.lane, dump(unemitted), *_books(batch, outcome, dead_letters)
    )
    if advanced != len(batch.advances):
        # A failover that lost commits may have lost where the lane stands, but not who has it.
        raise Fenced(f"lane {batch.lane} cannot advance to {dict(batch.advances)}")


def _books(
    batch: Batch, outcome: Outcome, dead_letters: Sequence[DeadLetter]
) -> list[Sequence[str | int]]:
    """Return, column by column, how each topic advances and how its records ended."""
    candidates = Counter(candidate.record.topic for candidate in batch.entries)
    duplicates = Counter(record.topic for record in outcome.duplicates)
    rejected = Counter(letter.record.topic for letter in outcome.rejected)
    dead = Counter(letter.record.topic for letter in dead_letters)
    lines = [
        (
            topic,
            advance.stored_through,
            candidates[topic] - duplicates[topic] - rejected[topic],
            duplicates[topic],
            advance.discards,
            dead[topic],
            advance.offset_holes,
        )
        for topic, advance in batch.advances.items()
    ]
    return [list(column) for column in zip(*lines, strict=True)] or [[] for _ in range(7)]
