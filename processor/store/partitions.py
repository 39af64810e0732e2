"""Day partitions: creating those that are missing, and what is there."""

from collections.abc import Iterator
from datetime import date, timedelta

from processor.store.pool import Database
from processor.store.sql import statements

ENTRIES = "audit_entries"
DEAD_LETTERS = "dead_letters"

# Ahead of today: a week in which maintenance may fail before anybody has to hurry.
DAYS_AHEAD = 8

DAYS_AT_ONCE = 200
"""Created in one transaction, which holds some locks for each day until it ends."""

_SQL = statements("books.sql")


async def ensure_days(
    db: Database, first: date, last: date, *, tables: tuple[str, ...] = (ENTRIES, DEAD_LETTERS)
) -> list[date]:
    """Create the partitions missing from first to last inclusive; return the days created."""
    created: set[date] = set()
    for table in tables:
        for begin, end in _spans(first, last):
            async with db.connection() as connection:
                rows = await connection.fetch(_SQL["ensure_days"], table, begin, end)
            created.update(row[0] for row in rows)
    return sorted(created)


def _spans(first: date, last: date) -> Iterator[tuple[date, date]]:
    """Yield the parts of DAYS_AT_ONCE that days from first to last inclusive come to."""
    for number in range(0, (last - first).days + 1, DAYS_AT_ONCE):
        begin = first + timedelta(days=number)
        yield begin, min(last, begin + timedelta(days=DAYS_AT_ONCE - 1))


async def ensure_window(db: Database, retention_days: int) -> list[date]:
    """Create every partition that a record of now can need, and those of the week ahead."""
    return await ensure_days(db, *await window(db, retention_days))


async def missing(db: Database, retention_days: int) -> list[date]:
    """Return the days of that window that take no entries yet."""
    first, last = await window(db, retention_days)
    span = {first + timedelta(days=number) for number in range((last - first).days + 1)}
    return sorted(span.difference(await days(db)))


async def window(db: Database, retention_days: int) -> tuple[date, date]:
    """Return the first and the last day that have to have partitions."""
    async with db.connection() as connection:
        today: date = await connection.fetchval(_SQL["today"])
    return oldest_kept(today, retention_days), today + timedelta(days=DAYS_AHEAD)


def oldest_kept(today: date, retention_days: int) -> date:
    """Return the oldest day that is kept: an event of exactly the retention's age is on it."""
    return today - timedelta(days=retention_days)


async def oldest_day(db: Database) -> date | None:
    """Return the oldest day that takes entries; None when there is no partition at all."""
    async with db.connection() as connection:
        day: date | None = await connection.fetchval(_SQL["oldest_day"])
    return day


async def days(db: Database, table: str = ENTRIES) -> list[date]:
    """Return the days that take rows, in order."""
    async with db.connection() as connection:
        return [row[0] for row in await connection.fetch(_SQL["days"], table)]
