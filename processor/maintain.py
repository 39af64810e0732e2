"""``hub-audit maintain``: days ahead are created, finished ones sealed, old ones dropped.

Any number may run: whoever holds the advisory lock works, the others stand by. Each round begins
with what an earlier one left unfinished, and ends with what matters least if it has to wait:

::

    days ahead -> sweep -> put back what is kept after all -> purge what is too old
        -> tell the organizations -> forget old findings -> seal finished days
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from importlib.metadata import version

from processor import metrics
from processor.emit.own_events import OwnEvent, OwnEvents
from processor.errors import BusOutage, Outage, StartRefused
from processor.health import serve
from processor.normalize import NORMALIZER
from processor.settings import Settings
from processor.store import findings, retention, seal
from processor.store.dead_letters import count_dead_letters
from processor.store.maintenance import Session, alone, maintenance, now
from processor.store.migrations import pending
from processor.store.partitions import DEAD_LETTERS, ENTRIES, ensure_window, missing, oldest_kept
from processor.store.pool import Database
from processor.store.survey import vitals

log = logging.getLogger(__name__)

PURGED = "audit.retention.purged.v1"
TABLES = (ENTRIES, DEAD_LETTERS)

CLOCKS_APART_SECONDS_MAX = 3_600.0
"""Between Postgres' clock and ours: beyond that nobody knows which days are too old."""

LATE_ROUNDS = 3
"""After so many intervals without a round that went well, the process is not ready."""


@dataclass
class Round:
    """What a round of maintenance did, or in a dry run would do."""

    standing_by: bool = False
    held_up: list[str] = field(default_factory=list)
    created: list[date] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)
    put_back: dict[str, list[date]] = field(default_factory=dict)
    purged: dict[str, list[date]] = field(default_factory=dict)
    waiting: dict[str, list[date]] = field(default_factory=dict)
    announced: int = 0
    unannounced: int = 0
    sealed: list[seal.Sealed] = field(default_factory=list)
    unsealed: dict[str, str] = field(default_factory=dict)
    """Why, by day."""


@dataclass
class Plan:
    """What a round would do: days to create, put back, purge with about how many rows, and seal.

    A day to be put back is not there, and so among those to be created as well. While sealing rests
    after a full disk, no day is to be sealed.
    """

    held_up: list[str]
    create: list[date]
    put_back: Mapping[str, list[date]]
    purge: Mapping[str, Mapping[str, int]]
    seal: list[date]
    sealing_rests_until: datetime | None


@dataclass(frozen=True)
class Terms:
    """What a round goes by: Postgres' time, how far it is from ours, and the days that are kept."""

    at: datetime
    days_set: int
    days_kept: int
    apart_seconds: float

    @property
    def oldest(self) -> date:
        """The oldest day that is kept."""
        return oldest_kept(self.at.date(), self.days_kept)

    @property
    def clocks_agree(self) -> bool:
        """Whether a day that is too old by Postgres' clock may be dropped."""
        return abs(self.apart_seconds) <= CLOCKS_APART_SECONDS_MAX

    def held_up(self) -> list[str]:
        """Say why days stay that ought to go."""
        said = []
        if not self.clocks_agree:
            said.append(
                f"Postgres' clock is {self.apart_seconds:+.0f} s from this machine's: nothing is"
                " dropped before both are right"
            )
        if self.days_kept > self.days_set:
            said.append(
                f"{self.days_kept} days were kept so far and {self.days_set} are set: if the rest"
                " may go, `hub-audit maintain --once --shorten`"
            )
        return said


async def plan(settings: Settings, *, shorten: bool = False) -> Plan:
    """Return what the next round would do, and change nothing."""
    async with _store(settings) as db, db.connection() as session:
        terms = await _terms(settings, session, shorten=shorten)
        early = {t: await retention.taken_too_early(session, t, terms.oldest) for t in TABLES}
        purged = TABLES if terms.clocks_agree else ()
        resting = await seal.rests_until(session)
        return Plan(
            terms.held_up(),
            await missing(db, settings.retention_days),
            early,
            {table: await _overdue(session, table, terms.oldest) for table in purged},
            [] if resting else await _unsealed(settings, session, terms),
            resting,
        )


