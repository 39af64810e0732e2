"""What the real servers and the fakes must answer alike: scenarios over the product's own code."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Protocol

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from processor.emit.producer import LaneProducer
from processor.emit.route import Outgoing
from processor.errors import DatabaseOutage, Fenced, HubAuditError
from processor.settings import Settings
from processor.store.lanes import (
    Position,
    caught_up,
    read_unemitted,
    record_source_gap,
    take_over,
)
from processor.store.pool import Database
from processor.store.sql import statements
from processor.store.writer import Advance, Batch, write
from tests.integration.store import NOW, TOPIC, StoringLane, an_entry

Answer = Any


class StoreBench(Protocol):
    """A store, real or not."""

    async def open(self) -> Database:
        """Return a client of the store: another process, so to speak."""


class BusBench(Protocol):
    """A bus with topics ``a`` and ``b`` of one partition and a ``narrow`` one, real or not."""

    settings: Settings
    prefix: str

    def producer(self) -> LaneProducer:
        """Return a producer of lane 0: another process, so to speak."""

    def client(self, name: str) -> Any:
        """Return a transactional producer of the client library."""

    def consumer(self, **listeners: Any) -> Any:
        """Return a member of the group over topics ``a`` and ``b``."""


async def said(what: Awaitable[Any]) -> str:
    """Return the name of the error that something ends with, or that it ends well."""
    try:
        await what
    except HubAuditError as error:
        return type(error).__name__
    return "done"


# --- the store -------------------------------------------------------------------------------


async def a_later_owner_fences(bench: StoreBench) -> Answer:
    """Every earlier owner of a lane can store nothing more, nor open books, nor be complete."""
    first, second = await bench.open(), await bench.open()
    one = await StoringLane.take(first)
    await one.store(an_entry("acme", "1"))
    two = await StoringLane.take(second)
    outcomes = [
        await said(one.store(an_entry("acme", "2"))),
        await said(caught_up(first, 0, one.epoch, {TOPIC: 1}, NOW.timestamp())),
        await said(two.store(an_entry("acme", "2"))),
    ]
    state = await take_over(first, 0)
    return outcomes, (one.epoch, two.epoch, state.epoch, state.batch), state.positions


async def repeats_and_conflicts(bench: StoreBench) -> Answer:
    """A repetition is suppressed, another fact of the same identity rejected, the rest stored."""
    lane = await StoringLane.take(await bench.open())
    await lane.store(an_entry("acme", "1"), an_entry("acme", "2"), an_entry("zeta", "1"))
    stored = await lane.store(
        an_entry("acme", "2"),
        an_entry("acme", "3"),
        an_entry("acme", "3"),
        an_entry("zeta", "1", outcome="failure"),
        an_entry("zeta", "2"),
        dead_letters=1,
        discards=2,
    )
    entries = [(entry["org_id"], entry["seq"]) for entry in stored.entries]
    reasons = [str(letter.rejection.reason) for letter in stored.dead_letters]
    return stored.batch, entries, stored.duplicates, reasons


async def what_was_not_emitted(bench: StoreBench) -> Answer:
    """The lane's row lists the last batch alone, and its rows are read back as they were stored."""
    db = await bench.open()
    lane = await StoringLane.take(db)
    await lane.store(an_entry("acme", "1"))
    stored = await lane.store(an_entry("acme", "2"), an_entry("zeta", "1"), dead_letters=1)
    state = await take_over(db, 0)
    again = await read_unemitted(db, state.unemitted.ranges)
    return again == stored.entries, state.unemitted, state.batch


