"""What the real bus and the fake one must answer alike: scenarios over the product's own code."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from processor.emit import dead_letter
from processor.emit.producer import LaneProducer
from processor.emit.route import Header, Outgoing, redelivered
from processor.settings import Settings
from schemas.record import RawRecord
from schemas.rejection import DeadLetter, Reason, Rejection, Stage
from tests.simulation.scripts_store import Answer, said

NOW_MS = 0
"""Records of the fake bus begin at this moment; those of a real one are younger still."""


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


async def started(bench: BusBench) -> LaneProducer:
    """Return a producer of lane 0 that has fenced whoever was before."""
    producer = bench.producer()
    await producer.start()
    return producer


async def publish(
    producer: LaneProducer, batch: Sequence[Outgoing], offsets: Mapping[str, int], number: int
) -> None:
    """Publish as a lane does: never by a producer whose last commit was slow, and is in doubt."""
    await producer.renew()
    await producer.publish(batch, offsets, number)


def outgoing(topic: str, value: bytes) -> Outgoing:
    """Return a record for partition 0."""
    return Outgoing(topic, 0, b"acme", value, [])


async def a_batch_and_its_number(bench: BusBench) -> Answer:
    """What is published is there with the offsets and the batch number, and only then."""
    producer = await started(bench)
    await publish(producer, [outgoing("a", b"1"), outgoing("b", b"2")], _offsets(bench, 5), 3)
    await publish(producer, [], _offsets(bench, 6), 4)
    await producer.abandon()
    return await committed(bench), await values(bench)


async def a_successor_fences(bench: BusBench) -> Answer:
    """Who starts with the lane's id fences who had it, in the middle of a transaction too."""
    zombie, successor = await started(bench), bench.producer()
    await publish(zombie, [outgoing("a", b"1")], _offsets(bench, 1), 1)
    await zombie.renew()
    await successor.start()
    fenced = await said(zombie.publish([outgoing("a", b"2")], _offsets(bench, 2), 2))
    await publish(successor, [outgoing("a", b"3")], _offsets(bench, 3), 2)
    await zombie.abandon()
    await successor.abandon()
    return fenced, await committed(bench), await values(bench)


async def a_transaction_left_open(bench: BusBench) -> Answer:
    """Nobody sees it or what comes behind it, until a successor starts and it is aborted."""
    first = await started(bench)
    await publish(first, [outgoing("a", b"1")], _offsets(bench, 1), 1)
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
    await publish(successor, [outgoing("a", b"3")], _offsets(bench, 3), 2)
    await successor.abandon()
    with suppress(Exception):
        await dead.commit_transaction()
    await dead.stop()
    return open_end, after, await values(bench), (await extents(bench))["a"]


async def what_is_published(bench: BusBench) -> Answer:
    """A batch is on its topic when it was committed: not open, not aborted, not a marked copy.

    Nor is it when only a copy under another number is, from before the database lost commits; nor
    when a dead letter of the same coordinates is, from before its topic was created anew.
    """
    producer, other = await started(bench), bench.client("other")
    found = [await producer.published(named("a", "1"), NOW_MS)]
    batch = [named("a", "1"), named("b", "2"), a_letter(recorded_ms=1)]
    await publish(producer, batch, _offsets(bench, 1), 1)
    found += [await producer.published(named(topic, "1"), NOW_MS) for topic in ("a", "b")]
    found.append(await producer.published(named("a", "1", seq=12), NOW_MS))
    found += [await producer.published(a_letter(recorded_ms=at), NOW_MS) for at in (1, 2)]
    await publish(producer, [redelivered(named("a", "3"))], _offsets(bench, 2), 2)
    found.append(await producer.published(named("a", "3"), NOW_MS))
    await other.start()
    await other.begin_transaction()
    builder = other.create_batch()
    builder.append(timestamp=None, key=b"k", value=b"", headers=named("a", "4").headers)
    await (await other.send_batch(builder, bench.prefix + "a", partition=0))
    await publish(producer, [named("a", "5")], _offsets(bench, 3), 3)
    looking = asyncio.create_task(producer.published(named("a", "5"), NOW_MS))
    # What is behind an open transaction cannot be seen.
    _, waiting = await asyncio.wait([looking], timeout=2.0)
    await other.stop()
    successor = bench.client("other")
    await successor.start()
    found += [await looking, await producer.published(named("a", "4"), NOW_MS)]
    await producer.abandon()
    await successor.stop()
    return found, looking in waiting


def named(topic: str, name: str, *, seq: int = 1) -> Outgoing:
    """Return a record for partition 0 that looks like a canonical event."""
    headers: list[Header] = [("ce_id", name.encode()), ("ce_orgseq", b"%d" % seq)]
    return Outgoing(topic, 0, b"acme", b"{}", headers)


def a_letter(*, recorded_ms: int) -> Outgoing:
    """Return a dead letter of the first record of a topic."""
    rejection = Rejection(Stage.DECODE, Reason.INVALID_JSON, "expected a value")
    record = RawRecord("raw.identity", 0, 0, recorded_ms, b"acme", b"{")
    return dead_letter.outgoing(DeadLetter(record, rejection), topic="b")


async def a_refused_record(bench: BusBench) -> Answer:
    """One record that is too large, and nothing of its transaction happens."""
    producer = await started(bench)
    batch = [outgoing("a", b"1"), outgoing("narrow", b"x" * 9000)]
    refused = await said(publish(producer, batch, _offsets(bench, 1), 1))
    await publish(producer, [outgoing("a", b"2"), outgoing("narrow", b"y")], _offsets(bench, 1), 1)
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
        await publish(producer, [outgoing("a", b"%d" % number)], _offsets(bench, number), number)
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

    return bench.consumer(on_assigned=assigned, on_revoked=revoked, on_trouble=lambda *_: None)


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

    consumer = bench.consumer(on_assigned=ignore, on_revoked=ignore, on_trouble=lambda *_: None)
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
    (what_is_published, ([False, True, False, False, True, False, None, True, False], True)),
    (a_refused_record, ("TopicRefused", (1, 1), [b"2"])),
    (members_share_lanes, ([2, 4], 6)),
)
