"""Searching: pages of entries, newest first, within a budget of time.

The days are gone through from the newest back, in windows that grow while answers come quickly.
When the budget ends before the page is full, what was found so far is returned together with how
far back that reaches, and the search can go on from there.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from processor.store.conditions import Where, embedded_time, span, where
from processor.store.reader import Reader
from processor.store.rows import decode
from processor.store.sql import statements
from schemas.entry import Entry
from schemas.query import Query

__all__ = ["Found", "Key", "entry", "newer", "page", "where"]

FIRST_WINDOW = timedelta(days=1)
WINDOW_MIN, WINDOW_MAX = timedelta(minutes=1), timedelta(days=3_660)
GROWTH_MAX = 16.0
SHRINKAGE = 0.125
STATEMENT_TARGET_SECONDS = 0.15
"""How long one window should take: short against a budget, long against a round trip."""

TIMEOUT_SECONDS_MIN = 0.05

CLOCK_AHEAD = timedelta(days=2)
"""Entries may be of the near future: clocks differ. So far ahead of now none is older than."""

_SQL = statements("search.sql")
_OLDEST_ID = UUID(int=0)
_WHERE = "/*where*/"
_PAGE_PARAMETERS = 5


class Key(NamedTuple):
    """A place in the newest-first order: that of an entry, or one between two."""

    occurred_at: datetime
    entry_id: UUID


class Found(NamedTuple):
    """A page of entries; ``older`` is where the next one begins, None when there is none.

    ``searched_back_to`` is set when the budget ended first: older entries were not looked at.
    """

    entries: list[Entry]
    older: Key | None
    searched_back_to: datetime | None


_NEWEST = Key(datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))


class Window(NamedTuple):
    """A stretch of time that one statement goes through, ``since`` included."""

    since: datetime
    until: datetime


class Walk:
    """The windows of a search, from the newest back, each as wide as the last one's speed allows.

    ``at`` is the oldest instant that was reached.
    """

    def __init__(self, span: Window, now: datetime, budget_seconds: float) -> None:
        """Begin at the end of a span, the clock running."""
        self._oldest, self._newest = span
        self._now = now
        self.at = self._newest
        self._width = FIRST_WINDOW
        self._budget_seconds = budget_seconds
        self._started = time.monotonic()
        self._window_started = self._started

    @property
    def finished(self) -> bool:
        """Whether everything was gone through."""
        return self.at <= self._oldest

    @property
    def exhausted(self) -> bool:
        """Whether the budget has ended; not before the search has come any way at all."""
        return self._seconds_left() <= 0 and self.at < self._newest

    @property
    def timeout_seconds(self) -> float:
        """How long the next statement may take."""
        return max(self._seconds_left(), self._budget_seconds / 4, TIMEOUT_SECONDS_MIN)

    def window(self) -> Window:
        """Return what is to be gone through next."""
        self._window_started = time.monotonic()
        # There is next to nothing ahead of now: it goes with the first window.
        reference = min(self.at, self._now)
        return Window(max(reference - self._width, self._oldest), self.at)

    def done(self, window: Window) -> None:
        """Go on behind a window that was gone through, in step with how long that took."""
        took = max(time.monotonic() - self._window_started, 0.001)
        aim = min(STATEMENT_TARGET_SECONDS, max(self._seconds_left(), 0.001))
        self._widen(min(max(aim / took, SHRINKAGE), GROWTH_MAX))
        self.at = window.since

    def cut_short(self) -> None:
        """Try a narrower window, the last one having taken too long."""
        if self._width <= WINDOW_MIN:
            raise TimeoutError("a minute of entries cannot be searched within the budget")
        self._widen(SHRINKAGE)

    def _widen(self, factor: float) -> None:
        self._width = min(max(self._width * factor, WINDOW_MIN), WINDOW_MAX)

    def _seconds_left(self) -> float:
        return self._started + self._budget_seconds - time.monotonic()


def reach(query: Query, *, now: datetime, oldest: datetime) -> Window:
    """Return the stretch of time in which a query can find something."""
    ends = span(query)
    newest = now + CLOCK_AHEAD if ends.until is None else ends.until
    return Window(max(filter(None, (oldest, ends.since))), newest)


async def page(  # noqa: PLR0913 - what, where from, how much, how long, how far
    reader: Reader,
    org_id: str,
    query: Query,
    *,
    before: Key | None,
    limit: int,
    budget_seconds: float,
    oldest: datetime,
) -> Found:
    """Return the newest entries before a key that the query asks for, within the budget.

    Entries from before ``oldest`` are as good as gone. The query's periods have to be fixed.
    """
    now = await reader.now()
    since, until = reach(query, now=now, oldest=oldest)
    if before is not None:
        until = min(until, before.occurred_at + timedelta(microseconds=1))
    steps = Walk(Window(since, until), now, budget_seconds)
    condition = where(query, org_id, first=_PAGE_PARAMETERS + 1)
    rows: list[Any] = []
    while not (steps.finished or steps.exhausted or len(rows) > limit):
        async with reader.of(org_id, statement_timeout_seconds=steps.timeout_seconds) as connection:
            await _go_back(connection, steps, _Page(condition, before, limit, rows))
    return _found(rows, limit, steps)


class _Page(NamedTuple):
    """What a page is made of, and its rows so far."""

    condition: Where
    before: Key | None
    limit: int
    rows: list[Any]


async def _go_back(connection: asyncpg.Connection, steps: Walk, page: _Page) -> None:
    """Collect rows window by window, until there are enough or one window takes too long."""
    statement = _SQL["page"].replace(_WHERE, page.condition.sql)
    key = page.before or _NEWEST
    while not (steps.finished or steps.exhausted or len(page.rows) > page.limit):
        window = steps.window()
        wanted = page.limit + 1 - len(page.rows)
        arguments = (*window, *key, wanted, *page.condition.parameters)
        try:
            page.rows.extend(await connection.fetch(statement, *arguments))
        except asyncpg.QueryCanceledError:
            steps.cut_short()
            return
        steps.done(window)


def _found(rows: list[Any], limit: int, steps: Walk) -> Found:
    """Return the page that the rows make."""
    entries = [decode(row) for row in rows[:limit]]
    if len(rows) > limit:
        last = rows[limit - 1]
        return Found(entries, Key(last["occurred_at"], last["entry_id"]), None)
    if steps.finished:
        return Found(entries, None, None)
    return Found(entries, Key(steps.at, _OLDEST_ID), steps.at)


async def newer(
    reader: Reader, org_id: str, query: Query, *, after_seq: int, limit: int
) -> list[Entry]:
    """Return what was stored after a sequence number and is asked for, in the order of storing."""
    condition = where(query, org_id, first=3)
    statement = _SQL["newer"].replace(_WHERE, condition.sql)
    async with reader.of(org_id) as connection:
        rows = await connection.fetch(statement, after_seq, limit, *condition.parameters)
    return [decode(row) for row in rows]


async def entry(reader: Reader, org_id: str, entry_id: UUID) -> Entry | None:
    """Return the organization's entry of that identifier, None when it has no such entry."""
    occurred_at = embedded_time(entry_id)
    if occurred_at is None:
        return None
    async with reader.of(org_id) as connection:
        row = await connection.fetchrow(_SQL["entry"], org_id, occurred_at, entry_id)
    return None if row is None else decode(row)
