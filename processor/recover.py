"""``hub-audit recover``: what an operator decides when a lane has stopped by itself.

Two things stop a lane. The database lost commits that were published (an old backup, a failover to
a standby that lagged): then every head is lifted above what is on the canonical topics, so that no
number is given twice, and the jump stands in ``seq_gaps``. Or a raw topic was created anew: then
its books go on from its beginning. Nothing else is changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from processor.errors import StartRefused
from processor.ingest import group
from processor.ingest.published import Progress, heads
from processor.settings import Settings
from processor.store import survey
from processor.store.books import books, insist_on_owner
from processor.store.pool import MAINTENANCE, Database
from processor.store.recovery import Recovered, last_stored, recover, reopen_partition

SLACK_MS = 3_600_000
"""What clocks of workers may be apart: what is published is dated by them."""


class LostBatches(NamedTuple):
    """A lane of which more was published than is stored."""

    lane: int
    stored: int
    published: int


class CreatedAnew(NamedTuple):
    """A raw partition that ends before the position we hold in it."""

    topic: str
    partition: int
    stored_through: int
    begin: int
    end: int


class Diagnosis(NamedTuple):
    """Why lanes have stopped, and since when lost batches were published.

    That is a time before which none was; None: the database does not know one.
    """

    lost: list[LostBatches]
    anew: list[CreatedAnew]
    since_ms: int | None


async def diagnose(settings: Settings) -> Diagnosis:
    """Return what keeps lanes from going on; nothing is changed.

    Raises StartRefused where a raw topic is missing: made anew, it is what has to be looked at.
    """
    db = await _open(settings)
    try:
        kept = await books(db)
        published = group.batches(await group.agreed(settings, await survey.batches(db)))
        stored = await survey.batches(db)  # of now: a lane that runs has stored what it published
        stored_at = await last_stored(db)
    finally:
        await db.close()
    extents = await group.extents(settings)
    there = {topic for topic, _ in extents}
    if missing := [topic for topic in settings.raw_topics if topic not in there]:
        raise StartRefused(
            [f"{topic} is missing: run `hub-audit topics create`" for topic in missing]
        )
    lost = [
        LostBatches(lane, stored.get(lane, 0), batch)
        for lane, batch in sorted(published.items())
        if batch > stored.get(lane, 0)
    ]
    anew = [
        CreatedAnew(book.topic, book.partition, book.stored_through, *extents[place])
        for book in kept
        if (place := (book.topic, book.partition)) in extents
        and book.stored_through > extents[place].end
    ]
    return Diagnosis(lost, anew, _since(lost, stored_at))


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
    for anew in diagnosis.anew:
        yield (
            f"{anew.topic}/{anew.partition}: ends at {anew.end}, stored through"
            f" {anew.stored_through}: it is read from its beginning, {anew.begin}"
        )


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
    """Let the lanes go on; return which were moved and where the lifted heads stand."""
    begin = begin_ms(diagnosis, since_ms)
    published: dict[str, int] = {}
    if diagnosis.lost:
        published = await heads(settings, since_ms=begin, progress=progress)
    recovered = Recovered([], {})
    db = await _open(settings)
    try:
        if diagnosis.lost:
            await _insist_on_rows(db, diagnosis)
            batches = {lost.lane: lost.published for lost in diagnosis.lost}
            recovered = await recover(db, batches, published, margin=margin)
        for anew in diagnosis.anew:
            await reopen_partition(db, anew.topic, anew.partition, anew.begin)
    finally:
        await db.close()
    return recovered


async def _insist_on_rows(db: Database, diagnosis: Diagnosis) -> None:
    """Refuse to recover lanes that this database has never seen taken over: they have no row."""
    known = await survey.batches(db)
    unseen = [str(lost.lane) for lost in diagnosis.lost if lost.lane not in known]
    if unseen:
        problem = (
            f"lanes {', '.join(unseen)} were never taken over in this database: start a worker,"
            " which will stop them and say so, and recover again"
        )
        raise StartRefused([problem])


async def _open(settings: Settings) -> Database:
    dsn = settings.postgres.dsn.get_secret_value()
    db = await Database.open(dsn, role=MAINTENANCE, connections=1)
    try:
        await insist_on_owner(db, settings.environment, settings.group)
    except BaseException:
        await db.close()
        raise
    return db
