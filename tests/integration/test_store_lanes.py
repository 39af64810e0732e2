"""Lanes on a real Postgres: take over, fence, frozen predecessors, unknown outcomes, positions."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from processor.errors import DatabaseOutage, Fenced
from processor.local.postgres import Server
from processor.store import lanes
from processor.store.books import books
from processor.store.lanes import (
    Position,
    Range,
    Unemitted,
    caught_up,
    read_dead_letters,
    read_unemitted,
    record_source_gap,
    start_partition,
    take_over,
)
from processor.store.pool import MAINTENANCE, Database
from processor.store.recovery import LostBatches, Reopening, recover
from processor.store.writer import Advance, Batch, write
from schemas.entry import render
from tests.integration.postgres_proxy import PostgresProxy
from tests.integration.store import (
    NOW,
    TOPIC,
    StoringLane,
    an_entry,
    opened,
    query,
    seqs,
    until,
)


@asynccontextmanager
async def through(dsn: str, **options: Any) -> AsyncIterator[tuple[PostgresProxy, Database]]:
    """Open a database whose connections a test can freeze or break."""
    async with PostgresProxy(dsn, **options) as proxy, opened(proxy.dsn, connections=1) as db:
        yield proxy, db


@pytest.fixture
async def db(postgres_dsn: str) -> AsyncIterator[Database]:
    """Give the store of a fresh database."""
    async with opened(postgres_dsn) as database:
        yield database


async def test_take_over_raises_the_epoch_and_tells_where_the_lane_stands(db: Database) -> None:
    """A new lane begins at epoch 1 and batch 0; later owners see what the last batch stored."""
    assert await take_over(db, 0) == (1, 0, Unemitted({}, []), {})
    lane = await StoringLane.take(db)
    await lane.store(an_entry("acme", "a"), an_entry("beta", "a"), an_entry("acme", "b"))
    await lane.store(an_entry("acme", "c"), an_entry("acme", "d"), dead_letters=1)
    state = await take_over(db, 0)
    assert state.epoch == 3
    assert state.batch == 2
    assert state.unemitted == Unemitted({"acme": Range(3, 4)}, [(TOPIC, 0, 5)])
    assert state.positions == {TOPIC: Position(0, 6)}
    assert (await take_over(db, 1)).positions == {}


async def test_lanes_row_says_when_its_batch_was_stored(postgres_dsn: str, db: Database) -> None:
    """A worker of before wrote no time, and reads no more than it wrote: none is fine, too."""
    lane = await StoringLane.take(db)
    at_ms = 1_795_428_000_000
    await write(db, Batch(0, lane.epoch, [], [], {TOPIC: Advance(1, 1, 0)}, at_ms=at_ms))
    assert (await take_over(db, 0)).unemitted == Unemitted({}, [], at_ms)
    of_before = '{"ranges": {"acme": [3, 4]}, "dead_letters": [["raw.identity", 0, 5]]}'
    query(postgres_dsn, "UPDATE lanes SET unemitted = %s::json", (of_before,))
    unemitted = (await take_over(db, 0)).unemitted
    assert unemitted == Unemitted({"acme": Range(3, 4)}, [("raw.identity", 0, 5)], None)


async def test_unemitted_batch_reads_back_byte_for_byte(db: Database) -> None:
    """What settle emits is what the batch would have emitted."""
    lane = await StoringLane.take(db)
    await lane.store(an_entry("acme", "older"))
    stored = await lane.store(
        an_entry("acme", "b", org_name="Acme"), an_entry("beta", "a"), dead_letters=1
    )
    state = await take_over(db, 0)
    entries = await read_unemitted(db, state.unemitted.ranges)
    assert [render(entry) for entry in entries] == [render(entry) for entry in stored.entries]
    assert await read_dead_letters(db, state.unemitted.dead_letters) == stored.dead_letters
    assert await read_unemitted(db, {}) == []
    assert await read_dead_letters(db, []) == []


async def test_reading_that_meets_a_migration_is_an_outage(postgres_dsn: str) -> None:
    """A statement whose table has a new column since it was prepared is prepared anew next time."""
    async with opened(postgres_dsn, connections=2) as db:
        lane = await StoringLane.take(db)
        await lane.store(an_entry("acme", "a"))
        ranges = {"acme": Range(1, 1)}
        before = await read_unemitted(db, ranges)
        query(postgres_dsn, "ALTER TABLE audit_entries ADD COLUMN of_later text")
        with pytest.raises(DatabaseOutage):
            await read_unemitted(db, ranges)
        assert await read_unemitted(db, ranges) == before


async def test_earlier_owner_is_fenced_everywhere(postgres_dsn: str, db: Database) -> None:
    """After a take-over the earlier owner can write nothing."""
    lane = await StoringLane.take(db)
    await take_over(db, 0)
    with pytest.raises(Fenced):
        await lane.store(an_entry("acme", "a"))
    with pytest.raises(Fenced):
        await start_partition(db, 0, lane.epoch, "raw.billing", 0)
    with pytest.raises(Fenced):
        await record_source_gap(db, 0, lane.epoch, TOPIC, from_offset=0, to_offset=5)
    with pytest.raises(Fenced):
        await caught_up(db, 0, lane.epoch, {TOPIC: 5}, NOW.timestamp())
    assert seqs(postgres_dsn) == {}
    assert query(postgres_dsn, "SELECT topic, stored_through FROM source_offsets") == [(TOPIC, 0)]


async def test_take_over_waits_for_a_batch_that_is_about_to_end(
    postgres_dsn: str, db: Database
) -> None:
    """A live predecessor's batch is not cut off: the new owner sees it stored."""
    lane = await StoringLane.take(db)
    async with through(postgres_dsn, freeze_at=b"PGCOPY") as (proxy, slow):
        lane.db = slow
        storing = asyncio.create_task(lane.store(an_entry("acme", "a")))
        await proxy.frozen.wait()
        taking = asyncio.create_task(take_over(db, 0))
        await until(postgres_dsn, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
        proxy.thaw()
        await storing
        assert (await taking).batch == 1


async def test_predecessor_frozen_in_copy_is_ended(postgres_dsn: str, db: Database) -> None:
    """A worker that stopped in the middle of COPY loses its backend, its batch and the lane."""
    lane = await StoringLane.take(db)
    async with through(postgres_dsn, freeze_at=b"PGCOPY") as (proxy, frozen):
        lane.db = frozen
        storing = asyncio.create_task(lane.store(an_entry("acme", "a")))
        await proxy.frozen.wait()
        state = await take_over(db, 0)
        assert state[:2] == (2, 0)
        proxy.thaw()
        with pytest.raises((DatabaseOutage, Fenced)):
            await storing
    assert seqs(postgres_dsn) == {}


async def test_lane_held_by_a_session_that_stays_is_an_outage(
    postgres_dsn: str, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the holder cannot be ended the take-over gives up, to be tried again."""
    monkeypatch.setattr(lanes, "PREDECESSOR_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(lanes, "END_BLOCKERS_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setitem(lanes._SQL, "end_blockers", "SELECT 1 AS pid, $1 = 0 AS ended")
    await take_over(db, 0)
    async with opened(postgres_dsn) as other, other.transaction() as connection:
        await connection.execute("SELECT FROM lanes FOR UPDATE")
        with pytest.raises(DatabaseOutage, match="cannot be ended"):
            await take_over(db, 0)


@pytest.mark.parametrize("lost", [b"COMMIT\0", b"PGCOPY"])
async def test_outcome_of_a_lost_commit_is_settled_by_the_take_over(
    postgres_dsn: str, db: Database, lost: bytes
) -> None:
    """A connection that breaks is an outage; the lane's state says whether the batch is stored."""
    lane = await StoringLane.take(db)
    async with through(postgres_dsn, break_at=lost) as (_, breaking):
        lane.db = breaking
        with pytest.raises(DatabaseOutage):
            await lane.store(an_entry("acme", "a"))
    state = await take_over(db, 0)
    assert state.batch == (1 if lost == b"COMMIT\0" else 0)
    assert seqs(postgres_dsn) == ({"acme": [1]} if lost == b"COMMIT\0" else {})
    assert state.positions[TOPIC].stored_through == state.batch


async def test_connections_come_back_after_a_crash_of_the_server(server_directory: object) -> None:
    """A pool outlives its server: an outage while it is away, work again when it is back."""
    server = Server(server_directory / "store-crash")  # type: ignore[operator]
    server.start()
    async with opened(server.dsn(), role="postgres") as db:
        async with db.connection() as connection:
            await connection.execute("CREATE TABLE kept (n int)")
        server.kill()
        for _ in range(2):
            with pytest.raises(DatabaseOutage):
                async with db.transaction() as connection:
                    await connection.execute("SELECT 1")
        server.start()
        async with db.transaction() as connection:
            assert await connection.fetchval("SELECT count(*) FROM kept") == 0
    server.crash()


async def test_backend_that_ends_at_any_moment_is_an_outage(postgres_dsn: str) -> None:
    """Whenever the server ends a session, the batch is an outage or stored, nothing in between."""
    end = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = 'hub-audit' AND datname = current_database()"""
    chance = random.Random(5)
    outages = 0
    # About as long as a batch takes here; it follows the machine, so that both ends occur on any.
    span_seconds = 0.01
    async with opened(postgres_dsn) as db, db.login_connection() as killer:
        await take_over(db, 0)
        for number in range(80):
            try:
                lane = await StoringLane.take(db)
                storing = asyncio.create_task(lane.store(an_entry("acme", f"e{number}")))
                await asyncio.sleep(chance.random() * span_seconds)
                await killer.execute(end)
                await storing
                span_seconds /= 1.4
            except DatabaseOutage:
                outages += 1
                span_seconds *= 1.2
    assert outages > 20
    numbers = seqs(postgres_dsn)["acme"]
    assert numbers == list(range(1, len(numbers) + 1))
    sql = "SELECT entries, batch FROM books, lanes WHERE balanced"
    assert query(postgres_dsn, sql) == [(len(numbers), len(numbers))]


async def test_statement_that_takes_too_long_is_an_outage(postgres_dsn: str) -> None:
    """The server ends a statement after its time-out; the next one finds a sound connection."""
    async with opened(postgres_dsn, connections=1, statement_timeout_seconds=0.05) as db:
        with pytest.raises(DatabaseOutage):
            async with db.connection() as connection:
                await connection.execute("SELECT pg_sleep(10)")
        async with db.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_cancelled_batch_leaves_nothing_behind(postgres_dsn: str, db: Database) -> None:
    """A lane that is dropped in the middle of its batch lets go of everything at once."""
    lane = await StoringLane.take(db)
    async with through(postgres_dsn, freeze_at=b"PGCOPY") as (proxy, frozen):
        lane.db = frozen
        storing = asyncio.create_task(lane.store(an_entry("acme", "a")))
        await proxy.frozen.wait()
        storing.cancel()
        async with asyncio.timeout(1):
            with pytest.raises(asyncio.CancelledError):
                await storing
        assert (await take_over(db, 0)).batch == 0
        proxy.thaw()
        lane = await StoringLane.take(frozen)
        assert (await lane.store(an_entry("acme", "a"))).entries[0]["seq"] == 1


async def test_gap_in_the_source_is_recorded_and_booked(postgres_dsn: str, db: Database) -> None:
    """Offsets that are gone are counted as holes, and kept with the reason."""
    lane = await StoringLane.take(db)
    await lane.store(an_entry("acme", "a"))
    await record_source_gap(db, 0, lane.epoch, TOPIC, from_offset=1, to_offset=10)
    (book,) = await books(db)
    assert (book.stored_through, book.offset_holes, book.balanced) == (10, 9, True)
    gaps = query(postgres_dsn, "SELECT topic, partition, from_offset, to_offset FROM source_gaps")
    assert gaps == [(TOPIC, 0, 1, 10)]
    with pytest.raises(RuntimeError, match="does not stand at 1"):
        await record_source_gap(db, 0, lane.epoch, TOPIC, from_offset=1, to_offset=12)


async def test_caught_up_counts_trailing_holes(db: Database) -> None:
    """An idle lane says as of when it is complete, and steps over markers at its end."""
    lane = await StoringLane.take(db)
    await lane.store(an_entry("acme", "a"))
    await caught_up(db, 0, lane.epoch, {TOPIC: 3}, NOW.timestamp())
    await start_partition(db, 0, lane.epoch, TOPIC, 99)  # a second start changes nothing
    (book,) = await books(db)
    assert (book.first_offset, book.stored_through, book.offset_holes) == (0, 3, 2)
    assert book.caught_up_at == NOW
    with pytest.raises(RuntimeError, match="beyond its positions"):
        await caught_up(db, 0, lane.epoch, {TOPIC: 2}, NOW.timestamp())


async def test_recover_goes_on_above_everything_published(postgres_dsn: str, db: Database) -> None:
    """After lost commits lanes go on behind Kafka's batch, heads above what was published."""
    behind, level = await StoringLane.take(db, 0), await StoringLane.take(db, 1)
    await behind.store(an_entry("acme", "a"), an_entry("beta", "a"))
    await level.store(an_entry("gamma", "a"))
    async with opened(postgres_dsn, role=MAINTENANCE) as maintenance:
        published = {"acme": 7, "beta": 1, "lost": 4}
        recovered = await recover(maintenance, [LostBatches(0, 1, 5)], published)
        assert recovered == ([0], {"acme": 7, "lost": 4})
        state = await take_over(db, 0)
        assert (state.epoch, state.batch, state.unemitted) == (3, 5, Unemitted({}, []))
        assert (await level.store(an_entry("acme", "b"))).entries[0]["seq"] == 8
        again = await recover(maintenance, [LostBatches(0, 5, 6)], {}, margin=10)
        assert again.heads["gamma"] == 11
    sql = "SELECT org_id, seqs::text FROM seq_gaps ORDER BY org_id, seqs"
    assert query(postgres_dsn, sql) == [
        ("acme", "{[2,8)}"),
        ("acme", "{[9,19)}"),
        ("beta", "{[2,12)}"),
        ("gamma", "{[2,12)}"),
        ("lost", "{[1,5)}"),
        ("lost", "{[5,15)}"),
    ]


async def test_topic_that_was_created_anew_goes_on_from_its_beginning(
    postgres_dsn: str, db: Database
) -> None:
    """The counts stay, the offsets start again, and the books balance all the time."""
    lane = await StoringLane.take(db)
    await lane.store(an_entry("acme", "a"), an_entry("acme", "b"))
    async with opened(postgres_dsn, role=MAINTENANCE) as maintenance:
        await recover(maintenance, [], {}, [Reopening(TOPIC, 0, 2, 0, "created anew")])
    lane = await StoringLane.take(db)
    assert lane.offset == 0
    again = an_entry("acme", "a", recorded_at="2026-01-01T00:00:00.000Z")
    stored = await lane.store(again, an_entry("acme", "c"))
    assert (len(stored.entries), stored.duplicates) == (1, 1)
    (book,) = await books(db)
    assert (book.stored_through, book.entries, book.duplicates, book.balanced) == (2, 3, 1, True)
