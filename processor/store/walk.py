"""Going through the past from its newest end, window by window, within a budget of time.

Windows grow while answers come quickly, so that a query that finds much reads little, and one that
finds nothing asks few times. No window may take longer than what is left of the budget.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg

from processor.errors import SearchTooSlow
from processor.store.conditions import span
from processor.store.reader import Reader
from schemas.query import Query

FIRST_WINDOW = timedelta(days=1)
WINDOW_MIN, WINDOW_MAX = timedelta(seconds=1), timedelta(days=3_660)
GROWTH_MAX, SHRINKAGE_MAX = 16.0, 0.125
STATEMENT_TARGET_SECONDS = 0.15
"""How long one window should take: short against a budget, long against a round trip."""

TIMEOUT_SECONDS_MIN = 0.05
ELAPSED_SECONDS_MIN = 0.001

CLOCK_AHEAD = timedelta(days=2)
"""Entries may be of the near future, clocks differing; of later than this there are none."""


class Window(NamedTuple):
    """A stretch of time, ``since`` included."""

    since: datetime
    until: datetime


Take = Callable[[asyncpg.Connection, Window], Awaitable[bool]]
"""Asks about one window; the answer is whether that is enough."""


def reach(query: Query, *, now: datetime, oldest: datetime) -> Window:
    """Return the stretch of time in which a query can find something."""
    ends = span(query)
    newest = now + CLOCK_AHEAD if ends.until is None else ends.until
    return Window(max(filter(None, (oldest, ends.since))), newest)


class Walk:
    """Where a search stands; ``at`` is the oldest instant that it has come to."""

    def __init__(self, all_of: Window, now: datetime, budget_seconds: float) -> None:
        """Begin at the newest end, the clock running."""
        self._oldest, self._newest = all_of
        self._now = now
        self.at = self._newest
        self._width = FIRST_WINDOW
        self._budget_seconds = budget_seconds
        self._ends_at = time.monotonic() + budget_seconds

    @property
    def finished(self) -> bool:
        """Whether everything was gone through."""
        return self.at <= self._oldest

    @property
    def searched_back_to(self) -> datetime | None:
        """How far back the walk came, None when it came all the way."""
        return None if self.finished else self.at

    async def go(self, reader: Reader, org_id: str, take: Take) -> None:
        """Ask window after window, until it is enough, all was asked or the budget has ended."""
        enough = False
        while not enough and self._goes_on():
            timeout_seconds = max(
                self._seconds_left(), self._budget_seconds / 4, TIMEOUT_SECONDS_MIN
            )
            async with reader.of(org_id, statement_timeout_seconds=timeout_seconds) as connection:
                enough = await self._go(connection, take)

    async def _go(self, connection: asyncpg.Connection, take: Take) -> bool:
        """Go on in one transaction; return early when a window took too long, which ends it."""
        while self._goes_on():
            # There is next to nothing ahead of now: it goes with the first window.
            since = max(min(self.at, self._now) - self._width, self._oldest)
            started = time.monotonic()
            try:
                enough = await take(connection, Window(since, self.at))
            except asyncpg.QueryCanceledError:
                self._narrow()
                return False
            self.at = since
            if enough:
                return True
            self._adapt(time.monotonic() - started)
        return False

    def _goes_on(self) -> bool:
        """Tell whether to ask on: every walk comes some way, however small its budget."""
        return not self.finished and (self._seconds_left() > 0 or self.at == self._newest)

    def _adapt(self, took_seconds: float) -> None:
        """Make the next window as wide as the speed of the last one allows."""
        aim = min(STATEMENT_TARGET_SECONDS, max(self._seconds_left(), ELAPSED_SECONDS_MIN))
        factor = aim / max(took_seconds, ELAPSED_SECONDS_MIN)
        self._scale(min(max(factor, SHRINKAGE_MAX), GROWTH_MAX))

    def _narrow(self) -> None:
        """Go on with a much narrower window, if there is one."""
        if self._width <= WINDOW_MIN:
            raise SearchTooSlow("the entries of one second took longer than the budget")
        self._scale(SHRINKAGE_MAX)

    def _scale(self, factor: float) -> None:
        self._width = min(max(self._width * factor, WINDOW_MIN), WINDOW_MAX)

    def _seconds_left(self) -> float:
        return self._ends_at - time.monotonic()
