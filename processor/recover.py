"""``hub-audit recover``: what an operator decides when a lane has stopped by itself.

Two things stop a lane. The database lost commits that were published (an old backup, a failover to
a standby that lagged): then every head is lifted above what is on the canonical topics, so that no
number is given twice, and the jump stands in ``seq_gaps``. So they are above what SIEMs were told,
which may be more than is published, and then no lane stops. Or a raw partition ends before the
place through which it is stored: then its books go on behind the last record of it that is stored,
which is at its beginning where the topic was created anew. Nothing else is changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from processor.errors import StartRefused
from processor.ingest import backwards, group
from processor.ingest.consumer import Extent
from processor.ingest.delivered import ahead, delivered
from processor.ingest.group import Place
from processor.ingest.published import Progress, heads
from processor.settings import Settings
from processor.store import survey
from processor.store.books import Book, books, ours
from processor.store.pool import MAINTENANCE, Database
from processor.store.recovery import LostBatches, Recovered, Reopening, last_stored, recover
from processor.stored_log import stored

CREATED_ANEW = "the topic was created anew"
LOST_TAIL = "the bus lost the end of the log"

SLACK_MS = 3_600_000
"""What clocks of workers may be apart: what is published is dated by them."""


class Diagnosis(NamedTuple):
    """Why lanes have stopped, where raw partitions end, and since when lost batches were published.

    That is a time before which none was; None: the database does not know one. ``ahead``: which
    organizations' SIEMs were told numbers that are not stored, up to which, and what is stored.
    """

    lost: list[LostBatches]
    reopened: list[Reopening]
    ends: Mapping[Place, int]
    since_ms: int | None
    ahead: Mapping[str, tuple[int, int]]


async def diagnose(settings: Settings, *, new_cluster: bool = False) -> Diagnosis:
    """Return what keeps lanes from going on; nothing is changed.

    On a ``new_cluster`` every raw partition is looked at, also where none ends too early. Raises
    StartRefused where a raw topic is missing: made anew, it is what has to be looked at.
    """
    async with ours(settings, role=MAINTENANCE) as db:
        kept = await books(db)
        published = group.batches(await group.agreed(settings, await survey.batches(db)))
        now_stored = await survey.batches(db)  # a lane that runs has stored what it published
        extents = await group.extents(settings)
        _insist_on_topics(settings, extents)
        lost = [
            LostBatches(lane, now_stored.get(lane, 0), batch)
            for lane, batch in sorted(published.items())
            if batch > now_stored.get(lane, 0)
        ]
        there = [book for book in kept if (book.topic, book.partition) in extents]
        reopened = []
        if new_cluster or any(_ends_early(book, extents) for book in there):
            reopened = await _reopened(settings, db, there, extents)
        since_ms = _since(lost, await last_stored(db))
        told = await delivered(settings)
        beyond = ahead(told, await survey.heads(db))  # what was told just now is stored just now
    ends = {at: extent.end for at, extent in extents.items()}
    return Diagnosis(lost, reopened, ends, since_ms, beyond)


def _insist_on_topics(settings: Settings, extents: Mapping[Place, Extent]) -> None:
    there = {topic for topic, _ in extents}
    if missing := [topic for topic in settings.raw_topics if topic not in there]:
        raise StartRefused(
            [f"{topic} is missing: run `hub-audit topics create`" for topic in missing]
        )


def _ends_early(book: Book, extents: Mapping[Place, Extent]) -> bool:
    return book.stored_through > extents[book.topic, book.partition].end


async def _reopened(
    settings: Settings, db: Database, kept: Sequence[Book], extents: Mapping[Place, Extent]
) -> list[Reopening]:
    """Return which partitions hold another log than the one that is stored, and where to go on.

    All are looked at: a quiet one of a new topic has soon grown past its old position.
    """
    found = []
    async with backwards.opened(settings) as log:
        for book in kept:
            begin, end = extents[book.topic, book.partition]
            stretch = log.backwards(
                book.topic, book.partition, begin, min(end, book.stored_through)
            )
            through, followed = await stored(settings, db, stretch)
            if followed or _ends_early(book, extents):
                at, why = (begin, CREATED_ANEW) if through is None else (through, LOST_TAIL)
                found.append(Reopening(book.topic, book.partition, book.stored_through, at, why))
    return found


def _since(lost: Sequence[LostBatches], known: Mapping[int, int | None]) -> int | None:
    """Return a time before which none of the lost batches was published."""
    times = [known.get(lane) for lane, _, _ in lost]
    sure = [time for time in times if time is not None]
    return min(sure) - SLACK_MS if sure and len(sure) == len(times) else None


def findings(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield what was found and what would be done about it, for people."""
    for lost in diagnosis.lost:
        yield (
            f"lane {lost.lane}: batch {lost.published} is published, {lost.stored} is stored: every"
            " organization's numbers go on behind what is on the canonical topics"
        )
    for org_id, (through, last) in diagnosis.ahead.items():
        yield (
            f"{org_id}: SIEMs were told numbers up to {through}, {last} is stored: its numbers go"
            " on behind them"
        )
    for topic, partition, stored_through, at, why in diagnosis.reopened:
        ends = f"ends at {diagnosis.ends[topic, partition]}, stored through {stored_through}"
        if why == CREATED_ANEW:
            yield f"{topic}/{partition}: {ends}: it is read from its beginning, {at}"
        else:
            yield f"{topic}/{partition}: {ends}, of this log through {at}: it is read on from there"


def begin_ms(diagnosis: Diagnosis, since_ms: int | None) -> int | None:
    """Return since when canonical topics are read: by the database, or from further back if wished.

    None is everything. Refuses a time by which something that was published would be missed: its
    numbers would be given again.
    """
    known = diagnosis.since_ms
    if known is not None and since_ms is not None and since_ms > known:
        problem = (
            f"--since {_said(since_ms)} is too late: what the database lacks was published after"
            f" {_said(known)}, and numbers of it would be given again. Leave it out, or give an"
            " earlier time"
        )
        raise StartRefused([problem])
    return known if since_ms is None else since_ms


def _said(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")


async def mend(
    settings: Settings,
    diagnosis: Diagnosis,
    *,
    margin: int = 0,
    since_ms: int | None = None,
    progress: Progress | None = None,
) -> Recovered:
    """Let the lanes go on; return which were moved and where the lifted heads stand.

    Refuses while workers run, and where something has moved since the diagnosis.
    """
    begin = begin_ms(diagnosis, since_ms)
    if count := await group.members(settings):
        problem = (
            f"running workers: {count}. Stop them first; one that was killed counts until its"
            " session has timed out"
        )
        raise StartRefused([problem])
    published: dict[str, int] = {}
    async with ours(settings, role=MAINTENANCE) as db:
        await _insist_on_rows(db, diagnosis)
        if diagnosis.lost:
            published = await heads(settings, since_ms=begin, progress=progress)
        if diagnosis.lost or diagnosis.ahead:
            for org_id, through in (await delivered(settings)).items():
                published[org_id] = max(through, published.get(org_id, 0))
        return await recover(db, diagnosis.lost, published, diagnosis.reopened, margin=margin)


async def _insist_on_rows(db: Database, diagnosis: Diagnosis) -> None:
    """Refuse to recover lanes that this database has never seen taken over: they have no row."""
    known = await survey.batches(db)
    unseen = [str(lost.lane) for lost in diagnosis.lost if lost.lane not in known]
    if unseen:
        problem = (
            f"lanes {', '.join(unseen)} were never taken over in this database: start a worker,"
            " which will stop them and say so, end it, and recover again"
        )
        raise StartRefused([problem])
