"""What has to be there and in order: asked before a start, and by ``hub-audit doctor`` at any time.

Nothing is changed by asking. Every problem says what to do about it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from processor.emit import topics
from processor.emit.producer import LaneProducer
from processor.emit.route import partition_of
from processor.errors import BusOutage, DatabaseOutage, StartRefused
from processor.ingest import group
from processor.ingest.consumer import Committed, Extent
from processor.ingest.group import Place
from processor.settings import Http, Settings
from processor.settings.transport import exposed_bus, exposed_store
from processor.store import survey
from processor.store.books import Book, books, claim
from processor.store.dead_letters import count_dead_letters
from processor.store.migrations import pending
from processor.store.partitions import DEAD_LETTERS, ENTRIES, days
from processor.store.pool import Database
from schemas.rejection import Reason

POSTGRES_VERSION_MIN = 150_000
DAYS_AHEAD_MIN = 2
"""Fewer than that and there is no night left in which to mend it."""

SAMPLE_ENTRIES = 5_000
ASK_SECONDS_MAX = 3.0
KAFKA = "kafka"
NO_LANE = -1
"""Of the transactional id that is tried out: no worker ever uses it."""


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


COLORS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


class Finding(NamedTuple):
    """What was looked at, what was found, and what to do about it."""

    check: str
    level: Level
    said: str
    fix: str = ""


class Standing(NamedTuple):
    """Where Kafka says that things stand."""

    members: int
    committed: Mapping[Place, Committed | None]
    extents: Mapping[Place, Extent]


def lines(finding: Finding) -> str:
    """Return a finding for people, without its level; what to do stands on a line of its own."""
    fix = f"\n{'':31}-> {finding.fix}" if finding.fix else ""
    return f"{finding.check:21} {finding.said}{fix}"


async def preflight(settings: Settings) -> list[str]:
    """Return everything that speaks against starting a worker, each with what to do about it.

    Where nothing does, the database is made this environment's and group's if it was nobody's.
    """
    of_bus, of_store = await asyncio.gather(_topics(settings), _preflight_store(settings))
    return [
        f"{finding.said}: {finding.fix}" if finding.fix else finding.said
        for finding in [*of_bus, *of_store]
        if finding.level is Level.PROBLEM
    ]


async def examine(settings: Settings) -> list[Finding]:
    """Return the state of everything that the processor depends on."""
    of_topics = await _topics(settings)
    reached = not any(finding.check == KAFKA for finding in of_topics)
    return [
        *_exposed(settings),
        *of_topics,
        *(await _publishing(settings) if reached else ()),
        *await _store(settings),
        await _port(settings.http),
    ]


# --- the bus -------------------------------------------------------------------------------


async def _topics(settings: Settings) -> list[Finding]:
    try:
        problems = await topics.check(settings)
    except BusOutage as error:
        said, _, fix = str(error).partition(": ")
        return [_problem(KAFKA, said, fix or "check HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS")]
    if problems:
        return [_problem("topics", *_split(problem)) for problem in problems]
    return [_ok("topics", f"all are there, with {settings.lanes} partitions each")]


async def _publishing(settings: Settings) -> list[Finding]:
    """Find out whether a transactional producer may begin, as every lane's has to."""
    producer = LaneProducer(settings, NO_LANE)
    try:
        await producer.start()
    except BusOutage as error:
        fix = "allow WRITE on transactional ids that begin with the environment and the group"
        return [_problem("transactions", str(error), fix)]
    finally:
        await producer.abandon()
    return [_ok("transactions", "a producer may begin them")]


async def _standing(settings: Settings) -> Standing | Finding:
    """Return where Kafka says that things stand, or that it does not say."""
    try:
        return Standing(
            await group.members(settings),
            await group.committed(settings),
            await group.extents(settings),
        )
    except BusOutage as error:
        return _problem("group", str(error), "see what is said of kafka and topics")


# --- the store -----------------------------------------------------------------------------


async def _preflight_store(settings: Settings) -> list[Finding]:
    findings: list[Finding] = []
    async with _database(settings, findings) as db:
        if db is None:
            return findings
        findings += await _foundation(settings, db)
        if not any(finding.level is Level.PROBLEM for finding in findings):
            await claim(db, settings.environment, settings.group)
    return findings