async def two_lanes_one_organization(bench: StoreBench) -> Answer:
    """Two lanes that store for one organization at once give out its numbers without a gap."""
    lanes = [await StoringLane.take(await bench.open(), number) for number in (0, 1)]

    async def several(lane: StoringLane) -> list[int]:
        """Store six batches; return the numbers given out."""
        seqs: list[int] = []
        for turn in range(6):
            names = (f"{lane.lane}-{turn}", f"same-{turn}")
            stored = await lane.store(*(an_entry("acme", name) for name in names))
            seqs += [entry["seq"] for entry in stored.entries]
        return seqs

    numbers = await asyncio.gather(*map(several, lanes))
    return sorted(chain.from_iterable(numbers))


async def books_of_a_partition(bench: StoreBench) -> Answer:
    """Positions move forward only, by batches, by gaps and by markers; the rest is refused."""
    db = await bench.open()
    lane = await StoringLane.take(db)
    await lane.store(an_entry("acme", "1"))
    await record_source_gap(db, 0, lane.epoch, TOPIC, from_offset=1, to_offset=5)
    await caught_up(db, 0, lane.epoch, {TOPIC: 7}, NOW.timestamp())
    refused = []
    for attempt in (
        record_source_gap(db, 0, lane.epoch, TOPIC, from_offset=1, to_offset=9),
        caught_up(db, 0, lane.epoch, {TOPIC: 6}, NOW.timestamp()),
        write(db, Batch(0, lane.epoch, [], [], {TOPIC: Advance(3, 0, 0)})),
        write(db, Batch(0, lane.epoch, [], [], {TOPIC: Advance(8, 0, 1)}, after=7)),
        caught_up(db, 0, lane.epoch, {TOPIC: 8}, NOW.timestamp(), batch=4),
    ):
        try:
            await attempt
        except (RuntimeError, Fenced) as error:
            refused.append(type(error).__name__)
    state = await take_over(db, 0)
    return refused, state.batch, state.positions == {TOPIC: Position(0, 7)}


async def a_frozen_owner_is_ended(bench: StoreBench) -> Answer:
    """Who holds a lane's row without moving is ended, and what it had written is gone."""
    frozen, successor = await bench.open(), await bench.open()
    lane = await StoringLane.take(frozen)
    holding, over = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        """Hold the lane's row until told to go on."""
        async with frozen.transaction() as connection:
            await connection.fetchrow(_FENCE, 0, lane.epoch)
            holding.set()
            await over.wait()
            await connection.fetchrow(_FENCE, 0, lane.epoch)

    task = asyncio.ensure_future(hold())
    await holding.wait()
    state = await take_over(successor, 0)
    over.set()
    with suppress(DatabaseOutage):
        await task
    ended = task.exception()
    return state.epoch, type(ended).__name__


_FENCE = statements("lanes.sql")["fence"]


async def days(bench: StoreBench) -> Answer:
    """A day ahead gets its partition when it is needed; one before the oldest is a dead letter."""
    lane = await StoringLane.take(await bench.open())
    ahead = datetime.now(UTC) + timedelta(days=30)
    stored = await lane.store(
        an_entry("acme", "1", at=ahead.replace(microsecond=0)),
        an_entry("acme", "2", at=datetime(2001, 1, 1, tzinfo=UTC)),
        an_entry("acme", "3"),
    )
    return [entry["seq"] for entry in stored.entries], [
        str(letter.rejection.reason) for letter in stored.dead_letters
    ]


STORE: tuple[tuple[Callable[[StoreBench], Awaitable[Answer]], Answer], ...] = (
    (
        a_later_owner_fences,
        (["Fenced", "Fenced", "done"], (1, 2, 3, 2), {TOPIC: Position(0, 2)}),
    ),
    (
        repeats_and_conflicts,
        (2, [("acme", 3), ("zeta", 2)], 2, ["invalid_json", "id_conflict"]),
    ),
    (
        what_was_not_emitted,
        (True, ({"acme": (2, 2), "zeta": (1, 1)}, [(TOPIC, 0, 3)]), 2),
    ),
    (two_lanes_one_organization, list(range(1, 19))),
    (
        books_of_a_partition,
        (["RuntimeError", "RuntimeError", "RuntimeError", "Fenced", "Fenced"], 1, True),
    ),
    (a_frozen_owner_is_ended, (2, "DatabaseOutage")),
    (days, ([1, 2], ["older_than_retention"])),
)


