"""Candidates into the table: numbered under the heads' locks, copied, repeats left out.

The straight way expects nothing but new, good rows. When the database objects, everything since
the savepoint is undone and the careful way says for each candidate why it is no new row.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from struct import error as StructError  # noqa: N812 - struct calls its exception so
from typing import NamedTuple

import asyncpg

from processor.store.lanes import Range
from processor.store.partitions import ENTRIES
from processor.store.resolve import Candidate, Identity, identity, resolve
from processor.store.rows import (
    COLUMNS,
    COPY_HEADER,
    COPY_TRAILER,
    decode,
    encode,
    numbered,
    occurred_at,
)
from processor.store.sql import statements
from schemas.entry import Entry, render
from schemas.record import Record
from schemas.rejection import DeadLetter, Reason, Rejection, Stage

_SQL = statements("writer.sql")
_DAYS = statements("books.sql")["days"]

# What a row can be refused for: bad data (class 22), a missing value, an index entry too large.
_REFUSED_CLASS = "22"
_REFUSED_CODES = ("23502", "54000")
_UNIQUE_VIOLATION, _CHECK_VIOLATION = "23505", "23514"
# Of every leaf; the other unique constraint of a leaf, on (org_id, seq), ends otherwise.
_KEY_SUFFIX = "_pkey"

_CANNOT_BE_ENCODED = (ValueError, TypeError, StructError)


class Outcome(NamedTuple):
    """How the candidates of a batch ended: for each its number, None for what was not stored."""

    seqs: list[int | None]
    ranges: dict[str, Range]
    duplicates: Sequence[Record] = ()
    rejected: Sequence[DeadLetter] = ()


class DaysMissingError(Exception):
    """Partitions have to be created before the batch can be stored."""

    def __init__(self, table: str, days: set[date]) -> None:
        """Keep which."""
        self.table = table
        self.days = sorted(days)
        super().__init__(f"{table}: {self.days}")


def encoded(entry: Entry, record: Record) -> Candidate | DeadLetter:
    """Return an entry as it goes into the store; a dead letter when no row can hold it."""
    try:
        # A copy: what orjson returns holds all of the 8 KiB that it was written into.
        rendered = bytes(memoryview(render(entry)))
        return Candidate(entry["org_id"], encode(entry), rendered, record)
    except _CANNOT_BE_ENCODED as error:
        why = f"cannot be encoded: {type(error).__name__}"
        rejection = Rejection(Stage.STORE, Reason.REFUSED_BY_DATABASE, why)
        return DeadLetter(record, rejection, entry["org_id"])


async def insert(
    connection: asyncpg.Connection, candidates: Sequence[Candidate], *, repeats: bool = False
) -> Outcome:
    """Insert what is new, within the caller's transaction.

    Where there are likely to be ``repeats`` the straight way is not tried: a copy that is undone
    has cost its time under the heads' locks and leaves dead rows behind.
    """
    if not candidates:
        return Outcome([], {})
    if not repeats:
        await connection.execute("SAVEPOINT straight")
        try:
            return await _straight(connection, candidates)
        except asyncpg.PostgresError as error:
            if not (_repeats_key(error) or _lacks_partition(error) or _refuses_row(error)):
                raise
        await connection.execute("ROLLBACK TO SAVEPOINT straight")
    return await _carefully(connection, candidates)


async def _straight(connection: asyncpg.Connection, candidates: Sequence[Candidate]) -> Outcome:
    """Number and copy everything."""
    added = Counter([candidate.org_id for candidate in candidates])
    heads = await _raise_heads(connection, added)
    seqs = _numbers(candidates, {org_id: heads[org_id] - count for org_id, count in added.items()})
    await _copy(connection, _numbered(candidates, seqs))
    return Outcome([*seqs], _ranges(heads, added))


async def _carefully(connection: asyncpg.Connection, candidates: Sequence[Candidate]) -> Outcome:
    """Say for each candidate whether it is new, a duplicate or cannot be stored."""
    # From here on nobody else inserts for these organizations: what is looked up stays true.
    orgs = {candidate.org_id for candidate in candidates}
    heads = await _raise_heads(connection, dict.fromkeys(orgs, 0))
    remaining, rejected = await _storable(connection, candidates)
    stored = await existing(connection, remaining)
    while True:
        resolution = resolve(remaining, stored)
        fresh = resolution.fresh
        added = Counter([candidate.org_id for candidate in fresh])
        seqs = _numbers(fresh, heads)
        refused = await _copy_or_refuse(connection, _numbered(fresh, seqs))
        if not refused:
            break
        # Without the refused rows: a repeat of one of them gets its turn now.
        rejections = {id(fresh[i]): _refused(fresh[i], why) for i, why in refused.items()}
        rejected += rejections.values()
        remaining = [candidate for candidate in remaining if id(candidate) not in rejections]
    heads = await _raise_heads(connection, added)
    given = {id(candidate): seq for candidate, seq in zip(fresh, seqs, strict=True)}
    return Outcome(
        [given.get(id(candidate)) for candidate in candidates],
        _ranges(heads, added),
        resolution.duplicates,
        [*rejected, *resolution.conflicts],
    )


async def _raise_heads(connection: asyncpg.Connection, added: Mapping[str, int]) -> dict[str, int]:
    """Raise the organizations' heads, and hold them to the end of the transaction."""
    org_ids = sorted(added)
    rows = await connection.fetch(
        _SQL["raise_heads"], org_ids, [added[org_id] for org_id in org_ids]
    )
    return {row["org_id"]: row["last_seq"] for row in rows}