async def _store(settings: Settings) -> list[Finding]:
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
        standing = await _standing(settings)
        if isinstance(standing, Finding):
            return [*findings, standing]
        findings += _positions(kept, standing)
        findings += _batches(await survey.batches(db), standing)
    return findings


@asynccontextmanager
async def _database(settings: Settings, findings: list[Finding]) -> AsyncIterator[Database | None]:
    """Lend the database; why there is none is added to the findings."""
    postgres = settings.postgres
    try:
        db = await Database.open(postgres.dsn.get_secret_value(), connections=1)
    except DatabaseOutage as error:
        said = f"Postgres does not let us in ({error})"
        findings.append(_problem("postgres", said, "check HUB_AUDIT_POSTGRES_DSN"))
        yield None
        return
    except StartRefused as refused:
        findings.extend(_problem("migrations", *_split(said)) for said in refused.problems)
        yield None
        return
    try:
        yield db
    except DatabaseOutage as error:
        findings.append(_problem("postgres", f"Postgres went away ({error})", "look at its log"))
    except StartRefused as refused:
        findings.extend(_problem("postgres", *_split(said)) for said in refused.problems)
    finally:
        await db.close()


async def _foundation(settings: Settings, db: Database) -> list[Finding]:
    """Check what a worker cannot start without."""
    findings = list(_server(await survey.server(db)))
    try:
        missing = await pending(db)
    except StartRefused as refused:
        return [*findings, *(_problem("migrations", *_split(said)) for said in refused.problems)]
    if missing:
        said = f"the database lacks {len(missing)} migrations, first {missing[0]}"
        return [*findings, _problem("migrations", said, "run `hub-audit migrate`")]
    return [
        *findings,
        _ok("migrations", "all are applied"),
        _owner(settings, await survey.owner(db)),
        *[finding async for finding in _days(db)],
    ]


def _server(server: survey.Server) -> Iterator[Finding]:
    version = f"Postgres {server.version // 10_000}.{server.version % 10_000}"
    if server.version < POSTGRES_VERSION_MIN:
        yield _problem("postgres", f"{version} is too old", "upgrade to 15 or newer")
    elif server.encoding != "UTF8":
        fix = "make the database anew with ENCODING 'UTF8'"
        yield _problem("postgres", f"the database's encoding is {server.encoding}", fix)
    elif "off" in (server.fsync, server.full_page_writes):
        said = f"{version} may lose what it acknowledged: fsync or full_page_writes is off"
        yield Finding("postgres", Level.WARNING, said, "turn both on")
    else:
        yield _ok("postgres", f"{version} answers")


def _owner(settings: Settings, owner: survey.Owner | None) -> Finding:
    mine = survey.Owner(settings.environment, settings.group)
    if owner is None:
        return _ok("owner", "the database is nobody's yet: the first worker takes it")
    if owner != mine:
        said = (
            f"the database belongs to environment {owner.environment}, group {owner.group}, and"
            f" environment {mine.environment}, group {mine.group} are set"
        )
        return _problem("owner", said, "give each its own database")
    return _ok("owner", f"environment {owner.environment}, group {owner.group}")


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
            yield _problem(check, f"table {table} has no partition for {today}", fix)
        elif ahead <= DAYS_AHEAD_MIN:
            yield Finding(check, Level.WARNING, f"only {ahead - 1} days ahead are there", fix)
        else:
            yield _ok(check, f"{len(there)} partitions, {ahead - 1} of them ahead")


def _balance(kept: Sequence[Book]) -> Iterator[Finding]:
    wrong = [f"{book.topic}/{book.partition}" for book in kept if not book.balanced]
    if wrong:
        fix = "report it: the database itself forbids this; look at SELECT * FROM books"
        yield _problem("books", f"do not balance for {', '.join(wrong)}", fix)
    else:
        passed = sum(book.passed for book in kept)
        yield _ok("books", f"balance: {passed} offsets of {len(kept)} partitions accounted for")


def _dead_letters(counts: Mapping[str, tuple[int, int]]) -> Iterator[Finding]:
    refused = counts.get(Reason.REFUSED_BY_DATABASE, (0, 0))[0]
    open_ = sum(count - redriven for count, redriven in counts.values())
    if refused:
        said = f"the database refused {refused} records, which never should happen"
        fix = "run `hub-audit dead-letters list --reason refused_by_database` and report it"
        yield Finding("dead letters", Level.WARNING, said, fix)
    elif open_:
        said = f"{open_} were not redriven"
        yield _ok("dead letters", f"{said}: see `hub-audit dead-letters list`")
    else:
        yield _ok("dead letters", "none that was not redriven")


