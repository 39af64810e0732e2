"""The log by sequence number, for those who keep a copy of it: what is new, and what there is.

Sequence numbers of an organization are given out without a gap; those that no entry stands under
any more are explained.
"""

from collections.abc import Callable, Collection
from datetime import date, datetime
from typing import Generic, NamedTuple

from processor.store.reader import Reader, T, decoded, reading, whole
from schemas.entry import Entry

RANGE_SEQS = 10_000
"""How many sequence numbers one range spans."""

_SQL = reading("feed.sql")


class Gap(NamedTuple):
    """Sequence numbers without an entry, both ends included, and why."""

    first_seq: int
    last_seq: int
    reason: str


class Feed(NamedTuple, Generic[T]):
    """Entries in the order of their numbers, the organization's last number, and known gaps.

    The gaps are those behind the number asked for; with them the entries' numbers are complete up
    to the last of them, or up to ``head_seq`` when there are fewer entries than asked for.
    """

    entries: list[T]
    head_seq: int
    gaps: list[Gap]


class Day(NamedTuple):
    """The entries of one day (UTC), by when it happened, and their lowest and highest number."""

    day: date
    entries: int
    first_seq: int
    last_seq: int


class SeqRange(NamedTuple):
    """How many entries there are under the numbers from first to last, both included."""

    first_seq: int
    last_seq: int
    entries: int


class Ranges(NamedTuple):
    """What an organization's log holds, to be compared with a copy of it."""

    days: list[Day]
    seqs: list[SeqRange]
    gaps: list[Gap]
    head_seq: int


async def feed(
    reader: Reader,
    org_id: str,
    *,
    after: int,
    limit: int,
    shown: Callable[[Entry], T] = whole,
) -> Feed[T]:
    """Return the entries that follow a sequence number, as they are shown."""
    async with reader.of(org_id) as connection:
        # The head first: what it counts is there for every later statement.
        head = await connection.fetchval(_SQL["head"], org_id) or 0
        rows = []
        if head > after:  # otherwise a hundred partitions would be asked in vain
            rows = await connection.fetch(_SQL["feed"], org_id, after, head, limit)
        gaps = await connection.fetch(_SQL["gaps"], org_id, after)
    return Feed(await decoded(rows, shown), head, [Gap(*row) for row in gaps])


async def head(reader: Reader, org_id: str) -> int:
    """Return the organization's last sequence number, 0 when it has none."""
    async with reader.of(org_id) as connection:
        last: int | None = await connection.fetchval(_SQL["head"], org_id)
    return last or 0


async def ranges(reader: Reader, org_id: str) -> Ranges:
    """Return what there is, by day and by range of RANGE_SEQS numbers."""
    async with reader.of(org_id) as connection:
        last = await connection.fetchval(_SQL["head"], org_id) or 0
        days = await connection.fetch(_SQL["days"], org_id, last)
        seqs = await connection.fetch(_SQL["seqs"], org_id, last, RANGE_SEQS)
        gaps = await connection.fetch(_SQL["gaps"], org_id, 0)
    return Ranges(
        [Day(*row) for row in days],
        [SeqRange(*row) for row in seqs],
        [Gap(*row) for row in gaps],
        last,
    )


async def completeness(reader: Reader, topics: Collection[str]) -> datetime | None:
    """Return up to when everything on the topics has been stored; None while that is not known."""
    async with reader.db.connection() as connection:
        complete: datetime | None = await connection.fetchval(_SQL["completeness"], topics)
    return complete