def _numbers(candidates: Sequence[Candidate], heads: Mapping[str, int]) -> list[int]:
    """Return the candidates' numbers, in order from the heads on."""
    last = dict(heads)
    seqs = []
    for candidate in candidates:
        seq = last[candidate.org_id] = last[candidate.org_id] + 1
        seqs.append(seq)
    return seqs


def _numbered(candidates: Sequence[Candidate], seqs: Sequence[int]) -> list[bytes]:
    """Return the complete rows."""
    return [numbered(each.row, seq) for each, seq in zip(candidates, seqs, strict=True)]


def _ranges(heads: Mapping[str, int], added: Mapping[str, int]) -> dict[str, Range]:
    """Return the numbers given out, from the heads after it."""
    return {o: Range(heads[o] - count + 1, heads[o]) for o, count in added.items()}


async def _copy(connection: asyncpg.Connection, rows: Sequence[bytes]) -> None:
    """Copy complete rows into the table."""

    async def source() -> AsyncIterator[bytes]:
        yield b"".join((COPY_HEADER, *rows, COPY_TRAILER))

    await connection.copy_to_table(ENTRIES, source=source(), columns=COLUMNS, format="binary")


async def _storable(
    connection: asyncpg.Connection, candidates: Sequence[Candidate]
) -> tuple[list[Candidate], list[DeadLetter]]:
    """Reject what is of a day whose partition is gone."""
    present = {row["day"] for row in await connection.fetch(_DAYS, ENTRIES)}
    oldest = min(present, default=date.max)
    storable, rejected, missing = [], [], set()
    for candidate in candidates:
        day = occurred_at(candidate.entry).date()
        if day >= oldest:
            storable.append(candidate)
            missing.update({day} - present)
        else:
            rejected.append(_rejected(candidate, Reason.OLDER_THAN_RETENTION, f"no day {day}"))
    if missing:
        raise DaysMissingError(ENTRIES, missing)
    return storable, rejected


async def existing(
    connection: asyncpg.Connection, candidates: Sequence[Candidate]
) -> dict[Identity, Entry]:
    """Return what stands under the candidates' identities."""
    if not candidates:
        return {}
    await connection.execute(_SQL["probes_only"])
    entries = [candidate.entry for candidate in candidates]
    times = [occurred_at(entry) for entry in entries]
    rows = await connection.fetch(
        _SQL["existing"],
        [entry["org_id"] for entry in entries],
        times,
        [entry["entry_id"] for entry in entries],
        min(times),
        max(times),
    )
    return {identity(entry): entry for entry in map(decode, rows)}


async def _copy_or_refuse(connection: asyncpg.Connection, rows: Sequence[bytes]) -> dict[int, str]:
    """Copy the rows; or, when the database refuses some, none, and say which and why."""
    if not rows:
        return {}
    refusal = await _try_copy(connection, rows)
    if refusal is None:
        return {}
    refused: dict[int, str] = {}
    ranges = [(0, len(rows))]
    while ranges:
        start, end = ranges.pop()
        refusal = await _try_copy(connection, rows[start:end], keep=False)
        if refusal is not None and end - start == 1:
            refused[start] = refusal
        elif refusal is not None:
            middle = (start + end) // 2
            ranges += [(middle, end), (start, middle)]
    return refused


async def _try_copy(
    connection: asyncpg.Connection, rows: Sequence[bytes], *, keep: bool = True
) -> str | None:
    """Copy the rows, for good or only to see; return why not."""
    refusal = None
    await connection.execute("SAVEPOINT attempt")
    try:
        await _copy(connection, rows)
    except asyncpg.PostgresError as error:
        if not _refuses_row(error):
            raise
        # The condition's name: the message itself may quote the value.
        refusal = f"{error.sqlstate} {type(error).__name__}"
    if refusal is not None or not keep:
        await connection.execute("ROLLBACK TO SAVEPOINT attempt")
    return refusal


def _repeats_key(error: asyncpg.PostgresError) -> bool:
    """Tell a repeated identity from every other violation."""
    if error.sqlstate != _UNIQUE_VIOLATION:
        return False
    constraint: str = error.constraint_name
    return constraint.startswith(ENTRIES) and constraint.endswith(_KEY_SUFFIX)


def _lacks_partition(error: asyncpg.PostgresError) -> bool:
    """Tell a row that no partition takes from one that breaks a named constraint."""
    return error.sqlstate == _CHECK_VIOLATION and not error.constraint_name


def _refuses_row(error: asyncpg.PostgresError) -> bool:
    """Tell whether the database objects to what is in a row."""
    state: str = error.sqlstate
    return state[:2] == _REFUSED_CLASS or state in _REFUSED_CODES


def _refused(candidate: Candidate, why: str) -> DeadLetter:
    """Reject a candidate that the database does not take: a bug alarm."""
    return _rejected(candidate, Reason.REFUSED_BY_DATABASE, why)


def _rejected(candidate: Candidate, reason: Reason, detail: str) -> DeadLetter:
    """Make the dead letter of a candidate."""
    rejection = Rejection(Stage.STORE, reason, detail)
    return DeadLetter(candidate.record, rejection, candidate.org_id)