def _strays(settings: Settings, origins: Sequence[survey.Origin]) -> Iterator[Finding]:
    strays = sum(partition_of(org, settings.lanes) != partition for org, partition in origins)
    if strays:
        said = f"{strays} of {len(origins)} entries came by another lane than their key's"
        fix = "have upstream key by orgid, with Java's partitioner (partitioner=murmur2_random)"
        yield Finding("strays", Level.WARNING, said, fix)
    else:
        yield _ok("strays", f"none among {len(origins)} entries")


def _lost(offsets: int) -> Iterator[Finding]:
    if offsets:
        said = f"the bus lost {offsets} offsets before they were stored"
        fix = "see SELECT * FROM source_gaps; keep raw topics longer than workers may be down"
        yield Finding("source gaps", Level.WARNING, said, fix)


# --- both ----------------------------------------------------------------------------------


def _positions(kept: Sequence[Book], standing: Standing) -> Iterator[Finding]:
    """Compare where the store stands with what the bus holds."""
    lag, recreated = 0, []
    for book in kept:
        extent = standing.extents.get((book.topic, book.partition))
        if extent is None:
            continue
        if book.stored_through > extent.end:
            recreated.append(f"{book.topic}/{book.partition}")
        lag += max(0, extent.end - max(book.stored_through, extent.begin))
    if recreated:
        said = f"stored beyond the end of {', '.join(recreated)}: the topic was created anew"
        yield _problem("positions", said, "run `hub-audit recover`")
    if lag and not standing.members:
        said = f"{lag} records wait and no worker runs"
        yield Finding("lag", Level.WARNING, said, "start `hub-audit process`")
    else:
        yield _ok("lag", f"{lag} records, {standing.members} workers")


def _batches(stored: Mapping[int, int], standing: Standing) -> Iterator[Finding]:
    """Compare what is published with what is stored: the store may never be behind."""
    lost = [
        f"lane {lane}: {published} published, {stored.get(lane, 0)} stored"
        for lane, published in sorted(group.batches(standing.committed).items())
        if published > stored.get(lane, 0)
    ]
    if lost:
        said = f"the database lost batches that were published ({'; '.join(lost)})"
        yield _problem("batches", said, "restore it, or run `hub-audit recover`")
    else:
        yield _ok("batches", f"{len(stored)} lanes, none published more than it stored")


def _exposed(settings: Settings) -> Iterator[Finding]:
    """Say what could be listened to on its way to another machine."""
    kafka, dsn = settings.kafka, settings.postgres.dsn.get_secret_value()
    bus = exposed_bus(kafka.bootstrap_servers, kafka.security_protocol)
    if bus:
        fix = "set HUB_AUDIT_KAFKA_SECURITY_PROTOCOL=SASL_SSL"
        yield Finding("encryption", Level.WARNING, bus, fix)
    if store := exposed_store(dsn):
        fix = "add sslmode=verify-full&sslrootcert=FILE to HUB_AUDIT_POSTGRES_DSN"
        yield Finding("encryption", Level.WARNING, store, fix)
    elif not bus:
        yield _ok("encryption", "nothing leaves this machine that could be listened to")


async def _port(http: Http) -> Finding:
    """Find out who answers at the address of metrics and health."""
    address = f"{http.host}:{http.port}"
    try:
        async with asyncio.timeout(ASK_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(http.host, http.port)
            writer.write(b"GET /livez HTTP/1.0\r\n\r\n")
            answer = await reader.read()
            writer.close()
    except OSError:
        return _ok("metrics", f"nobody listens on {address}")
    if answer.endswith(b"ok\n"):
        return _ok("metrics", f"a process of ours answers at http://{address}/metrics")
    return Finding(
        "metrics", Level.WARNING, f"something else listens on {address}", "set HUB_AUDIT_HTTP_PORT"
    )


def _ok(check: str, said: str) -> Finding:
    return Finding(check, Level.OK, said)


def _problem(check: str, said: str, fix: str = "") -> Finding:
    return Finding(check, Level.PROBLEM, said, fix)


def _split(problem: str) -> tuple[str, str]:
    """Return what is wrong and what to do about it, which a problem has behind its last colon."""
    said, _, fix = problem.rpartition(": ")
    return (said, fix) if said else (fix, "")
