"""The bulk loader on a real Postgres: what it leaves is what the write path would have left."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from processor.store.load import CHUNK_ENTRIES, load
from tests.integration.store import NOW, StoringLane, an_entry, opened, query, seqs

ROWS = """SELECT to_jsonb(e) - 'source_offset' - 'entry_id' - 'source_topic' - 'occurred_at'
          FROM audit_entries AS e WHERE org_id = 'acme' ORDER BY seq"""


def entries_of(org_id: str, count: int, *, days_ago: int = 30, **fields: Any) -> list[Any]:
    """Return entries a second apart."""
    begin = NOW - timedelta(days=days_ago)
    times = (begin + timedelta(seconds=number) for number in range(count))
    return [an_entry(org_id, f"{n}", at=at, **fields) for n, at in enumerate(times)]


async def test_loaded_rows_are_those_of_the_write_path(postgres_dsn: str) -> None:
    """The same entries give the same rows, numbered on from those that are stored already."""
    async with opened(postgres_dsn) as db:
        entries = entries_of("acme", 3)
        assert await load(db, [*entries, *entries_of("beta", 2)]) == 5
        lane = await StoringLane.take(db)
        await lane.store(*entries_of("acme", 3, days_ago=31))
    loaded, written = query(postgres_dsn, ROWS)[:3], query(postgres_dsn, ROWS)[3:]
    numbers = [row.pop("seq") for (row,) in [*loaded, *written]]
    assert numbers == [1, 2, 3, 4, 5, 6]
    assert [entry["seq"] for entry in entries] == [1, 2, 3]
    assert loaded == written
    assert seqs(postgres_dsn)["beta"] == [1, 2]


async def test_any_number_is_loaded_and_the_second_time_nothing(postgres_dsn: str) -> None:
    """More entries than fit a transaction, beside a writer, of days that have to be created."""
    count = CHUNK_ENTRIES + 10
    async with opened(postgres_dsn) as db:
        lane = await StoringLane.take(db)
        loaded, _ = await asyncio.gather(
            load(db, iter(entries_of("acme", count, days_ago=200))),
            lane.store(*entries_of("acme", 100, days_ago=0)),
        )
        assert loaded == count
        assert await load(db, entries_of("acme", count, days_ago=200)) == 0
    assert seqs(postgres_dsn) == {"acme": list(range(1, count + 101))}


async def test_what_no_row_can_hold_is_refused(postgres_dsn: str) -> None:
    """The chunk with the bad entry is not stored, and its reason is told."""
    good, bad = entries_of("acme", 2)
    bad["severity"] = 100_000
    async with opened(postgres_dsn) as db:
        with pytest.raises(ValueError, match="1 cannot be loaded: refused_by_database"):
            await load(db, [good, bad])
        with pytest.raises(ValueError, match="id_conflict"):
            await load(db, [good | {"normalizer": "1"}, an_entry_like(good)])
    assert seqs(postgres_dsn) == {}


def an_entry_like(entry: Any) -> Any:
    """Return another fact under the identity of the first."""
    return entry | {"action": "auth.login_failed"}
