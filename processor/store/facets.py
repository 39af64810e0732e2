"""What a query comes to without its entries: its commonest values, and how many over time.

Both go through the days from the newest back, like a page, and stop at their budget: then they are
of the time back to ``searched_back_to`` alone.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import asyncpg

from processor.store.conditions import where
from processor.store.reader import Reader
from processor.store.sql import statements
from processor.store.walk import Walk, Window, reach
from schemas.query import Field, Query

COUNT_MAX = 1_001
"""Counts are exact up to one less than this, which stands for all higher ones."""

VALUES_MAX = 20
FACETS = (
    Field.CATEGORY,
    Field.ACTION,
    Field.OUTCOME,
    Field.ACTOR,
    Field.TARGET_TYPE,
    Field.IP,
)
"""In the order of the statement's grouping sets."""

_SQL = statements("facets.sql")
_WHERE = "/*where*/"


@dataclass(frozen=True, slots=True)
class Count:
    """A value, and how many entries have it: COUNT_MAX at most."""

    value: str
    count: int


class Facets(dict[Field, list[Count]]):
    """The commonest values of each field, most frequent first.

    ``searched_back_to`` is set when the budget ended first: older entries are not counted.
    """

    searched_back_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """How many entries there are from one instant up to another."""

    since: datetime
    until: datetime
    count: int


class Histogram(list[Bar]):
    """Bars without a gap, oldest first; of those before ``searched_back_to`` the count is open."""

    searched_back_to: datetime | None = None


async def facets(
    reader: Reader,
    org_id: str,
    query: Query,
    *,
    budget_seconds: float,
    oldest: datetime,
) -> Facets:
    """Count the values of the entries that a query asks for; an actor by e-mail, else by id."""
    now = await reader.now()
    walk = Walk(reach(query, now=now, oldest=oldest), now, budget_seconds)
    condition = where(query, org_id, first=3)
    statement = _SQL["facets"].replace(_WHERE, condition.sql)
    counts: dict[Field, Counter[str]] = {field: Counter() for field in FACETS}

    async def take(connection: asyncpg.Connection, window: Window) -> bool:
        """Add the counts of one window."""
        for number, value, count in await connection.fetch(
            statement, *window, *condition.parameters
        ):
            counts[FACETS[number]][value] += count
        return False

    await walk.go(reader, org_id, take)
    found = Facets((field, _commonest(counted)) for field, counted in counts.items())
    found.searched_back_to = walk.searched_back_to
    return found


def _commonest(counted: Counter[str]) -> list[Count]:
    """Return the commonest values, equals in the order of their names."""
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return [Count(value, min(count, COUNT_MAX)) for value, count in ordered[:VALUES_MAX]]


async def histogram(  # noqa: PLR0913 - what, of when, in how many bars, how long
    reader: Reader,
    org_id: str,
    query: Query,
    *,
    since: datetime,
    until: datetime,
    bars: int = 60,
    budget_seconds: float,
) -> Histogram:
    """Count the entries that a query asks for in equal stretches between two instants."""
    now = await reader.now()
    # Rounded up: the bars reach the end.
    width = max(-((since - until) // bars), timedelta(milliseconds=1))
    condition = where(query, org_id, first=5)
    statement = _SQL["histogram"].replace(_WHERE, condition.sql)
    counts: Counter[int] = Counter()

    async def take(connection: asyncpg.Connection, window: Window) -> bool:
        """Add the counts of one window."""
        rows = await connection.fetch(statement, *window, since, width, *condition.parameters)
        counts.update(dict(rows))
        return False

    walk = Walk(_common(reach(query, now=now, oldest=since), until), now, budget_seconds)
    await walk.go(reader, org_id, take)
    ends = [min(since + width * n, until) for n in range(bars + 1)]
    found = Histogram(
        Bar(start, end, counts[number])
        for number, (start, end) in enumerate(pairwise(ends))
        if start < end
    )
    found.searched_back_to = walk.searched_back_to
    return found


def _common(window: Window, until: datetime) -> Window:
    """Return the part of a window that lies before an instant."""
    return Window(window.since, min(window.until, until))
