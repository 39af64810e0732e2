"""Retention: a day that is too old is detached from the readers, accounted for and dropped.

Nobody waits for it: detaching lets writers and readers pass. What goes is noted in the transaction
that drops it, as gaps of the numbers and as purges to be announced; so it is noted exactly once,
and whoever is cut off in between leaves a detached table that the next run finishes; or puts back,
should the day be one that is kept by then.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import NamedTuple

import asyncpg

from processor.store.maintenance import Session
from processor.store.partitions import ENTRIES
from processor.store.sql import statements

_SQL = statements("retention.sql")

REASON = "retention"
"""Of a gap in the numbers of an organization."""

LOCK_PATIENCE = "2s"
"""How long a detaching may wait for readers, and hold up who would add a partition."""

ANNOUNCED_AT_ONCE = 1_000


class Purge(NamedTuple):
    """What an organization lost to retention: how many entries of a day, and which numbers."""

    day: date
    org_id: str
    entries: int
    first_seq: int
    last_seq: int
    purged_at: datetime


async def kept(session: Session, days: int, *, shorten: bool) -> int:
    """Return how many days are kept where so many are set: fewer than before by an order alone."""
    before: int | None = await session.fetchval(_SQL["kept"])
    return days if shorten else max(days, before or days)


async def keep(session: Session, days: int) -> None:
    """Remember how many days are kept, for whoever comes next with another setting."""
    await session.execute(_SQL["keep"], days)


async def overdue(session: Session, table: str, oldest: date) -> list[date]:
    """Return the days before the oldest that is kept: partitions, and what is left of some."""
    days = [row["day"] for row in await session.fetch(_SQL["overdue"], table, oldest)]
    left = [day for day in await _detached(session, table) if day < oldest]
    return sorted({*days, *left})


async def taken_too_early(session: Session, table: str, oldest: date) -> list[date]:
    """Return the days that are kept but were being purged: the retention was raised meanwhile."""
    return [day for day in await _detached(session, table) if day >= oldest]


async def rows(session: Session, table: str, day: date) -> int:
    """Return about how many rows a day has, without reading them."""
    count: int = await session.fetchval(_SQL["rows"], _leaf(table, day)) or 0
    return count


async def purge(session: Session, table: str, day: date) -> bool:
    """Remove a day from a table; False while somebody who reads it keeps it from going.

    Then readers that begin later do not see it any more, and the next call goes on from there.
    """
    names = {"parent": table, "leaf": _leaf(table, day)}
    try:
        async with _patience(session):
            await _detach(session, table, day, names)
            await _drop(session, table, day, names)
    except asyncpg.LockNotAvailableError:
        return False
    return True


async def put_back(session: Session, table: str, day: date) -> bool:
    """Make a day whose purge was begun a partition again; False while somebody reads it still."""
    names = {
        "parent": table,
        "leaf": _leaf(table, day),
        "since": f"{day} 00:00:00+00",
        "until": f"{day + timedelta(days=1)} 00:00:00+00",
    }
    try:
        async with _patience(session):
            await _attach(session, table, day, names)
    except asyncpg.LockNotAvailableError:
        return False
    return True


@asynccontextmanager
async def _patience(session: Session) -> AsyncIterator[None]:
    """Wait for locks no longer than LOCK_PATIENCE."""
    await session.execute(_SQL["patience"], LOCK_PATIENCE)
    try:
        yield
    finally:
        if not session.is_closed():
            await session.execute(_SQL["patience"], "0")


async def _detached(session: Session, table: str) -> dict[date, bool]:
    """Return the days that are no partition any more, or only half, and whether half."""
    return {row["day"]: row["half"] for row in await session.fetch(_SQL["detached"], table)}


async def _attach(session: Session, table: str, day: date, names: dict[str, str]) -> None:
    """Give the day back to the readers."""
    if (await _detached(session, table))[day]:
        await session.execute(_SQL["finalize"].format(**names))
    async with session.transaction():
        if table == ENTRIES:
            await session.execute(_SQL["unexplain_gaps"].format(**names), REASON)
        await session.execute(_SQL["attach"].format(**names))


def _leaf(table: str, day: date) -> str:
    """Return the name of a partition."""
    return f"{table}_{day:%Y%m%d}"


async def _detach(session: Session, table: str, day: date, names: dict[str, str]) -> None:
    """Take the day from the readers, or finish what was begun."""
    begun = await _detached(session, table)
    if day not in begun and table == ENTRIES:
        await session.execute(_SQL["explain_gaps"].format(**names), REASON)
    if day not in begun:
        await session.execute(_SQL["detach"].format(**names))
    elif begun[day]:
        await session.execute(_SQL["finalize"].format(**names))


async def _drop(session: Session, table: str, day: date, names: dict[str, str]) -> None:
    """Account for a detached day and drop it, in one transaction."""
    async with session.transaction():
        if table == ENTRIES:
            # Once more: entries may have come until the very moment it was detached.
            await session.execute(_SQL["explain_gaps"].format(**names), REASON)
            await session.execute(_SQL["note_purge"].format(**names), day)
            await session.execute(_SQL["unseal"], day)
        await session.execute(_SQL["drop"].format(**names))


async def unannounced(session: Session) -> list[Purge]:
    """Return some of the purges that organizations are still to be told of."""
    rows = await session.fetch(_SQL["unannounced"], ANNOUNCED_AT_ONCE)
    return [Purge(*row) for row in rows]


async def announced(session: Session, purges: Sequence[Purge]) -> None:
    """Note that the bus has them."""
    columns = list(zip(*purges, strict=True))
    await session.execute(_SQL["announced"], columns[0], columns[1], columns[5])


async def forget(session: Session, *, after: timedelta) -> None:
    """Forget purges that were announced so long ago."""
    await session.execute(_SQL["forget"], after)
