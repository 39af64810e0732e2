"""An export has every entry that was asked for, once, newest first, and no formula."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import orjson
import psycopg
import pytest

from processor.query import parse
from processor.store import export, pool
from processor.store.export import ALL, SIX, TRIGGERS, Extent, Piece
from processor.store.feed import head
from processor.store.load import load
from processor.store.pool import READER
from processor.store.reader import Reader
from schemas.entry import Entry, render
from tests.integration.store import NOW, an_entry, opened

OLDEST = NOW - timedelta(days=30)
EVERYTHING = 2**63 - 1


@asynccontextmanager
async def reading(dsn: str, statement_timeout_seconds: float = 30) -> AsyncIterator[Reader]:
    """Open a reader, and close it."""
    seconds = statement_timeout_seconds
    async with opened(dsn, role=READER, statement_timeout_seconds=seconds) as db:
        yield Reader(db, seconds)


async def stored(dsn: str, *entries: Entry) -> None:
    """Store entries as history."""
    async with opened(dsn) as db:
        assert await load(db, entries) == len(entries)


async def joined(pieces: AsyncIterator[Piece]) -> str:
    """Return the text of an export."""
    return b"".join([piece.text async for piece in pieces]).decode()


def cells(text: str) -> list[list[str]]:
    """Return the cells of a CSV export as somebody's program reads them, with what was added."""
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def undone(cell: str) -> str:
    """Return a cell as it was stored."""
    return cell.removeprefix("'")


async def test_csv_has_the_six_columns_newest_first(postgres_dsn: str) -> None:
    """The columns of the product page stand in its order, times in ISO 8601, missing ones empty."""
    bare = an_entry("acme", "e1", at=NOW - timedelta(days=2), actor={"type": "system"})
    del bare["ip"]
    await stored(postgres_dsn, bare, an_entry("acme", "e2"), an_entry("other", "e3"))
    async with reading(postgres_dsn) as reader:
        text = await joined(export.csv(reader, "acme", parse(""), Extent(OLDEST, EVERYTHING)))
    at = an_entry("acme", "e2")["occurred_at"]
    assert text.startswith("timestamp,actor email,action,target type,target ID,IP address\r\n")
    assert cells(text)[1:] == [
        [at, "ada@example.com", "auth.login_success", "user", "usr_1", "203.0.113.9"],
        [bare["occurred_at"], "", "auth.login_success", "user", "usr_1", ""],
    ]


async def test_all_columns_say_for_whom_and_what_was_no_address(postgres_dsn: str) -> None:
    """On whose behalf somebody acted is there, and an address as it was sent where it was none."""
    support = {"type": "support", "id": "s7", "on_behalf_of": {"id": "u9", "email": "b@x.example"}}
    entry = an_entry("acme", "e", actor=support, ip_raw="unknown, 10.0.0.1")
    del entry["ip"]
    await stored(postgres_dsn, entry)
    async with reading(postgres_dsn) as reader:
        text = await joined(export.csv(reader, "acme", parse(""), Extent(OLDEST, EVERYTHING), ALL))
    columns, line = cells(text)
    found = dict(zip(columns, line, strict=True))
    assert (found["on behalf of ID"], found["on behalf of"]) == ("u9", "b@x.example")
    assert (found["IP address"], found["IP address as sent"]) == ("", "unknown, 10.0.0.1")


@pytest.mark.parametrize("form", [export.csv, export.ndjson])
async def test_page_takes_longer_than_others_may(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, form: Callable[..., AsyncIterator[Piece]]
) -> None:
    """Nobody looks at a screen meanwhile: a page that takes its time is waited for."""
    monkeypatch.setattr(pool, "CLIENT_MARGIN_SECONDS", 0.0)
    await stored(postgres_dsn, an_entry("acme", "e"))
    async with reading(postgres_dsn, statement_timeout_seconds=0.5) as reader:
        with psycopg.connect(postgres_dsn) as holder:
            holder.execute("LOCK TABLE audit_entries IN ACCESS EXCLUSIVE MODE")
            made = asyncio.create_task(
                joined(form(reader, "acme", parse(""), Extent(OLDEST, EVERYTHING)))
            )
            await asyncio.wait([made], timeout=1)
        assert "auth.login_success" in await made


