"""How much of a raw partition's log is stored, found out record by record.

A position says that everything before it is stored of the log in which it was taken. What is there
may be another log: a broker came back without its tail, and upstream went on writing; or the topic
was created anew, and has passed the old position or not. Offsets say nothing then, and clocks only
roughly. But each row keeps offset and append time of its record, and no two records have both.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from processor.ingest.decode import decode
from processor.normalize import Limits, normalize
from processor.settings import Settings
from processor.store.entries import encoded
from processor.store.pool import Database
from processor.store.recovery import known
from processor.store.resolve import Candidate
from schemas.record import Record
from schemas.rejection import DeadLetter, Discard, Rejection

ANY_AGE_MS = 10_000 * 365 * 86_400_000


class Stored(NamedTuple):
    """The offset behind the last record that is stored, and whether anything new stands behind it.

    None: no record of the stretch has a row.
    """

    through: int | None
    followed: bool


async def stored(
    settings: Settings, db: Database, windows: AsyncGenerator[Sequence[Record]]
) -> Stored:
    """Look through a stretch of log, from its end, for the last record that is stored."""
    followed = False
    async with aclosing(windows):
        async for records in windows:
            own, wanting = await known(db, records, *_ends(settings, records))
            last = max(own, default=-1)
            followed = followed or any(offset > last for offset in wanting)
            if own:
                return Stored(last + 1, followed)
    return Stored(None, followed)


def _ends(settings: Settings, records: Sequence[Record]) -> tuple[list[Candidate], set[int]]:
    """Return what of the records would be entries, and the offsets of what would be rejected.

    However old they are: what is stored of a day that is gone by now has no row.
    """
    redrive = settings.topic(settings.topics.redrive)
    limits = Limits(ANY_AGE_MS, 0, settings.families)
    candidates, rejected = [], set()
    for record in records:
        event = decode(record, redrive)
        end = event if isinstance(event, Rejection) else normalize(event, limits)
        if isinstance(end, Discard):
            continue
        if isinstance(end, Rejection) or isinstance(row := encoded(end, record), DeadLetter):
            rejected.add(record.offset)
        else:
            candidates.append(row)
    return candidates, rejected
