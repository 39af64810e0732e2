"""The writer on a real Postgres: every record ends once, numbers have no holes, books balance."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from asyncpg import UniqueViolationError

from processor.errors import Fenced
from processor.store.books import books
from processor.store.dead_letters import read_dead_letters
from processor.store.entries import insert
from processor.store.partitions import days
from processor.store.pool import Database
from processor.store.sql import statements
from processor.store.writer import Advance, Batch, write
from schemas.rejection import Reason
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


@pytest.fixture
async def db(postgres_dsn: str) -> AsyncIterator[Database]:
    """Give the store of a fresh database."""
    async with opened(postgres_dsn) as database:
        yield database


@pytest.fixture
async def lane(db: Database) -> StoringLane:
    """Give lane 0, begun at offset 0."""
    return await StoringLane.take(db)


async def ends(db: Database) -> tuple[int, int, int, int]:
    """Return how the records of lane 0 ended; the books balance."""
    (book,) = [book for book in await books(db) if book.partition == 0]
    assert book.balanced
    assert book.passed == book.accounted
    return book.entries, book.duplicates, book.discards, book.dead_letters


async def test_batch_is_stored_and_numbered_per_organization(
    postgres_dsn: str, db: Database, lane: StoringLane
) -> None:
    """Entries get 1, 2, 3 ... per organization in their order, and go on in the next batch."""
    first = await lane.store(an_entry("acme", "a"), an_entry("beta", "a"), an_entry("acme", "b"))
    second = await lane.store(an_entry("acme", "c"), dead_letters=1, discards=2)
    assert [(entry["org_id"], entry["seq"]) for entry in first.entries] == [
        ("acme", 1),
        ("beta", 1),
        ("acme", 2),
    ]
    assert [entry["seq"] for entry in second.entries] == [3]
    assert (first.batch, second.batch) == (1, 2)
    assert seqs(postgres_dsn) == {"acme": [1, 2, 3], "beta": [1]}
    assert await ends(db) == (4, 0, 2, 1)


async def test_batch_without_entries_advances_the_books(db: Database, lane: StoringLane) -> None:
    """A batch of nothing but discards and dead letters is a batch like any other."""
    stored = await lane.store(discards=3)
    assert (stored.batch, stored.entries, stored.dead_letters) == (1, [], [])
    assert len((await lane.store(dead_letters=2)).dead_letters) == 2
    assert await ends(db) == (0, 0, 3, 2)


async def test_offset_holes_are_booked(db: Database, lane: StoringLane) -> None:
    """An offset without a record counts as a hole."""
    candidates = lane.candidates([an_entry("acme", "a")])
    await write(db, Batch(0, lane.epoch, candidates, [], {TOPIC: Advance(3, 2, 0)}))
    (book,) = await books(db)
    assert (book.stored_through, book.entries, book.offset_holes) == (3, 1, 2)


async def test_books_that_do_not_balance_are_refused(db: Database, lane: StoringLane) -> None:
    """The database itself refuses a batch that loses count of a record, and nothing of it stays."""
    candidates = lane.candidates([an_entry("acme", "a")])
    with pytest.raises(Exception, match="books_balance"):
        await write(db, Batch(0, lane.epoch, candidates, [], {TOPIC: Advance(2, 0, 0)}))
    assert await ends(db) == (0, 0, 0, 0)


async def test_partition_without_books_is_to_be_opened_again(
    db: Database, lane: StoringLane
) -> None:
    """A failover may have lost what a take-over had opened: the lane is taken over again."""
    with pytest.raises(Fenced, match="cannot advance"):
        await write(db, Batch(0, lane.epoch, [], [], {"raw.other": Advance(1, 0, 1)}))


async def test_repetition_of_a_stored_entry_is_a_duplicate(
    postgres_dsn: str, db: Database, lane: StoringLane
) -> None:
    """The same identity with the same content is suppressed, and leaves no hole in the numbers."""
    await lane.store(an_entry("acme", "a"), an_entry("beta", "a"))
    stored = await lane.store(an_entry("acme", "b"), an_entry("acme", "a"), an_entry("acme", "c"))
    assert [(entry["source"]["event_id"], entry["seq"]) for entry in stored.entries] == [
        ("b", 2),
        ("c", 3),
    ]
    assert stored.duplicates == 1
    assert seqs(postgres_dsn) == {"acme": [1, 2, 3], "beta": [1]}
    assert await ends(db) == (4, 1, 0, 0)
    again = await lane.store(an_entry("acme", "b"), an_entry("beta", "a"))
    assert (again.entries, again.duplicates) == ([], 2)
    assert (await lane.store(an_entry("beta", "b"))).entries[0]["seq"] == 2


@pytest.mark.parametrize(("repeats", "places"), [(True, 1), (False, 4)])
async def test_where_repeats_are_likely_nothing_is_copied_to_be_undone(
    postgres_dsn: str, lane: StoringLane, *, repeats: bool, places: int
) -> None:
    """The new row stands right behind those before it, where else dead ones would lie between."""
    await lane.store(an_entry("acme", "a"))
    batch = [an_entry("acme", "b"), an_entry("acme", "c"), an_entry("acme", "a")]
    stored = await lane.store(*batch, repeats=repeats)
    assert ([entry["seq"] for entry in stored.entries], stored.duplicates) == ([2, 3], 1)
    found = query(postgres_dsn, "SELECT ctid::text FROM audit_entries WHERE seq IN (1, 2)")
    first, second = (int(place.strip("()").split(",")[1]) for (place,) in sorted(found))
    assert second - first == places


async def test_repetitions_are_probed_for_on_a_day_of_which_nothing_is_known(
    db: Database, lane: StoringLane
) -> None:
    """Before its first statistics each key would be compared with every row of a new day."""
    await lane.store(*[an_entry("acme", f"{number}") for number in range(400)])
    keys = (["acme"] * 9, [NOW] * 9, [UUID(int=1)] * 9)
    async with db.transaction() as connection:
        await connection.execute(statements("writer.sql")["probes_only"])
        asked = "EXPLAIN " + statements("writer.sql")["existing"]
        explained = await connection.fetch(asked, *keys, NOW, NOW)
    plan = "\n".join(line for (line,) in explained)
    assert "(entry_id = k.entry_id)" in plan
    assert "Join Filter" not in plan


@pytest.mark.parametrize(
    ("change", "duplicate"),
    [
        ({"raw_sha256": "f" * 64}, True),
        ({"raw_sha256": "f" * 64, "trace_id": "a" * 32, "span_id": "b" * 16}, True),
        ({"raw_sha256": "f" * 64, "recorded_at": "2026-01-01T00:00:00.000Z"}, True),
        ({"raw_sha256": "f" * 64, "normalizer": "2", "details": {}}, True),
        ({"raw_sha256": "f" * 64, "details": {}}, False),
        ({"raw_sha256": "f" * 64, "ip": "203.0.113.10"}, False),
        ({"raw_sha256": "f" * 64, "org_name": "Acme"}, False),
        # The same value with other headers, as in binary mode.
        ({"details": {}}, False),
    ],
)
@pytest.mark.parametrize("in_one_batch", [True, False])
async def test_other_content_under_one_identity_is_a_conflict(
    db: Database, lane: StoringLane, change: dict[str, Any], duplicate: bool, in_one_batch: bool
) -> None:
    """What differs only in how it came in is a duplicate; a second fact is a dead letter."""
    one, other = an_entry("acme", "a"), an_entry("acme", "a", **change)
    if in_one_batch:
        stored = await lane.store(one, other)
    else:
        await lane.store(one)
        stored = await lane.store(other)
    assert stored.duplicates == (1 if duplicate else 0)
    reasons = [letter.rejection.reason for letter in stored.dead_letters]
    assert reasons == ([] if duplicate else [Reason.ID_CONFLICT])
    assert await ends(db) == ((1, 1, 0, 0) if duplicate else (1, 0, 0, 1))
    for letter in stored.dead_letters:
        assert letter.org_id == "acme"
        assert f"{TOPIC}/0/0" in letter.rejection.detail
        coordinates = (letter.record.topic, letter.record.partition, letter.record.offset)
        assert await read_dead_letters(db, [coordinates]) == [letter]


async def test_repeats_inside_a_batch_are_judged_by_the_first(
    postgres_dsn: str, lane: StoringLane
) -> None:
    """Of one identity three times in a batch, the first is stored and the others are compared."""
    stored = await lane.store(
        an_entry("acme", "a"),
        an_entry("acme", "b"),
        an_entry("acme", "a"),
        an_entry("acme", "a", raw_sha256="0" * 64, details={}),
    )
    assert [entry["source"]["offset"] for entry in stored.entries] == [0, 1]
    assert stored.duplicates == 1
    assert [letter.record.offset for letter in stored.dead_letters] == [3]
    assert seqs(postgres_dsn) == {"acme": [1, 2]}


async def test_record_that_is_stored_already_is_a_bug(db: Database, lane: StoringLane) -> None:
    """The same coordinates at the same append time cannot come in twice: the process crashes."""
    await lane.store(an_entry("acme", "a"))
    lane.offset = 0
    candidates = lane.candidates([an_entry("acme", "a")])
    with pytest.raises(RuntimeError, match="is stored already"):
        await write(db, Batch(0, lane.epoch, candidates, [], {TOPIC: Advance(1, 0, 0)}))


async def test_row_that_the_database_refuses_is_found(
    postgres_dsn: str, db: Database, lane: StoringLane
) -> None:
    """One refused row among many is the only one that is rejected, and costs no number."""
    entries = [an_entry("acme", f"e{n}") for n in range(40)]
    entries[17]["actor"]["id"] = "nul\0byte"
    entries[33]["target"]["id"] = "nul\0byte"
    stored = await lane.store(*entries, an_entry("acme", "e5"))
    assert [letter.record.offset for letter in stored.dead_letters] == [17, 33]
    assert {letter.rejection.reason for letter in stored.dead_letters} == {
        Reason.REFUSED_BY_DATABASE
    }
    assert "22021" in stored.dead_letters[0].rejection.detail
    assert seqs(postgres_dsn) == {"acme": list(range(1, 39))}
    assert await ends(db) == (38, 1, 0, 2)


async def test_repeat_of_a_refused_row_gets_its_turn(lane: StoringLane) -> None:
    """An entry whose first appearance was refused is stored at its second."""
    refused = an_entry("acme", "a", session_id="nul\0byte")
    stored = await lane.store(refused, an_entry("acme", "a"))
    assert [entry["source"]["offset"] for entry in stored.entries] == [1]
    assert [letter.record.offset for letter in stored.dead_letters] == [0]


async def test_entry_that_no_row_can_hold_is_refused(lane: StoringLane) -> None:
    """What cannot even be encoded is a dead letter as well, and the batch goes on."""
    entries = [
        an_entry("acme", "a", ip="no address"),
        an_entry("acme", "b", session_id="\ud800"),
        an_entry("acme", "c", severity=10**6),
        an_entry("acme", "d"),
    ]
    stored = await lane.store(*entries)
    assert [letter.rejection.reason for letter in stored.dead_letters] == [
        Reason.REFUSED_BY_DATABASE
    ] * 3
    assert [entry["seq"] for entry in stored.entries] == [1]


async def test_entry_of_a_day_that_is_gone_is_rejected(
    postgres_dsn: str, db: Database, lane: StoringLane
) -> None:
    """An entry older than the oldest day is a dead letter; the others are stored."""
    oldest = (await days(db))[0]
    gone = datetime(oldest.year, oldest.month, oldest.day, tzinfo=UTC) - timedelta(milliseconds=1)
    stored = await lane.store(
        an_entry("acme", "a"),
        an_entry("acme", "b", at=gone),
        an_entry("acme", "c", at=gone + timedelta(milliseconds=1)),
    )
    assert [letter.rejection.reason for letter in stored.dead_letters] == [
        Reason.OLDER_THAN_RETENTION
    ]
    assert seqs(postgres_dsn) == {"acme": [1, 2]}


async def test_day_that_is_not_there_yet_is_created(db: Database, lane: StoringLane) -> None:
    """An entry of a day beyond the newest partition waits for no maintenance."""
    beyond = NOW + timedelta(days=30)
    stored = await lane.store(an_entry("acme", "a", at=beyond))
    assert len(stored.entries) == 1
    assert beyond.date() in await days(db)


async def test_numbers_have_no_holes_under_concurrency(
    postgres_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Lanes with entries, repeats and refused rows of shared organizations leave no hole.

    None of them deadlocks with another: heads are always locked in the same order.
    """
    chance = random.Random(7)
    async with opened(postgres_dsn, connections=4) as db:
        lanes = [await StoringLane.take(db, number) for number in range(4)]

        async def run(lane: StoringLane) -> int:
            """Store some batches; return how many entries of them were new."""
            stored = 0
            for _ in range(8):
                entries = [
                    an_entry(f"org_{chance.randrange(6)}", f"e{chance.randrange(150)}")
                    for _ in range(30)
                ]
                if chance.random() < 0.3:
                    entries[chance.randrange(30)]["actor"]["id"] = "\0"
                stored += len((await lane.store(*entries)).entries)
            return stored

        stored = sum(await asyncio.gather(*(run(lane) for lane in lanes)))
        assert all(book.balanced for book in await books(db))
    numbers = seqs(postgres_dsn)
    assert sum(map(len, numbers.values())) == stored
    assert all(given == list(range(1, len(given) + 1)) for given in numbers.values())
    assert "batch_retried" not in caplog.messages
    heads = dict(query(postgres_dsn, "SELECT org_id, last_seq FROM org_heads"))
    assert heads == {org_id: len(given) for org_id, given in numbers.items()}