async def test_what_looks_like_a_formula_is_none_and_can_be_had_back(postgres_dsn: str) -> None:
    """No cell begins with a trigger, and taking an apostrophe away gives what was stored."""
    texts = [f'{c}1,"2"' for c in TRIGGERS]
    texts += ["=", "-", "''=", 'a"b', "a,b;c", "x\r\ny", "x\n", "\u00e4 ", "x\ty"]
    entries = [
        an_entry(
            "acme", f"e{n}", at=NOW - timedelta(seconds=n), target={"type": "user", "id": text}
        )
        for n, text in enumerate(texts)
    ]
    await stored(postgres_dsn, *entries)
    async with reading(postgres_dsn) as reader:
        text = await joined(export.csv(reader, "acme", parse(""), Extent(OLDEST, EVERYTHING), ALL))
    column = ALL.index("target ID")
    found = [line[column] for line in cells(text)[1:]]
    assert [undone(cell) for cell in found] == texts
    assert not [cell for cell in found if cell[0] in TRIGGERS and cell[0] != "'"]


@pytest.mark.parametrize(
    "form",
    [export.csv, partial(export.csv, columns=ALL), export.ndjson],
    ids=["six", "all", "ndjson"],
)
async def test_pages_join_without_a_seam(
    form: Callable[..., AsyncIterator[Piece]], postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries of the same instant, of many pages and of many days are all there, each once."""
    monkeypatch.setattr(export, "CSV_ROWS", 3)
    monkeypatch.setattr(export, "CSV_ROWS_OF_ALL", 3)
    monkeypatch.setattr(export, "NDJSON_ROWS", 3)
    entries = [
        an_entry("acme", f"e{n}", at=NOW - timedelta(days=n // 7, seconds=n % 7 // 4))
        for n in range(30)
    ]
    await stored(postgres_dsn, *entries)
    async with reading(postgres_dsn) as reader:
        pieces = [p async for p in form(reader, "acme", parse(""), Extent(OLDEST, EVERYTHING))]
    text = b"".join(piece.text for piece in pieces).decode()
    expected = sorted(entries, key=lambda e: (e["occurred_at"], e["entry_id"]), reverse=True)
    assert sum(piece.rows for piece in pieces) == len(entries)
    assert max(piece.rows for piece in pieces) == 3
    if form is export.ndjson:
        assert text.encode() == b"".join(render(entry) + b"\n" for entry in expected)
    else:
        times = [line[0] for line in cells(text)[1:]]
        assert times == [entry["occurred_at"] for entry in expected]


async def test_an_export_takes_what_was_there_when_it_began(postgres_dsn: str) -> None:
    """What is stored meanwhile is not in it, however old it is."""
    await stored(postgres_dsn, an_entry("acme", "e1"))
    async with reading(postgres_dsn) as reader:
        extent = Extent(OLDEST, await head(reader, "acme"))
        await stored(postgres_dsn, an_entry("acme", "e2", at=NOW - timedelta(days=3)))
        text = await joined(export.ndjson(reader, "acme", parse(""), extent))
    assert [orjson.loads(line)["seq"] for line in text.splitlines()] == [1]


async def test_an_export_has_the_filter_of_the_screen(postgres_dsn: str) -> None:
    """Only what matches is exported; nothing from before the retention, nothing of our own."""
    own: dict[str, Any] = {"category": "audit", "action": "audit.viewed"}
    await stored(
        postgres_dsn,
        an_entry("acme", "e1", action="auth.logout"),
        an_entry("acme", "e2"),
        an_entry("acme", "e3", **own),
        an_entry("acme", "e4", at=OLDEST - timedelta(milliseconds=1), action="auth.logout"),
    )
    async with reading(postgres_dsn) as reader:

        async def exported(text: str) -> list[str]:
            """Return the actions that an export of a filter has."""
            extent = Extent(OLDEST, EVERYTHING)
            found = await joined(export.csv(reader, "acme", parse(text).at(NOW), extent))
            return [line[2] for line in cells(found)[1:]]

        assert await exported("action:auth.logout") == ["auth.logout"]
        assert sorted(await exported("")) == ["auth.login_success", "auth.logout"]
        assert await exported("category:audit") == ["audit.viewed"]
        assert await exported("actor:nobody created:7d") == []


def test_the_six_columns_are_the_product_pages() -> None:
    """All columns begin with the six, and none is there twice."""
    assert ALL[:6] == SIX
    assert len(set(ALL)) == len(ALL)
