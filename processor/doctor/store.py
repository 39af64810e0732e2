"""What is asked of the store: whether it can be worked with, and whether its books balance."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta

from processor.doctor import bus
from processor.doctor.findings import Finding, Level, ok, problem, split, warning
from processor.emit.route import partition_of
from processor.errors import DatabaseOutage, StartRefused
from processor.settings import Settings
from processor.store import survey
from processor.store.books import Book, books, claim
from processor.store.dead_letters import count_dead_letters
from processor.store.migrations import pending
from processor.store.partitions import (
    DAYS_AHEAD,
    DEAD_LETTERS,
    ENTRIES,
    days,
    oldest_day,
    oldest_kept,
)
from processor.store.pool import Database
from schemas.rejection import Reason

POSTGRES_VERSION_MIN = 150_000
DAYS_AHEAD_MIN = 2
"""Fewer than that and there is no night left in which to mend it."""

LOCKS_PER_DAY = 11
"""Of who looks through all days: a sealed day's table and its ten indexes."""

LOOKS_AT_ONCE = 32
"""By the connections of a few pages and forwarders; where the room ends, writers fail as well."""

SAMPLE_ENTRIES = 5_000
APART_SECONDS_MAX = 2.0


async def preflight(settings: Settings) -> list[Finding]:
    """Check what a start needs, and claim the database where nothing speaks against it."""
    findings: list[Finding] = []
    async with _database(settings, findings) as db:
        if db is None:
            return findings
        findings += await _foundation(settings, db)
        if not any(finding.level is Level.PROBLEM for finding in findings):
            await claim(db, settings.environment, settings.group)
    return findings


async def examine(settings: Settings, *, bus_reached: bool) -> list[Finding]:
    """Check the store, and what it says against what the bus says where that is reached."""
    findings: list[Finding] = []
    async with _database(settings, findings) as db:
        if db is None:
            return findings
        findings += await _foundation(settings, db)
        if any(finding.check == "migrations" and finding.fix for finding in findings):
            return findings
        kept = await books(db)
        findings += _balance(kept)
        findings += _dead_letters(await count_dead_letters(db))
        findings += _strays(settings, await survey.origins(db, limit=SAMPLE_ENTRIES))
        findings += _lost(await survey.lost_offsets(db))
        findings += await _readers(settings, db)
        if not bus_reached:
            return findings
        standing = await bus.standing(settings, await survey.batches(db))
        if isinstance(standing, Finding):
            return [*findings, standing]
        findings += bus.of_positions(kept, standing)
        findings += bus.of_batches(await survey.batches(db), standing)
        findings += await bus.of_delivery(settings, db)
        findings += bus.of_defend(await bus.defend(settings))
    return findings


async def _readers(settings: Settings, db: Database) -> list[Finding]:
    """Check what processes other than the worker find in the store."""
    own, today = await survey.clock(db), await survey.today(db)
    return [
        _roles(await survey.roles(db)),
        _clock(own - time.time()),
        _retention(today, await oldest_day(db), settings.retention_days),
        *_subscriptions(await survey.subscriptions(db)),
    ]


def _roles(lacking: Sequence[str]) -> Finding:
    if lacking:
        said = f"the database user may not work as {', '.join(lacking)}"
        fix = f"have an administrator GRANT {', '.join(lacking)} to it, if its processes use it too"
        return warning("roles", said, fix)
    return ok("roles", "the database user may work as each process")


def _clock(ahead_seconds: float) -> Finding:
    if abs(ahead_seconds) > APART_SECONDS_MAX:
        said = f"Postgres' clock is {ahead_seconds:+.1f} s from this machine's"
        return warning("clock of postgres", said, "synchronize both by NTP")
    return ok("clock of postgres", f"within {APART_SECONDS_MAX:.0f} s of this machine's")


def _retention(today: date, oldest: date | None, retention_days: int) -> Finding:
    late = (oldest_kept(today, retention_days) - (oldest or today)).days
    if late > 0:
        said = f"the oldest day is {oldest}, {late} days beyond what is kept"
        return warning("retention", said, "run `hub-audit maintain --once`; it says what waits")
    return ok("retention", f"the oldest day is {oldest}")


def _subscriptions(states: Mapping[str, int]) -> Iterator[Finding]:
    if failing := states["failing"]:
        said = f"{failing} of {sum(states.values())} fail"
        yield warning("subscriptions", said, "see `hub-audit subscriptions list`")
    else:
        yield ok("subscriptions", f"{states['active']} active, {states['paused']} paused")


@asynccontextmanager
async def _database(settings: Settings, findings: list[Finding]) -> AsyncIterator[Database | None]:
    """Lend the database; why there is none is added to the findings."""
    postgres = settings.postgres
    try:
        db = await Database.open(postgres.dsn.get_secret_value(), connections=1)
    except DatabaseOutage as error:
        said = f"Postgres does not let us in ({error})"
        findings.append(problem("postgres", said, "check HUB_AUDIT_POSTGRES_DSN"))
        yield None
        return
    except StartRefused as refused:
        findings.extend(problem("migrations", *split(said)) for said in refused.problems)
        yield None
        return
    try:
        yield db
    except DatabaseOutage as error:
        findings.append(problem("postgres", f"Postgres went away ({error})", "look at its log"))
    except StartRefused as refused:
        findings.extend(problem("postgres", *split(said)) for said in refused.problems)
    finally:
        await db.close()


