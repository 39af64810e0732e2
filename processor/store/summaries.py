"""Counting without looking at every entry: what sealed days come to is known.

A query that asks for a time alone goes through it in stretches: whole days that are summed up, and
the rest. Of the former only what came after their sealing is looked at, which an index has ready.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import asyncpg

from processor.errors import SearchTooSlow
from processor.store.reader import Reader
from processor.store.sql import statements
from processor.store.walk import TIMEOUT_SECONDS_MIN, Walk, Window
from schemas.query import Field, Query

_SQL = statements("facets.sql")
_DAY = timedelta(days=1)

AFTER_SEALING = "e.search_text IS NULL"
"""What a sealed day has that its summary has not."""

Rows = Sequence[asyncpg.Record]
OfWindow = Callable[[asyncpg.Connection, Window], Awaitable[Rows]]
OfDays = Callable[[asyncpg.Connection, Sequence[date]], Awaitable[Rows]]


class Counting(NamedTuple):
    """How something is counted: entry by entry, by summaries, and entries after a sealing alone.

    ``add`` is given what they come to, once it is known of a stretch as a whole.
    """

    each: OfWindow
    summaries: OfDays
    after_sealing: OfWindow
    add: Callable[[Rows], None]


class Stretch(NamedTuple):
    """A stretch of time; ``days`` are all of it when they are summed up."""

    window: Window
    days: list[date]


def asks_for_time_alone(query: Query) -> bool:
    """Return whether summaries can answer a query: it has no condition but periods."""
    return all(
        term.field is Field.CREATED and not term.negated and len(term.values) == 1
        for term in query.terms
    )


async def count(
    reader: Reader,
    org_id: str,
    window: Window,
    counting: Counting,
    *,
    budget_seconds: float,
    summed_up: bool,
) -> datetime | None:
    """Count from the newest end within a budget; return how far it came, None for all the way."""
    now = await reader.now()
    known = await _summarized(reader, window) if summed_up else []

    async def take(connection: asyncpg.Connection, window: Window) -> bool:
        """Count one window entry by entry, and go on."""
        counting.add(await counting.each(connection, window))
        return False

    ends_at = time.monotonic() + budget_seconds
    for stretch in stretches(window, known):
        left = max(0.0, ends_at - time.monotonic())
        if stretch.days:
            if not await _add_up(reader, org_id, stretch, counting, left):
                return stretch.window.until
            continue
        walk = Walk(stretch.window, now, left)
        try:
            await walk.go(reader, org_id, take)
        except SearchTooSlow:  # what was counted before is right all the same
            return walk.at
        if walk.searched_back_to is not None:
            return walk.searched_back_to
    return None


def stretches(window: Window, summarized: Sequence[date]) -> Iterator[Stretch]:
    """Yield a window in parts, the newest first: runs of days that are summed up, and the rest.

    ``summarized`` are such days, the newest first.
    """
    until, run = window.until, list[date]()
    for day in summarized:
        begin = _begin(day)
        if begin < window.since or begin + _DAY > window.until:
            continue
        if run and begin + _DAY < _begin(run[-1]):
            until = _begin(run[-1])
            yield Stretch(Window(until, _begin(run[0]) + _DAY), run)
            run = []
        if not run and begin + _DAY < until:
            yield Stretch(Window(begin + _DAY, until), [])
        run.append(day)
    if run:
        until = _begin(run[-1])
        yield Stretch(Window(until, _begin(run[0]) + _DAY), run)
    if window.since < until:
        yield Stretch(Window(window.since, until), [])


async def _summarized(reader: Reader, window: Window) -> list[date]:
    """Return the days of a window that are summed up."""
    first, last = window.since.astimezone(UTC).date(), window.until.astimezone(UTC).date()
    async with reader.db.connection() as connection:
        return [row["day"] for row in await connection.fetch(_SQL["summarized"], first, last)]


async def _add_up(
    reader: Reader, org_id: str, stretch: Stretch, counting: Counting, seconds: float
) -> bool:
    """Count days by their summaries; return whether it was done in time."""
    timeout = max(seconds, TIMEOUT_SECONDS_MIN)
    async with reader.of(org_id, statement_timeout_seconds=timeout) as connection:
        try:
            await connection.execute(_SQL["hold"])
            whole = await counting.summaries(connection, stretch.days)
            late = await counting.after_sealing(connection, stretch.window)
        except asyncpg.QueryCanceledError:  # behind the block it would be an outage
            return False
    counting.add([*whole, *late])
    return True


def _begin(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
