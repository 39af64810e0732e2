"""Searching: pages of entries, newest first, within a budget of time.

When the budget ends before the page is full, what was found so far is returned together with how
far back that reaches, and the search can go on from there.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, NamedTuple
from uuid import UUID

import asyncpg

from processor.store.conditions import embedded_time, where
from processor.store.reader import Reader, T, decoded, reading, whole
from processor.store.rows import decode
from processor.store.walk import Walk, Window, reach
from schemas.entry import Entry
from schemas.query import Query

__all__ = ["Found", "Key", "News", "entry", "newer", "page", "where"]

_SQL = reading("search.sql")
_HEAD = reading("feed.sql")["head"]
_WHERE = "/*where*/"
_OLDEST_ID = UUID(int=0)

SEQS_AT_ONCE = 20_000
"""Looked through for what is new in one statement: it ends in time however rare that is."""


class Key(NamedTuple):
    """A place in the newest-first order: that of an entry, or one between two."""

    occurred_at: datetime
    entry_id: UUID


class Found(NamedTuple, Generic[T]):
    """A page of entries; ``older`` is where the next one begins, None when there is none.

    ``searched_back_to`` is set when the budget ended first: older entries were not looked at.
    """

    entries: list[T]
    older: Key | None
    searched_back_to: datetime | None


_NEWEST = Key(datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))


async def page(  # noqa: PLR0913 - what, where from, how much, how long, how far
    reader: Reader,
    org_id: str,
    query: Query,
    *,
    before: Key | None,
    limit: int,
    budget_seconds: float,
    oldest: datetime,
    shown: Callable[[Entry], T] = whole,
) -> Found[T]:
    """Return the newest entries before a key that the query asks for, within the budget.

    Entries from before ``oldest`` are as good as gone. The query's periods have to be fixed. With
    ``shown`` each entry is at once as it is shown: many are large while they are dictionaries.
    """
    now = await reader.now()
    since, until = reach(query, now=now, oldest=oldest)
    if before is not None:
        until = min(until, before.occurred_at + timedelta(microseconds=1))
    walk = Walk(Window(since, until), now, budget_seconds)
    condition = where(query, org_id, first=6)
    statement = _SQL["page"].replace(_WHERE, condition.sql)
    rows: list[Any] = []

    async def take(connection: asyncpg.Connection, window: Window) -> bool:
        """Collect the rows of one window; one more than the page tells that there are more."""
        wanted = limit + 1 - len(rows)
        arguments = (*window, *(before or _NEWEST), wanted, *condition.parameters)
        rows.extend(await connection.fetch(statement, *arguments))
        return len(rows) > limit

    await walk.go(reader, org_id, take)
    entries = await decoded(rows[:limit], shown)
    if len(rows) > limit:
        last = rows[limit - 1]
        return Found(entries, Key(last["occurred_at"], last["entry_id"]), None)
    back_to = walk.searched_back_to
    return Found(entries, None if back_to is None else Key(back_to, _OLDEST_ID), back_to)


class News(NamedTuple):
    """Entries in the order of their numbers; up to ``through_seq`` there is none besides them.

    ``head_seq`` is the number of the organization's last one: beyond ``through_seq`` there may be
    more.
    """

    entries: list[Entry]
    through_seq: int
    head_seq: int


async def newer(reader: Reader, org_id: str, query: Query, *, after_seq: int, limit: int) -> News:
    """Return what was stored after a sequence number and is asked for, as far as one look goes."""
    condition = where(query, org_id, first=4)
    statement = _SQL["newer"].replace(_WHERE, condition.sql)
    async with reader.of(org_id) as connection:
        # Mostly nothing has come; to find that out in all partitions would cost a hundred times.
        head = await connection.fetchval(_HEAD, org_id) or 0
        if head <= after_seq:
            return News([], after_seq, head)
        through = min(head, after_seq + SEQS_AT_ONCE)
        rows = await connection.fetch(statement, after_seq, through, limit, *condition.parameters)
    found = [decode(row) for row in rows]
    return News(found, found[-1]["seq"] if len(rows) == limit else through, head)


async def entry(reader: Reader, org_id: str, entry_id: UUID) -> Entry | None:
    """Return the organization's entry of that identifier, None when it has no such entry."""
    occurred_at = embedded_time(entry_id)
    if occurred_at is None:
        return None
    async with reader.of(org_id) as connection:
        row = await connection.fetchrow(_SQL["entry"], org_id, occurred_at, entry_id)
    return None if row is None else decode(row)