async def _foundation(settings: Settings, db: Database) -> list[Finding]:
    """Check what a worker cannot start without."""
    findings = list(_server(await survey.server(db), settings.retention_days))
    try:
        missing = await pending(db)
    except StartRefused as refused:
        return [*findings, *(problem("migrations", *split(said)) for said in refused.problems)]
    if missing:
        said = f"the database lacks {len(missing)} migrations, first {missing[0]}"
        return [*findings, problem("migrations", said, "run `hub-audit migrate`")]
    return [
        *findings,
        ok("migrations", "all are applied"),
        _owner(settings, await survey.owner(db)),
        *[finding async for finding in _days(db)],
    ]


def _server(server: survey.Server, retention_days: int) -> Iterator[Finding]:
    wanted = LOOKS_AT_ONCE * LOCKS_PER_DAY * (retention_days + DAYS_AHEAD)
    version = f"Postgres {server.version // 10_000}.{server.version % 10_000}"
    if server.version < POSTGRES_VERSION_MIN:
        yield problem("postgres", f"{version} is too old", "upgrade to 15 or newer")
    elif server.encoding != survey.UTF8:
        fix = "make the database anew with ENCODING 'UTF8'"
        yield problem("postgres", f"the database's encoding is {server.encoding}", fix)
    elif "off" in (server.fsync, server.full_page_writes):
        said = f"{version} may lose what it acknowledged: fsync or full_page_writes is off"
        yield warning("postgres", said, "turn both on")
    elif not server.folds:
        said = "the database knows no case beyond ASCII: a search for ä does not find Ä"
        fix = "restore a dump into one with LC_CTYPE 'C.UTF-8': days sealed before stay as they are"
        yield warning("postgres", said, fix)
    elif server.locks < wanted:
        said = f"{version} has room for {server.locks:,} locks; {LOOKS_AT_ONCE} looks through all"
        fix = "raise max_locks_per_transaction"
        yield warning("postgres", f"{said} days at once take {wanted:,}", fix)
    else:
        yield ok("postgres", f"{version} answers")


def _owner(settings: Settings, owner: survey.Owner | None) -> Finding:
    mine = survey.Owner(settings.environment, settings.group)
    if owner is None:
        return ok("owner", "the database is nobody's yet: the first worker takes it")
    if owner != mine:
        said = (
            f"the database belongs to environment {owner.environment}, group {owner.group}, and"
            f" environment {mine.environment}, group {mine.group} are set"
        )
        return problem("owner", said, "give each its own database")
    return ok("owner", f"environment {owner.environment}, group {owner.group}")


async def _days(db: Database) -> AsyncIterator[Finding]:
    """Check that the days of now and of the near future can take rows."""
    today = await survey.today(db)
    for table in (ENTRIES, DEAD_LETTERS):
        there = set(await days(db, table))
        ahead = 0
        while today + timedelta(days=ahead) in there:
            ahead += 1
        check, fix = f"days of {table}", "run `hub-audit migrate`"
        if ahead == 0:
            yield problem(check, f"table {table} has no partition for {today}", fix)
        elif ahead <= DAYS_AHEAD_MIN:
            yield warning(check, f"only {ahead - 1} days ahead are there", fix)
        else:
            yield ok(check, f"{len(there)} partitions, {ahead - 1} of them ahead")


def _balance(kept: Sequence[Book]) -> Iterator[Finding]:
    wrong = [f"{book.topic}/{book.partition}" for book in kept if not book.balanced]
    if wrong:
        fix = "report it: the database itself forbids this; look at SELECT * FROM books"
        yield problem("books", f"do not balance for {', '.join(wrong)}", fix)
    else:
        passed = sum(book.passed for book in kept)
        yield ok("books", f"balance: {passed} offsets of {len(kept)} partitions accounted for")


def _dead_letters(counts: Mapping[str, tuple[int, int]]) -> Iterator[Finding]:
    refused = counts.get(Reason.REFUSED_BY_DATABASE, (0, 0))[0]
    open_ = sum(count - redriven for count, redriven in counts.values())
    if refused:
        said = f"the database refused {refused} records, which should never happen"
        fix = "run `hub-audit dead-letters list --reason refused_by_database` and report it"
        yield warning("dead letters", said, fix)
    elif open_:
        said = f"{open_} open"
        yield ok("dead letters", f"{said}: see `hub-audit dead-letters list`")
    else:
        yield ok("dead letters", "none open")


def _strays(settings: Settings, origins: Sequence[survey.Origin]) -> Iterator[Finding]:
    strays = sum(partition_of(org, settings.lanes) != partition for org, partition in origins)
    if strays:
        said = f"{strays} of {len(origins)} entries came by another lane than their key's"
        fix = "have upstream key by orgid, with Java's partitioner (partitioner=murmur2_random)"
        yield warning("strays", said, fix)
    else:
        yield ok("strays", f"none among {len(origins)} entries")


def _lost(offsets: int) -> Iterator[Finding]:
    if offsets:
        said = f"the bus lost {offsets} offsets before they were stored"
        fix = "see SELECT * FROM source_gaps; keep raw topics longer than workers may be down"
        yield warning("source gaps", said, fix)
