"""Sealing: a finished day is rewritten in the order of reading, and the copy takes its place.

The copy gets what a live day cannot afford: rows sorted by organization and time, indexes on actor
and target, the text that is searched, and beside it what its entries come to. It is made beside the
partition, in pieces that each see a fresh snapshot, while entries of that day still arrive; only
the exchange stops the world, for the milliseconds that some catalog rows take. Whatever goes wrong
before it, nothing has changed and the copy goes: at once, or where its session is lost a bit later.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import asyncpg

from processor.store.maintenance import Session, pause
from processor.store.rows import COLUMNS, SEALED_COLUMNS
from processor.store.sql import statements

_SQL = statements("seal.sql")

PIECE_ROWS = 5_000
"""Copied in a statement: a tenth of a second for which others may have to wait for a core."""

LOCK_PATIENCE_MS = 100
"""How long the exchange may keep writers and readers waiting behind it before it gives way."""

FULL_DISK_REST = timedelta(hours=6)
"""How long nothing is sealed after a copy found no room: to try again takes it from all others."""

UNDOING_SECONDS_MAX = 10.0
"""For removing a copy; who is asked to end does not wait longer for it."""

ATTEMPTS_MAX = 60
ATTEMPT_PAUSE_SECONDS_MAX = 5.0

_NOT_NOW = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)

_FULL = "the disk was full, and nothing is sealed before {until:%F %R} UTC"

_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

_SORT_MEMORY = "64MB"
_INDEX_MEMORY = "256MB"

_BEGIN = ("", datetime.min.replace(tzinfo=UTC))
# Behind every organization: its name is ASCII.
_END = ("\U0010ffff", datetime.max.replace(tzinfo=UTC))

Place = tuple[str, datetime]


class Sealed(NamedTuple):
    """A day that was sealed: how many entries it held, what it took, how many came meanwhile."""

    day: date
    entries: int
    late: int
    seconds: float
    exchange_seconds: float


class _Copy(NamedTuple):
    """What is ready to take a day's place."""

    day: date
    sealing: int
    entries: int


class SealingPostponed(Exception):
    """The day cannot be sealed now, and the message says why; a later run tries again."""


async def due(session: Session, before: date) -> list[date]:
    """Return the days before one that ought to be sealed, the newest first."""
    return [row["day"] for row in await session.fetch(_SQL["due"], before)]


async def sweep(session: Session) -> list[str]:
    """Remove what sealings that were cut off have left; return the names of the tables."""
    left: list[str] = [row["relname"] for row in await session.fetch(_SQL["unfinished"])]
    for name in left:
        await session.execute(_SQL["drop"].format(new=name))
    return left


async def rests_until(session: Session) -> datetime | None:
    """Return until when sealing rests, since the disk was full; None when it does not."""
    until: datetime | None = await session.fetchval(_SQL["rests_until"])
    return until


async def seal(session: Session, day: date, *, rest: float = 0.0) -> Sealed:
    """Seal a day; after each step rest for that share of the time it took, for others' sake.

    Raises SealingPostponed when somebody has been at the day's partition all the time, when there
    is, or not long ago was, no room for a copy, and when a newer release has columns of its own.
    """
    began, sql = time.monotonic(), _statements(day)
    if until := await rests_until(session):
        raise SealingPostponed(_FULL.format(until=until))
    await _knows_all_columns(session, sql)
    async with _whole_or_not(session, sql, day):
        number: int = await session.fetchval(sql["begin"])
        await session.execute(sql["create"])
        await session.execute(sql["heads"])
        await _copy(session, sql, rest)
        copied = await _build(session, sql, rest)
        async with _resting(session, rest), _part(session, _SORT_MEMORY):
            await session.execute(sql["summarize"], day, number)
        copy = _Copy(day, number, copied)
        late, exchange_seconds = await _exchange(session, sql, copy)
    await session.execute(sql["forget"], day)
    return Sealed(day, copied + late, late, time.monotonic() - began, exchange_seconds)


@asynccontextmanager
async def _whole_or_not(session: Session, sql: dict[str, str], day: date) -> AsyncIterator[None]:
    """Leave nothing of a sealing that fails, for whatever reason."""
    try:
        yield
    except BaseException as error:
        # Without its session, or in somebody's hands, the copy is left to the sweep.
        with suppress(*_LOST):
            await session.execute(sql["drop"], timeout=UNDOING_SECONDS_MAX)
            await session.execute(sql["forget"], day, timeout=UNDOING_SECONDS_MAX)
        if isinstance(error, asyncpg.DiskFullError):
            until = await session.fetchval(_SQL["rest"], FULL_DISK_REST)
            raise SealingPostponed(_FULL.format(until=until)) from error
        raise


