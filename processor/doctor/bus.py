"""What is asked of the bus: topics, transactions, its clock, and where the group stands."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from processor.doctor.findings import Finding, ok, problem, split, warning
from processor.emit import topics
from processor.emit.producer import LaneProducer
from processor.errors import BusOutage
from processor.ingest import group
from processor.ingest.consumer import Committed, Extent
from processor.ingest.delivered import ahead, delivered
from processor.ingest.group import Place
from processor.settings import Settings
from processor.store import survey
from processor.store.books import Book
from processor.store.pool import Database

KAFKA = "kafka"
NO_LANE = -1
"""Of the transactional id that is tried out: no worker ever uses it."""

AHEAD_SECONDS_MAX = 2.0
"""What a clock may be ahead before it shows: the objective of freshness."""


class Standing(NamedTuple):
    """Where Kafka says that things stand."""

    members: int
    committed: Mapping[Place, Committed | None]
    extents: Mapping[Place, Extent]


class Defending(NamedTuple):
    """How many workers Defend has, and how many records wait; None before the first of them."""

    members: int
    lag: int | None


async def of_topics(settings: Settings) -> list[Finding]:
    """Check that the bus answers and that all topics are as they have to be."""
    try:
        state = await topics.check(settings)
    except BusOutage as error:
        said, _, fix = str(error).partition(": ")
        return [problem(KAFKA, said, fix or "check HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS")]
    found = [problem("topics", *split(each)) for each in state.problems]
    found += [warning("topics", *split(each)) for each in state.warnings]
    return found or [ok("topics", f"all are there, with {settings.lanes} partitions each")]


async def of_transactions(settings: Settings) -> list[Finding]:
    """Find out whether a transactional producer may begin, as every lane's has to."""
    producer = LaneProducer(settings, NO_LANE)
    try:
        await producer.start()
    except BusOutage as error:
        fix = "allow WRITE on transactional ids that begin with the environment and the group"
        return [problem("transactions", str(error), fix)]
    finally:
        await producer.abandon()
    return [ok("transactions", "a producer may begin them")]


async def standing(settings: Settings, stored: Mapping[int, int]) -> Standing | Finding:
    """Return where Kafka says that things stand, or that it does not say.

    ``stored`` has the number of each lane's last batch.
    """
    try:
        return Standing(
            await group.members(settings),
            await group.agreed(settings, stored),
            await group.extents(settings),
        )
    except BusOutage as error:
        return problem("group", str(error), "see what is said of kafka and topics")


def of_positions(kept: Sequence[Book], standing: Standing) -> Iterator[Finding]:
    """Compare where the store stands with what the bus holds."""
    lag, early = 0, []
    for book in kept:
        extent = standing.extents.get((book.topic, book.partition))
        if extent is None:
            continue
        if book.stored_through > extent.end:
            early.append(f"{book.topic}/{book.partition}")
        lag += max(0, extent.end - max(book.stored_through, extent.begin))
    if early:
        said = f"stored beyond the end of {', '.join(early)}: created anew, or cut off by the bus"
        yield problem("positions", said, "run `hub-audit recover`")
    if lag and not standing.members:
        said = f"{lag} records wait and no worker runs"
        yield warning("lag", said, "start `hub-audit process`")
    else:
        yield ok("lag", f"{lag} records, {standing.members} workers")


def of_batches(stored: Mapping[int, int], standing: Standing) -> Iterator[Finding]:
    """Compare what is published with what is stored: the store may never be behind."""
    lost = [
        f"lane {lane}: {published} published, {stored.get(lane, 0)} stored"
        for lane, published in sorted(group.batches(standing.committed).items())
        if published > stored.get(lane, 0)
    ]
    if lost:
        said = f"the database lost batches that were published ({'; '.join(lost)})"
        yield problem("batches", said, "restore it, or run `hub-audit recover`")
    else:
        yield ok("batches", f"{len(stored)} lanes, none published more than it stored")


async def of_delivery(settings: Settings, db: Database) -> list[Finding]:
    """Compare what SIEMs were told with what is stored: the store may never be behind."""
    try:
        told = await delivered(settings)
    except BusOutage as error:
        return [problem("delivery", str(error), "see what is said of kafka and topics")]
    beyond = ahead(told, await survey.heads(db))
    if beyond:
        lost = [f"{org}: {through} told, {last} stored" for org, (through, last) in beyond.items()]
        said = f"the database lost entries that SIEMs were told ({'; '.join(lost)})"
        return [problem("delivery", said, "restore it, or run `hub-audit recover`")]
    return [ok("delivery", f"{len(told)} organizations' SIEMs, none told more than is stored")]


async def of_clock(settings: Settings) -> list[Finding]:
    """Check that the brokers' clocks are not ahead: they stamp when an event was recorded."""
    late = time.time() + AHEAD_SECONDS_MAX
    try:
        ahead = await group.from_the_future(settings, int(late * 1000))
    except BusOutage as error:
        return [problem("clock of kafka", str(error), "see what is said of kafka and topics")]
    if ahead:
        said = f"records were taken more than {AHEAD_SECONDS_MAX:.0f} s from now, in the future"
        return [warning("clock of kafka", said, "synchronize brokers and this machine by NTP")]
    return [ok("clock of kafka", "no record from the future")]


async def defend(settings: Settings) -> Defending | Finding:
    """Return where Defend stands."""
    name = f"{settings.group}.defend"
    try:
        return Defending(await group.members_of(settings, name), await group.lag(settings, name))
    except BusOutage as error:
        return problem("defend", str(error), "see what is said of kafka and topics")


def of_defend(standing: Defending | Finding) -> Iterator[Finding]:
    """Check that somebody reads what Defend has begun to read."""
    if isinstance(standing, Finding):
        yield standing
    elif standing.lag and not standing.members:
        said = f"{standing.lag} records wait and nobody reads them"
        yield warning("defend", said, "start `hub-audit defend`")
    elif standing.lag is None:
        yield ok("defend", "has never run")
    else:
        yield ok("defend", f"{standing.lag} records wait, {standing.members} workers")