# --- the bus ---------------------------------------------------------------------------------


async def started(bench: BusBench) -> LaneProducer:
    """Return a producer of lane 0 that has fenced whoever was before."""
    producer = bench.producer()
    await producer.start()
    return producer


def outgoing(topic: str, value: bytes) -> Outgoing:
    """Return a record for partition 0."""
    return Outgoing(topic, 0, b"acme", value, [])


async def a_batch_and_its_number(bench: BusBench) -> Answer:
    """What is published is there with the offsets and the batch number, and only then."""
    producer = await started(bench)
    await producer.publish([outgoing("a", b"1"), outgoing("b", b"2")], _offsets(bench, 5), 3)
    await producer.publish([], _offsets(bench, 6), 4)
    await producer.abandon()
    return await committed(bench), await values(bench)


async def a_successor_fences(bench: BusBench) -> Answer:
    """Who starts with the lane's id fences who had it, in the middle of a transaction too."""
    zombie, successor = await started(bench), bench.producer()
    await zombie.publish([outgoing("a", b"1")], _offsets(bench, 1), 1)
    await successor.start()
    fenced = await said(zombie.publish([outgoing("a", b"2")], _offsets(bench, 2), 2))
    await successor.publish([outgoing("a", b"3")], _offsets(bench, 3), 2)
    await zombie.abandon()
    await successor.abandon()
    return fenced, await committed(bench), await values(bench)


async def a_transaction_left_open(bench: BusBench) -> Answer:
    """Nobody sees it or what comes behind it, until a successor starts and it is aborted."""
    first = await started(bench)
    await first.publish([outgoing("a", b"1")], _offsets(bench, 1), 1)
    await first.abandon()
    settings = bench.settings
    dead = bench.client(f"{settings.environment}.{settings.group}.0")
    await dead.start()
    await dead.begin_transaction()
    builder = dead.create_batch()
    builder.append(timestamp=None, key=b"k", value=b"half", headers=[])
    await (await dead.send_batch(builder, bench.prefix + "a", partition=0))
    half = {TopicPartition(bench.prefix + "a", 0): OffsetAndMetadata(2, "batch=2")}
    await dead.send_offsets_to_transaction(half, settings.group)
    open_end = (await extents(bench))["a"]
    successor = bench.producer()
    await successor.start()
    after = await offsets(bench)
    await successor.publish([outgoing("a", b"3")], _offsets(bench, 3), 2)
    await successor.abandon()
    with suppress(Exception):
        await dead.commit_transaction()
    await dead.stop()
    return open_end, after, await values(bench), (await extents(bench))["a"]


async def a_refused_record(bench: BusBench) -> Answer:
    """One record that is too large, and nothing of its transaction happens."""
    producer = await started(bench)
    batch = [outgoing("a", b"1"), outgoing("narrow", b"x" * 9000)]
    refused = await said(producer.publish(batch, _offsets(bench, 1), 1))
    await producer.renew()
    await producer.publish([outgoing("a", b"2"), outgoing("narrow", b"y")], _offsets(bench, 1), 1)
    await producer.abandon()
    return refused, await committed(bench), await values(bench)


async def members_share_lanes(bench: BusBench) -> Answer:
    """The lanes of one member go to the other when it leaves; a poll brings committed data."""
    held: dict[str, list[int]] = {"one": [], "two": []}
    one, two = _member(bench, "one", held), _member(bench, "two", held)
    await one.start()
    await _until(one, lambda: held["one"] == [0])
    await two.start()
    await _until(one, lambda: len(held["one"]) + len(held["two"]) == 1 and two.joined, two)
    await two.stop()
    await _until(one, lambda: held["one"] == [0])
    found = await _polled(bench, one)
    await one.stop()
    return found