async def _knows_all_columns(session: Session, sql: dict[str, str]) -> None:
    """Leave a day alone of which this release would copy a part: a newer one writes the rest."""
    rows = await session.fetch(sql["unknown"], [*COLUMNS, *SEALED_COLUMNS])
    if unknown := ", ".join(row["attname"] for row in rows):
        raise SealingPostponed(f"entries have columns of a newer release: {unknown}")


def _statements(day: date) -> dict[str, str]:
    """Return the statements for a day; nothing but the day goes into their text."""
    leaf = f"audit_entries_{day:%Y%m%d}"
    names = {
        "leaf": leaf,
        "new": f"{leaf}_sealing",
        "since": f"{day} 00:00:00+00",
        "until": f"{day + timedelta(days=1)} 00:00:00+00",
        "columns": ", ".join(COLUMNS),
        "e_columns": ", ".join(f"e.{column}" for column in COLUMNS),
    }
    return {name: statement.format(**names) for name, statement in _SQL.items()}


async def _copy(session: Session, sql: dict[str, str], rest: float) -> None:
    """Copy up to the heads, piece by piece."""
    place: Place = _BEGIN
    while place != _END:
        async with _resting(session, rest), _part(session, _SORT_MEMORY):
            # In the order of the index. Nobody has counted the rows of a fresh day: the planner
            # takes them for few, and would read and sort all that is left of it for every piece.
            await session.execute(sql["probes_only"])
            row = await session.fetchrow(sql["boundary"], *place, PIECE_ROWS)
            end: Place = _END if row is None else (row["org_id"], row["occurred_at"])
            await session.execute(sql["copy"], *place, *end)
        place = end


async def _build(session: Session, sql: dict[str, str], rest: float) -> int:
    """Index the copy, freeze it, and count whether all is there; return the count."""
    # One core at most: the other ones have events to store.
    await session.execute(sql["alone"])
    for statement in filter(str.strip, sql["index"].split(";\n")):
        async with _resting(session, rest), _part(session, _INDEX_MEMORY):
            await session.execute(statement)
    async with _resting(session, rest):
        await session.execute(sql["sample"])
        await session.execute(sql["vacuum"])
    row = await session.fetchrow(sql["counts"])
    copied: int = row["copied"]
    if copied != row["wanted"]:
        raise RuntimeError(f"{copied} of {row['wanted']} entries were copied")
    return copied


@asynccontextmanager
async def _part(session: Session, memory: str) -> AsyncIterator[None]:
    """Do a part of the work in a transaction of its own, with so much memory to sort in.

    Nobody waits until it is on the disk: a server that crashes before the exchange loses no more
    than a copy, and the exchange is committed after all that it rests on.
    """
    async with session.transaction():
        await session.execute(
            f"SET LOCAL work_mem = '{memory}'; SET LOCAL maintenance_work_mem = '{memory}';"
            "SET LOCAL synchronous_commit = off"
        )
        yield


@asynccontextmanager
async def _resting(session: Session, rest: float) -> AsyncIterator[None]:
    """Rest after something for that share of the time that it took."""
    began = time.monotonic()
    yield
    await pause(session, (time.monotonic() - began) * rest)


async def _exchange(session: Session, sql: dict[str, str], copy: _Copy) -> tuple[int, float]:
    """Put the copy in the partition's place; return how many were late, and how long it took."""
    late = 0
    for attempt in range(ATTEMPTS_MAX):
        # Most of what is late is copied before anybody has to wait for it.
        async with session.transaction():
            late += await _late(session, sql)
        try:
            last, seconds = await _try_exchange(session, sql, copy, late)
        except _NOT_NOW:
            await asyncio.sleep(min(0.05 * 2**attempt, ATTEMPT_PAUSE_SECONDS_MAX))
        else:
            return late + last, seconds
    raise SealingPostponed(f"it was never free for {LOCK_PATIENCE_MS} ms")


async def _try_exchange(
    session: Session, sql: dict[str, str], copy: _Copy, before: int
) -> tuple[int, float]:
    """Exchange in one transaction, unless somebody holds a lock for too long."""
    async with session.transaction():
        await session.execute(sql["patience"], f"{LOCK_PATIENCE_MS}ms")
        began = time.monotonic()
        await session.execute(sql["lock"])
        await _knows_all_columns(session, sql)
        late = await _late(session, sql)
        await session.execute(sql["exchange"])
        entries = copy.entries + before + late
        await session.execute(sql["sealed"], copy.day, entries, copy.sealing)
        # To the commit, which lets go of the locks before it removes the old files.
        seconds = time.monotonic() - began
    return late, seconds


async def _late(session: Session, sql: dict[str, str]) -> int:
    """Copy what has come since the copy or the last look; return how many."""
    await session.execute(sql["probes_only"])
    status: str = await session.execute(sql["late"])
    return int(status.rpartition(" ")[2])
