"""What the real store and the fake one must answer alike: scenarios over the product's own code."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Protocol

from processor.errors import DatabaseOutage, Fenced, HubAuditError
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


async def said(what: Awaitable[Any]) -> str:
    """Return the name of the error that something ends with, or that it ends well."""
    try:
        await what
    except HubAuditError as error:
        return type(error).__name__
    return "done"


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
        (True, ({"acme": (2, 2), "zeta": (1, 1)}, [(TOPIC, 0, 3)], None), 2),
    ),
    (two_lanes_one_organization, list(range(1, 19))),
    (
        books_of_a_partition,
        (["RuntimeError", "RuntimeError", "Fenced", "Fenced", "Fenced"], 1, True),
    ),
    (a_frozen_owner_is_ended, (2, "DatabaseOutage")),
    (days, ([1, 2], ["older_than_retention"])),
)