async def once(settings: Settings, *, shorten: bool = False) -> Round:
    """Do one round, or stand by where another maintainer is at it.

    With ``shorten`` a retention that is shorter than the last one takes effect.
    """
    async with _store(settings) as db:
        return await _round(settings, db, shorten=shorten)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Do a round every interval until ``stop`` is set; an outage is waited out."""
    keeper = Keeper(settings)
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(_store(settings))
        metrics.started("maintain", version("hub-audit"), NORMALIZER)
        metrics.kept(settings.retention_days)
        metrics.watch_connections(db.occupation)
        # Before anybody can ask: zeros would say that there is nothing to be done.
        await _note(settings, db)
        await stack.enter_async_context(serve(settings.http, keeper.readiness))
        working = asyncio.create_task(keeper.keep(db))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not working.done():
            # Whatever is half done is swept up by the next round, here or elsewhere.
            working.cancel()
        with suppress(asyncio.CancelledError):
            await working


class Keeper:
    """Does round after round, and knows whether they go well."""

    def __init__(self, settings: Settings) -> None:
        """Begin with no round done."""
        self._settings = settings
        self._went_well_at: float | None = None
        self._why = "the first round is not over yet"

    def readiness(self) -> tuple[bool, str]:
        """Tell whether a round went well of late; if not, why not."""
        if self._went_well_at is None:
            return False, self._why
        late = time.monotonic() - self._went_well_at
        if late > LATE_ROUNDS * self._settings.maintain.interval_seconds:
            return False, f"no round went well for {late:.0f} s: {self._why}"
        return True, self._why

    async def keep(self, db: Database) -> None:
        """Do rounds for ever; after each, however it ended, tell what is there, whoever did it."""
        while True:
            try:
                done = await _round(self._settings, db, went_on=self._went_on)
                self._went_well_at = time.monotonic()
                self._why = "another maintainer is at work" if done.standing_by else "maintained"
            except Outage as error:
                self._why = str(error)
                log.warning("round_postponed", extra={"error": self._why})
            with suppress(Outage):  # the next round says so
                await _note(self._settings, db)
                await _note_dead_letters(db)
            await asyncio.sleep(self._settings.maintain.interval_seconds)

    def _went_on(self) -> None:
        """Note that the round goes well: a first one may seal days for hours."""
        self._went_well_at = time.monotonic()
        self._why = "at work"
        metrics.went_on()


async def _round(
    settings: Settings,
    db: Database,
    *,
    shorten: bool = False,
    went_on: Callable[[], None] = lambda: None,
) -> Round:
    """Do one round; where an outage cuts it off, let nothing half done take up room meanwhile."""
    try:
        return await _steps(settings, db, shorten=shorten, went_on=went_on)
    except Outage:
        with suppress(Outage):  # the next round sweeps as well
            async with alone(db) as session:
                if session is not None:
                    await seal.sweep(session)
        raise


async def _steps(
    settings: Settings, db: Database, *, shorten: bool, went_on: Callable[[], None]
) -> Round:
    """Go through a round, and tell when a step of it that may take long begins or is over."""
    done = Round(created=await ensure_window(db, settings.retention_days))
    async with alone(db) as session:
        if session is None:
            done.standing_by = True
            return done
        done.swept = await seal.sweep(session)
        terms = await _terms(settings, session, shorten=shorten)
        await retention.keep(session, terms.days_kept)
        done.held_up = terms.held_up()
        for why in done.held_up:
            log.error("round_held_up", extra={"why": why})
        for table in TABLES:
            await _put_back(session, table, terms.oldest, done)
            if terms.clocks_agree:
                await _purge(session, table, terms.oldest, done)
        await _announce(settings, session, done)
        kept = timedelta(days=terms.days_kept)
        await retention.forget(session, after=kept)
        if terms.clocks_agree:
            await findings.forget(session, after=kept)
        went_on()
        waiting = await _unsealed(settings, session, terms)
        for sealed, day in enumerate(waiting):
            metrics.days_unsealed(len(waiting) - sealed)
            await _seal(session, day, settings.maintain.rest, done)
            went_on()
    return done


async def _terms(settings: Settings, session: Session, *, shorten: bool = False) -> Terms:
    """Return what a round goes by now."""
    days = settings.retention_days
    kept = await retention.kept(session, days, shorten=shorten)
    at = await now(session)
    return Terms(at, days, kept, at.timestamp() - time.time())


async def _unsealed(settings: Settings, session: Session, terms: Terms) -> list[date]:
    """Return the days that ought to be sealed: finished, and not about to go."""
    finished = (terms.at - timedelta(hours=settings.maintain.seal_grace_hours)).date()
    return [day for day in await seal.due(session, finished) if day >= terms.oldest]


async def _overdue(session: Session, table: str, oldest: date) -> dict[str, int]:
    """Return the days that are too old, and about how many rows each has."""
    days = await retention.overdue(session, table, oldest)
    return {str(day): await retention.rows(session, table, day) for day in days}


async def _put_back(session: Session, table: str, oldest: date, done: Round) -> None:
    """Give back every day of a table that is kept after all: nothing of it can be stored before."""
    for day in await retention.taken_too_early(session, table, oldest):
        there = await retention.put_back(session, table, day)
        if there:
            done.put_back.setdefault(table, []).append(day)
        told = {"table": table, "day": str(day)}
        log.warning("day_put_back" if there else "day_still_missing", extra=told)


async def _purge(session: Session, table: str, oldest: date, done: Round) -> None:
    """Drop every day of a table that is older than the oldest kept."""
    for day in await retention.overdue(session, table, oldest):
        rows = await retention.rows(session, table, day)
        gone = await retention.purge(session, table, day)
        (done.purged if gone else done.waiting).setdefault(table, []).append(day)
        log.info("day_purged" if gone else "purge_waits", extra={"table": table, "day": str(day)})
        if not gone:
            return  # whoever reads this day holds up the next one as well
        metrics.day_purged(table, rows)


async def _announce(settings: Settings, session: Session, done: Round) -> None:
    """Tell the organizations what retention took; what cannot be told now is told later."""
    try:
        while purges := await retention.unannounced(session):
            done.unannounced = len(purges)
            async with OwnEvents.opened(settings) as bus:
                await bus.publish(_event(purge) for purge in purges)
            await retention.announced(session, purges)
            done.announced, done.unannounced = done.announced + len(purges), 0
    except BusOutage as error:
        log.warning("purges_not_announced", extra={"error": str(error)})


def _event(purge: retention.Purge) -> OwnEvent:
    """Return the event of a purge: told twice it is the same event, and becomes one entry."""
    data = {
        "actor": {"type": "system"},
        "day": str(purge.day),
        "rows": purge.entries,
        "first_seq": purge.first_seq,
        "last_seq": purge.last_seq,
    }
    return OwnEvent(f"purged-{purge.day}", PURGED, purge.purged_at, purge.org_id, data)


async def _seal(session: Session, day: date, rest: float, done: Round) -> None:
    """Seal a day, or leave it to a later round."""
    try:
        sealed = await seal.seal(session, day, rest=rest)
    except seal.SealingPostponed as postponed:
        done.unsealed[str(day)] = str(postponed)
        log.warning("sealing_postponed", extra={"day": str(day), "why": str(postponed)})
        return
    done.sealed.append(sealed)
    metrics.day_sealed(sealed.entries, sealed.seconds)
    log.info("day_sealed", extra=sealed._asdict() | {"day": str(day)})


async def _note(settings: Settings, db: Database) -> None:
    """Leave the figures of the store: they are the same whichever maintainer is asked."""
    async with db.connection() as session:
        terms = await _terms(settings, session)
        overdue = [await retention.overdue(session, table, terms.oldest) for table in TABLES]
        unannounced = await retention.unannounced(session)
        unsealed = await _unsealed(settings, session, terms)
    metrics.maintained(
        overdue=sum(map(len, overdue)), unsealed=len(unsealed), unannounced=len(unannounced)
    )
    metrics.store_seen(**(await vitals(db))._asdict())


async def _note_dead_letters(db: Database) -> None:
    """Leave how many dead letters wait: to count very many takes longer than a start may."""
    counted = await count_dead_letters(db)
    metrics.dead_letters_waiting(
        {why: all_ - redriven for why, (all_, redriven) in counted.items()}
    )


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Database]:
    """Open the store as the maintainer; raises StartRefused when it is another's or not ready."""
    async with maintenance(settings) as db:
        if await pending(db):
            raise StartRefused(["the database is not up to date: run hub-audit migrate"])
        yield db
