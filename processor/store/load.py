"""Many entries of past days at once: history for a demo or a benchmark, by the write path's means.

What is loaded is in no lane and in no books: it did not come from the bus.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import islice

from processor.store.entries import encoded, insert
from processor.store.partitions import ENTRIES, days, ensure_days
from processor.store.pool import Database
from processor.store.resolve import Candidate
from processor.store.rows import occurred_at
from schemas.entry import Entry
from schemas.record import RawRecord
from schemas.rejection import DeadLetter

CHUNK_ENTRIES = 5_000
"""Stored in one transaction: so long are the heads of their organizations held."""

# Stands for the record that there is none of: what is loaded again counts as an upstream duplicate.
_NO_RECORD = RawRecord("", -1, -1, 0, None, None)


async def load(db: Database, entries: Iterable[Entry]) -> int:
    """Store entries in their order and number them in place; return how many were new.

    Their days are created where missing, however old. Raises ValueError for an entry that no row
    can hold, or that contradicts the one stored under its identity; earlier chunks stay stored.
    """
    new, present = 0, set(await days(db))
    for chunk in _chunks(iter(entries)):
        present |= await _create_days(db, {occurred_at(entry).date() for entry in chunk} - present)
        new += await _store(db, chunk)
        await asyncio.sleep(0)  # whoever shares the loop gets its turn
    return new


def _chunks(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Yield the entries some thousands at a time: never are all of them held."""
    while chunk := list(islice(entries, CHUNK_ENTRIES)):
        yield chunk


async def _create_days(db: Database, missing: set[date]) -> set[date]:
    """Create the days, and none in between."""
    for day in sorted(missing):
        await ensure_days(db, day, day, tables=(ENTRIES,))
    return missing


async def _store(db: Database, entries: list[Entry]) -> int:
    """Store a chunk as the write path would."""
    ends = [encoded(entry, _NO_RECORD) for entry in entries]
    _refuse([end for end in ends if isinstance(end, DeadLetter)])
    async with db.transaction() as connection:
        outcome = await insert(connection, [end for end in ends if isinstance(end, Candidate)])
        _refuse(outcome.rejected)
    for entry, seq in zip(entries, outcome.seqs, strict=True):
        entry["seq"] = seq or 0
    return len(entries) - outcome.seqs.count(None)


def _refuse(rejected: Sequence[DeadLetter]) -> None:
    if rejected:
        reason, detail = rejected[0].rejection[1:]
        raise ValueError(f"{len(rejected)} cannot be loaded: {reason}: {detail}")
