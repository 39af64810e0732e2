"""What a query comes to without its entries: its commonest values, and how many over time.

Both go through the days from the newest back, like a page, and stop at their budget: then they are
of the time back to ``searched_back_to`` alone. Without a condition sealed days cost next to
nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import asyncpg

from processor.store.conditions import Where, where
from processor.store.reader import Reader
from processor.store.sql import statements
from processor.store.summaries import (
    AFTER_SEALING,
    Counting,
    OfDays,
    OfWindow,
    Rows,
    asks_for_time_alone,
    count,
)
from processor.store.walk import Window, reach
from schemas.query import Field, Query

COUNT_MAX = 1_001
"""This stands for all counts that are not lower."""

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

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400)
ROUND_LENGTHS = tuple(timedelta(seconds=seconds) for seconds in _SECONDS)
"""What a bar of the histogram is wide, or else some days."""

_SQL = statements("facets.sql")
_WHERE = "/*where*/"


@dataclass(frozen=True, slots=True)
class Count:
    """A value, and how many entries have it: COUNT_MAX at most."""

    value: str
    count: int


class Facets(dict[Field, list[Count]]):
    """The commonest values of each field, most frequent first.

    ``searched_back_to`` is set when the budget ended first: older entries are not counted. ``cut``
    are the fields of which some day or window had as many values as are counted: of each there may
    be more entries than its count says.
    """

    searched_back_to: datetime | None = None
    cut: frozenset[Field] = frozenset()


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
    window = reach(query, now=await reader.now(), oldest=oldest)
    condition = where(query, org_id, first=3)
    counts: dict[Field, Counter[str]] = {field: Counter() for field in FACETS}
    cut: set[Field] = set()

    def add(rows: Rows) -> None:
        """Add some counts."""
        for number, value, times, is_cut in rows:
            counts[FACETS[number]][value] += int(times)
            if is_cut:
                cut.add(FACETS[number])

    back_to = await count(
        reader,
        org_id,
        window,
        Counting(
            _of_window("facets", condition),
            _of_days("summed_facets", org_id),
            _of_window("facets", condition.also(AFTER_SEALING)),
            add,
        ),
        budget_seconds=budget_seconds,
        summed_up=asks_for_time_alone(query),
    )
    found = Facets((field, _commonest(counted)) for field, counted in counts.items())
    found.searched_back_to, found.cut = back_to, frozenset(cut)
    return found


def _of_window(name: str, condition: Where, *given: object) -> OfWindow:
    """Return what counts the entries of a window that meet a condition, one by one."""
    statement = _SQL[name].replace(_WHERE, condition.sql)

    async def look(connection: asyncpg.Connection, window: Window) -> Rows:
        """Return the counts of one window."""
        rows: Rows = await connection.fetch(statement, *window, *given, *condition.parameters)
        return rows

    return look


def _of_days(name: str, org_id: str, *given: object) -> OfDays:
    """Return what counts whole days by their summaries."""

    async def look(connection: asyncpg.Connection, days: Sequence[date]) -> Rows:
        """Return the counts of some days."""
        rows: Rows = await connection.fetch(_SQL[name], org_id, days, *given)
        return rows

    return look


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
    """Count the entries that a query asks for in stretches between two instants, so many at most.

    They begin at round times and are of a round length, but for the first and the last. The last
    has what is of later, too: where the query has no end there are entries ahead of now, clocks
    differing.
    """
    begin, width = _rounded(since, until, bars)
    needed = -((begin - until) // width)
    edges = [since, *(begin + width * number for number in range(1, needed)), until]
    last = len(edges) - 2
    condition = where(query, org_id, first=5)
    counts: Counter[int] = Counter()

    def add(rows: Rows) -> None:
        """Add some counts."""
        for number, times in rows:
            counts[min(number, last)] += int(times)

    back_to = await count(
        reader,
        org_id,
        reach(query, now=await reader.now(), oldest=since),
        Counting(
            _of_window("histogram", condition, begin, width),
            _of_days("summed_histogram", org_id, begin, width),
            _of_window("histogram", condition.also(AFTER_SEALING), begin, width),
            add,
        ),
        budget_seconds=budget_seconds,
        summed_up=asks_for_time_alone(query) and width % _HOUR == timedelta(0),
    )
    found = Histogram(
        Bar(start, end, counts[number]) for number, (start, end) in enumerate(pairwise(edges))
    )
    found.searched_back_to = back_to
    return found


def _rounded(since: datetime, until: datetime, bars: int) -> tuple[datetime, timedelta]:
    """Return where bars of a round length begin, so that no more than that many reach the end."""
    days = -((since - until) // (bars * _DAY))
    for width in (*ROUND_LENGTHS, *(_DAY * n for n in range(days, days + 2))):
        begin = since - (since - _EPOCH) % min(width, _DAY)
        if until - begin <= width * bars:
            return begin, width
    raise AssertionError(since, until, bars)
