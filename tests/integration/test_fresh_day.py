"""A day that is not sealed is searched as a sealed one is, whatever stands in its JSON and how."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from processor.store.load import load
from processor.store.maintenance import alone, maintenance
from processor.store.reader import Reader
from processor.store.seal import seal
from processor.store.search import page
from schemas.query import Field, Query, Term, Word
from tests.integration.store import NOW, an_entry, opened, settings_at

AT = NOW.replace(hour=7, minute=8, second=9, microsecond=123_000) - timedelta(days=3)
ODD = an_entry(
    "acme",
    "odd",
    at=AT,
    actor={
        "type": "user",
        "id": "usr_1",
        "name": 'Ada\t"A"',
        "on_behalf_of": {"id": 'b"q', "email": 'bo\\"q@example.com'},
    },
    target={"type": "user", "id": "usr_2", "email": "a\\b@example.com", "name": "Ada \u00c4rger"},
    details={"extra": {"said": 'say "hi" \\ back\nand on', "count": 12_345, "mfa": True}},
)
OTHERS = [
    an_entry("acme", f"e{n}", at=AT - n * timedelta(hours=1, milliseconds=1)) for n in range(1, 4)
]

FOUND = [
    *((Field.TEXT, word) for word in ('"HI"', "\\ back", "back\nand", '\t"a"', "\u00c4RGER")),
    *((Field.TEXT, word) for word in ("12345", "true", 'b"q', 'o\\"q@', "a\\b@", "say")),
    *((Field.TEXT, word) for word in (f"{AT:%Y-%m-%d}T07:08:09.123Z", "07:08:09", "9.123z")),
    *((Field.ACTOR, word) for word in ('b"q', 'BO\\"q@example.com')),
    *((Field.TARGET, word) for word in ("A\\b@example.com", "ADA \u00e4rger")),
]
NOT_FOUND = [
    *((Field.TEXT, word) for word in ("actor_on_behalf_of", "said", "\\n", '\\"hi', "hi\nthere")),
    *((Field.ACTOR, word) for word in ("b", "actor_on_behalf_of", "usr_2")),
    *((Field.TARGET, word) for word in ("a\\\\b@example.com", "target_name", "ada")),
]


@pytest.fixture
async def reader(postgres_dsn: str) -> AsyncIterator[Reader]:
    """Give a reader of a day on which one entry is like no other."""
    async with opened(postgres_dsn) as db:
        await load(db, [*OTHERS, ODD])
    async with Reader.opened(settings_at(postgres_dsn)) as reader:
        yield reader


async def wrong(reader: Reader) -> list[tuple[Field, str]]:
    """Return the words that do not find what they should: the odd entry alone, or nothing."""
    odd: list[tuple[Field, str]] = []
    for field, word in FOUND + NOT_FOUND:
        expected = [ODD["entry_id"]] if (field, word) in FOUND else []
        for words in ((Word(word),), (Word(word), Word("nobody-there"))):
            found = await page(
                reader,
                "acme",
                Query((Term(field, words),)),
                before=None,
                limit=9,
                budget_seconds=9,
                oldest=NOW - timedelta(days=90),
            )
            if [entry["entry_id"] for entry in found.entries] != expected:
                odd.append((field, word))
    return odd


async def test_a_fresh_day_is_searched_like_a_sealed_one(postgres_dsn: str, reader: Reader) -> None:
    """Quotes, backslashes, breaks, numbers, times and letters of any case are found in both."""
    assert await wrong(reader) == []
    async with maintenance(settings_at(postgres_dsn)) as db, alone(db) as session:
        assert session is not None
        assert (await seal(session, AT.date())).entries == len(OTHERS) + 1
    assert await wrong(reader) == []
