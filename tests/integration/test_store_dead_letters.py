"""Dead letters on a real Postgres: kept whatever is in them, listed, marked when redriven."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from processor.store.dead_letters import (
    Filter,
    count_dead_letters,
    newest_dead_letters,
    read_dead_letters,
    show_dead_letter,
)
from processor.store.pool import Database
from processor.store.writer import Advance, Batch, write
from schemas.rejection import Reason
from tests.integration.store import NOW, TOPIC, StoringLane, milliseconds, opened


@pytest.fixture
async def db(postgres_dsn: str) -> AsyncIterator[Database]:
    """Give the store of a fresh database."""
    async with opened(postgres_dsn) as database:
        yield database


@pytest.fixture
async def lane(db: Database) -> StoringLane:
    """Give lane 0, begun at offset 0."""
    return await StoringLane.take(db)


async def test_dead_letter_of_any_day_finds_a_place(db: Database, lane: StoringLane) -> None:
    """Whenever the bus says it recorded a record, its dead letter is kept, bytes and headers."""
    old = NOW - timedelta(days=1000)
    letter = lane.dead_letter(
        0,
        timestamp=milliseconds(old),
        key=None,
        value=b"\x00\xff",
        headers=[("h\0", b"\xfe"), ("h", None)],
    )
    letter = letter._replace(rejection=letter.rejection._replace(detail="nul \0 and \ud800"))
    await write(db, Batch(0, lane.epoch, [], [letter], {TOPIC: Advance(1, 0, 0)}))
    (kept,) = await read_dead_letters(db, [(TOPIC, 0, 0)])
    assert kept.record == letter.record._replace(  # type: ignore[attr-defined]
        headers=(("h\ufffd", b"\xfe"), ("h", None))
    )
    assert kept.rejection.detail == "nul \ufffd and ?"


async def test_of_letters_with_the_same_coordinates_the_last_recorded_is_the_batchs(
    db: Database, lane: StoringLane
) -> None:
    """A topic that was created anew brings offsets again: settling is about the newer record."""
    for through, recorded in enumerate((NOW - timedelta(days=9), NOW, NOW - timedelta(days=3)), 1):
        letter = lane.dead_letter(0, timestamp=milliseconds(recorded))
        await write(db, Batch(0, lane.epoch, [], [letter], {TOPIC: Advance(through, 0, 0)}))
    other = lane.dead_letter(1)
    await write(db, Batch(0, lane.epoch, [], [other], {TOPIC: Advance(4, 0, 0)}))
    found = await read_dead_letters(db, [(TOPIC, 0, 1), (TOPIC, 0, 0)])
    kept = {letter.record.offset: letter.record.timestamp for letter in found}
    assert kept == dict.fromkeys((0, 1), milliseconds(NOW))
    assert len(found) == 2


async def test_dead_letters_are_listed_and_marked_when_redriven(
    db: Database, lane: StoringLane
) -> None:
    """Operators see the newest first, by reason; a redriven one says when it came in again."""
    await lane.store(dead_letters=2)
    dead = lane.dead_letter(2, value=None)
    dead = dead._replace(rejection=dead.rejection._replace(reason=Reason.EMPTY_VALUE))
    advance = {TOPIC: Advance(3, 0, 0)}
    await write(db, Batch(0, lane.epoch, [], [dead], advance, redriven=[(TOPIC, 0, 1)]))
    assert await count_dead_letters(db) == {"invalid_json": (2, 1), "empty_value": (1, 0)}
    listed = await newest_dead_letters(db, Filter(reason=Reason.INVALID_JSON))
    assert [letter.redriven_at is not None for letter in listed] == [False, True]
    still_open = await newest_dead_letters(db, Filter(topic=TOPIC, open_only=True), limit=1)
    assert [letter.offset for letter in still_open] == [0]
    assert await newest_dead_letters(db, Filter(since=NOW + timedelta(seconds=1))) == []
    shown = await show_dead_letter(db, (TOPIC, 0, 2))
    assert shown is not None
    assert shown.dead_letter == dead
    assert await show_dead_letter(db, (TOPIC, 0, 9)) is None
