"""The streams that the judge of a soak reads, in shares: a process can take one of several."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, LiteralString

from tests.faults import observe, reader
from tests.faults.source import Result
from tests.faults.spread import CHUNK
from tests.faults.world import Place, Seen

ROWS_AT_ONCE = 2_000


def lines(
    path: Path, keep: Callable[[dict[str, Any]], Result], shares: int, share: int
) -> Iterator[Result]:
    """Yield what is kept of the lines of a share: every so many chunks one is its own."""
    with path.open("rb") as file:
        for number, text in enumerate(file):
            if number // CHUNK % shares == share:
                yield keep(json.loads(text))


def rows(
    dsn: str, keep: Callable[[dict[str, Any]], Result], shares: int, share: int
) -> Iterator[Result]:
    """Yield what is kept of the rows of every so many numbers: lanes are not equally full."""
    query: LiteralString = observe.ROWS + " WHERE abs(seq) %% %s = %s"
    yield from map(keep, selected(dsn, query, shares, share))


def records(
    bootstrap: str, keep: Callable[[Seen], Result], where: Sequence[Place]
) -> Iterator[Result]:
    """Yield what is kept of the committed records of some partitions."""
    yield from map(keep, reader.each(bootstrap, [*where]))


def selected(dsn: str, query: LiteralString, *values: object) -> Iterator[dict[str, Any]]:
    """Yield rows without taking them all at once."""
    with (
        observe.connected(dsn) as db,
        db.cursor(name="judge") as cursor,
    ):
        cursor.itersize = ROWS_AT_ONCE
        yield from cursor.execute(query, values)