async def test_batch_that_loses_a_deadlock_is_tried_again(
    postgres_dsn: str, lane: StoringLane
) -> None:
    """A batch whose transaction Postgres sacrifices for another one is stored all the same."""
    await lane.store(an_entry("acme", "a"), an_entry("beta", "a"))
    async with lane.db.login_connection() as other, asyncio.TaskGroup() as group:
        lift = "UPDATE org_heads SET last_seq = last_seq WHERE org_id = $1"
        await other.execute("SET deadlock_timeout = '60s'")  # so the batch is the one to go
        async with other.transaction():
            await other.execute(lift, "beta")
            storing = group.create_task(lane.store(an_entry("acme", "b"), an_entry("beta", "b")))
            await until(postgres_dsn, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
            await other.execute(lift, "acme", timeout=20)
    stored = storing.result()
    assert [entry["seq"] for entry in stored.entries] == [2, 2]
    assert stored.batch == 2


async def test_batch_that_meets_a_migration_is_tried_again(
    postgres_dsn: str, lane: StoringLane, caplog: pytest.LogCaptureFixture
) -> None:
    """A column that a migration adds under a running worker is prepared for, and nothing ends."""
    await lane.store(an_entry("acme", "a"), repeats=True)
    query(postgres_dsn, "ALTER TABLE audit_entries ADD COLUMN of_later text")
    stored = await lane.store(an_entry("acme", "b"), repeats=True)
    assert "batch_retried" in caplog.messages
    assert [entry["seq"] for entry in stored.entries] == [2]
    assert stored.batch == 2


async def test_violation_of_another_constraint_is_a_bug(
    postgres_dsn: str, lane: StoringLane
) -> None:
    """A number given out twice is no upstream duplicate: it is not suppressed, it crashes."""
    await lane.store(an_entry("acme", "a"))
    query(postgres_dsn, "UPDATE org_heads SET last_seq = 0")
    with pytest.raises(UniqueViolationError, match="_seq_key"):
        await lane.store(an_entry("acme", "b"))


async def test_existing_entries_are_looked_up_by_index_alone(
    postgres_dsn: str, lane: StoringLane
) -> None:
    """The lookup probes the primary key of the day in question, and joins by nested loop."""
    await lane.store(*[an_entry("acme", f"e{n}") for n in range(500)])
    query(postgres_dsn, "ANALYZE audit_entries")
    sql = statements("writer.sql")
    async with lane.db.transaction() as connection:
        await connection.execute(sql["probes_only"])
        keys = [an_entry("acme", f"e{n}")["entry_id"] for n in range(2000)]
        plan = await connection.fetch(
            "EXPLAIN " + sql["existing"], ["acme"] * 2000, [NOW] * 2000, keys, NOW, NOW
        )
    lines = [row[0] for row in plan]
    text = "\n".join(lines)
    assert "Nested Loop" in text, text
    assert f"Index Scan using audit_entries_{NOW:%Y%m%d}_pkey" in text, text
    assert not [line for line in lines if "Hash" in line or "Merge" in line or "Seq Scan" in line]
    assert text.count("Index Scan") == 1, text


async def test_insert_of_nothing_asks_nothing() -> None:
    """A batch without candidates needs no connection."""
    outcome = await insert(None, [])
    assert (outcome.seqs, outcome.ranges) == ([], {})


async def test_whole_batch_is_rolled_back_when_its_owner_is_fenced(
    postgres_dsn: str, db: Database, lane: StoringLane
) -> None:
    """Nothing of a batch that fails at its last statement can be seen."""
    candidates = lane.candidates([an_entry("acme", "a")])
    dead = [lane.dead_letter(1)]
    with pytest.raises(Fenced):
        await write(db, Batch(0, lane.epoch, candidates, dead, {"raw.other": Advance(2, 0, 0)}))
    assert seqs(postgres_dsn) == {}
    assert await read_dead_letters(db, [(TOPIC, 0, 1)]) == []
    assert query(postgres_dsn, "SELECT batch FROM lanes") == [(0,)]