async def _polled(bench: BusBench, member: Any) -> Answer:
    """Return the offsets that a member reads from behind a marker on, and where it then stands."""
    producer = await started(bench)
    for number in (1, 2, 3):
        await producer.publish([outgoing("a", b"%d" % number)], _offsets(bench, number), number)
    await producer.abandon()
    a, b = bench.prefix + "a", bench.prefix + "b"
    member.seek(0, {a: 1, b: 0})
    member.resume(0)
    found: list[int] = []
    while len(found) < 2:
        for fetched in await member.poll():
            found += [record.offset for record in fetched.records]
    while await member.position(0, a) != 6:
        await member.poll()
    return found, (await member.ends())[0][a]


def _member(bench: BusBench, name: str, held: dict[str, list[int]]) -> Any:
    async def assigned(lanes: frozenset[int]) -> None:
        held[name] = sorted(lanes)

    async def revoked(_lanes: frozenset[int]) -> None:
        held[name] = []

    return bench.consumer(on_assigned=assigned, on_revoked=revoked, on_trouble=lambda _: None)


async def _until(member: Any, condition: Callable[[], bool], *others: Any) -> None:
    """Poll until something is so."""
    while not condition():
        for each in (member, *others):
            await each.poll()


def _offsets(bench: BusBench, offset: int) -> dict[str, int]:
    return {bench.prefix + "a": offset}


async def asked(bench: BusBench, question: Callable[[Any], Awaitable[Any]]) -> Any:
    """Ask as a worker does that is no member."""

    async def ignore(_lanes: frozenset[int]) -> None:
        """Have no lanes."""

    consumer = bench.consumer(on_assigned=ignore, on_revoked=ignore, on_trouble=lambda _: None)
    await consumer.start()
    try:
        return await question(consumer)
    finally:
        await consumer.stop()


async def committed(bench: BusBench) -> Answer:
    """Return the group's offset and batch number for topic ``a`` as a next owner finds them.

    Until somebody has started with the lane's id, those of before a commit may still be answered.
    """
    await (await started(bench)).abandon()
    return await offsets(bench)


async def offsets(bench: BusBench) -> Answer:
    """Return what the group has committed for topic ``a``."""
    found = await asked(bench, lambda consumer: consumer.committed(0))
    return tuple(found[bench.prefix + "a"] or ())


async def extents(bench: BusBench) -> dict[str, tuple[int, int]]:
    """Return where the topics begin, and where their committed part ends."""
    found = await asked(bench, lambda consumer: consumer.extents(0))
    return {topic.removeprefix(bench.prefix): tuple(extent) for topic, extent in found.items()}


async def values(bench: BusBench) -> list[bytes]:
    """Return what a reader of committed data finds in topic ``a``."""
    found: list[bytes] = []
    held: dict[str, list[int]] = {"reader": []}
    member = _member(bench, "reader", held)
    await member.start()
    await _until(member, lambda: held["reader"] == [0])
    a, b = bench.prefix + "a", bench.prefix + "b"
    member.seek(0, {a: 0, b: 0})
    member.resume(0)
    end = (await member.ends())[0][a]
    while (await member.position(0, a) or 0) < end:
        for fetched in await member.poll():
            if fetched.topic == a:
                found += [record.value or b"" for record in fetched.records]
    await member.stop()
    return found


BUS: tuple[tuple[Callable[[BusBench], Awaitable[Answer]], Answer], ...] = (
    (a_batch_and_its_number, ((6, 4), [b"1"])),
    (a_successor_fences, ("Fenced", (3, 2), [b"1", b"3"])),
    (a_transaction_left_open, ((0, 2), (1, 1), [b"1", b"3"], (0, 6))),
    (a_refused_record, ("TopicRefused", (1, 1), [b"2"])),
    (members_share_lanes, ([2, 4], 6)),
)
