"""Exports: everything that a query asks for, newest first, in pieces of constant size.

An export goes back some days at a time, page by page, each a short transaction of its own, and
takes no entry above the sequence number at which it began: so it is as consistent as one long
snapshot would be, which would keep the database from tidying up for as long as a download takes.
"""

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from processor.store.conditions import where
from processor.store.pool import CLIENT_MARGIN_SECONDS
from processor.store.reader import Reader, reading
from processor.store.rows import decode
from processor.store.search import Key
from processor.store.walk import Window, reach
from schemas.entry import render
from schemas.query import Query

CSV_ROWS = 10_000
CSV_ROWS_OF_ALL = 1_000
"""Of all columns so few: details have up to 16 KB, and both ends hold the text of a page."""

NDJSON_ROWS = 500
"""So few, because each of them is put together in this process, which others wait for."""

PAGE_SECONDS_MAX = 120.0
"""Nobody looks at a screen meanwhile, and free text in a day that is not sealed takes its time."""

# Without it the pool's own, which is for who looks at a screen, would end a page first.
_GIVEN_UP_SECONDS = PAGE_SECONDS_MAX + CLIENT_MARGIN_SECONDS

DAYS_MAX = 16
QUICK_SECONDS = 2.0

_SQL = reading("export.sql")
_WHERE = "/*where*/"
_FIRST_PARAMETER = 7
_NEWEST = Key(datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))

# What Excel, LibreOffice and Google Sheets may take for a formula or a command, with the full-width
# forms (OWASP CSV Injection; ASVS 5.0, 1.2.10); the apostrophe, so that it can be undone.
TRIGGERS = (
    "'=+-@|%\t\r\n"
    "\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)
RULE = "take one apostrophe away from the beginning of a cell that begins with one"
"""How what was stored is read from a cell of CSV, as manifests say it."""

_TIME = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
# What this program alone writes: it begins with no trigger and needs no quotes.
_SAFE = {
    "timestamp": _TIME.format("e.occurred_at"),
    "action": "e.action",
    "IP address": "host(e.ip)",
    "sequence number": "e.seq::text",
    "entry ID": "e.entry_id::text",
    "recorded at": _TIME.format("e.recorded_at"),
    "category": "e.category",
    "outcome": "e.outcome",
    "severity": "e.severity::text",
    "actor type": "e.actor_type",
    "target type": "e.target_type",
}
# The commonest texts are plain and stay as they are: found out by functions that cost less than a
# regular expression. Of the others, an apostrophe keeps a spreadsheet from computing a cell; who
# reads it takes exactly one away.
_CELL = """CASE WHEN (
    ascii({v}) BETWEEN 48 AND 57 OR ascii({v}) BETWEEN 65 AND 90 OR ascii({v}) BETWEEN 97 AND 122
) AND strpos({v}, '"') = 0 AND strpos({v}, ',') = 0 AND strpos({v}, ';') = 0
AND strpos({v}, E'\\t') = 0 AND strpos({v}, E'\\r') = 0 AND strpos({v}, E'\\n') = 0 THEN {v}
ELSE '"' || CASE WHEN {v} <> '' AND strpos($7::text, left({v}, 1)) > 0 THEN '''' ELSE '' END
|| replace({v}, '"', '""') || '"' END"""
_FREE = {
    "actor email": "e.actor_email",
    "target ID": "e.target_id",
    "actor ID": "e.actor_id",
    "actor name": "x.actor_name",
    "target name": "x.target_name",
    "target email": "x.target_email",
    "outcome reason": "x.outcome_reason",
    "user agent": "x.user_agent",
    "session ID": "e.session_id",
    "request ID": "e.request_id",
    "correlation ID": "e.correlation_id",
    "details": "(e.details::text)",
    "on behalf of ID": "(x.actor_on_behalf_of ->> 'id')",
    "on behalf of": "(x.actor_on_behalf_of ->> 'email')",
    "IP address as sent": "x.ip_raw",
}
_CONTEXT = """, json_to_record(e.context) AS x (
    actor_name text, target_name text, target_email text, outcome_reason text, user_agent text,
    actor_on_behalf_of json, ip_raw text
)"""

SIX = ("timestamp", "actor email", "action", "target type", "target ID", "IP address")
"""The columns that the product promises, in its order and its words."""

ALL = (*SIX, *(name for name in (*_SAFE, *_FREE) if name not in SIX))


class Extent(NamedTuple):
    """What an export takes in: nothing older, and nothing above a sequence number."""

    oldest: datetime
    through_seq: int


class Piece(NamedTuple):
    """Some lines of an export: how many entries, their lowest and highest number, the oldest."""

    rows: int
    text: bytes
    first_seq: int | None = None
    last_seq: int | None = None
    back_to: datetime | None = None


async def csv(
    reader: Reader, org_id: str, query: Query, extent: Extent, columns: Sequence[str] = SIX
) -> AsyncIterator[Piece]:
    """Yield an export as CSV (RFC 4180), its header line first; the query's periods are fixed."""
    yield Piece(0, (",".join(columns) + "\r\n").encode())
    condition = where(query, org_id, first=_FIRST_PARAMETER + 1)
    statement = _csv_page(columns).replace(_WHERE, condition.sql)
    rows = CSV_ROWS if tuple(columns) == SIX else CSV_ROWS_OF_ALL
    for window in _windows(query, await reader.now(), extent):
        before: Key | None = _NEWEST
        while before is not None:
            place = (*window, *before, extent.through_seq, rows)
            async with reader.of(org_id, statement_timeout_seconds=PAGE_SECONDS_MAX) as connection:
                arguments = (*place, TRIGGERS, *condition.parameters)
                page = await connection.fetchrow(statement, *arguments, timeout=_GIVEN_UP_SECONDS)
            if page["rows"]:
                yield _piece(page)
            full = page["rows"] == rows
            before = Key(page["occurred_at"], page["entry_id"]) if full else None


async def ndjson(reader: Reader, org_id: str, query: Query, extent: Extent) -> AsyncIterator[Piece]:
    """Yield an export as lines of JSON, each the canonical rendering of an entry."""
    condition = where(query, org_id, first=_FIRST_PARAMETER)
    statement = _SQL["json_page"].replace(_WHERE, condition.sql)
    for window in _windows(query, await reader.now(), extent):
        before: Key | None = _NEWEST
        while before is not None:
            place = (*window, *before, extent.through_seq, NDJSON_ROWS)
            async with reader.of(org_id, statement_timeout_seconds=PAGE_SECONDS_MAX) as connection:
                arguments = (*place, *condition.parameters)
                rows = await connection.fetch(statement, *arguments, timeout=_GIVEN_UP_SECONDS)
            if rows:
                yield _rendered(rows)
            full = len(rows) == NDJSON_ROWS
            before = Key(rows[-1]["occurred_at"], rows[-1]["entry_id"]) if full else None


def _piece(page: Mapping[str, Any]) -> Piece:
    """Return what the server put together."""
    seqs = page["first_seq"], page["last_seq"]
    return Piece(page["rows"], page["lines"].encode(), *seqs, page["occurred_at"])


def _rendered(rows: Sequence[Any]) -> Piece:
    """Return rows as lines of JSON."""
    seqs = [row["seq"] for row in rows]
    text = b"".join(render(decode(row)) + b"\n" for row in rows)
    return Piece(len(rows), text, min(seqs), max(seqs), rows[-1]["occurred_at"])


def _windows(query: Query, now: datetime, extent: Extent) -> Iterator[Window]:
    """Yield stretches of days (UTC) in which the query can find something, the newest first.

    They grow for as long as they are gone through quickly: planning for a day takes its time, too.
    """
    since, until = reach(query, now=now, oldest=extent.oldest)
    # Of days that have not begun there is next to nothing: they go with the newest that has.
    begin, days = min(until, now).replace(hour=0, minute=0, second=0, microsecond=0), 1
    while until > since:
        began = time.monotonic()
        yield Window(max(begin, since), until)
        quick = time.monotonic() - began < QUICK_SECONDS
        days = min(days * 2, DAYS_MAX) if quick else 1
        begin, until = begin - timedelta(days=days), begin


def _csv_page(columns: Sequence[str]) -> str:
    """Return the statement of these columns; the texts in it are the constants of this module."""
    line = f"concat_ws(',', {', '.join(map(_cell, columns))}) || E'\\r\\n'"
    context = _CONTEXT if "x." in line else ""
    return _SQL["csv_page"].replace("/*cells*/", line).replace("/*context*/", context)


def _cell(name: str) -> str:
    """Return the expression of a cell: between quotes, and no formula, where people wrote it."""
    if name in _SAFE:
        return f"coalesce({_SAFE[name]}, '')"
    free = _FREE[name]
    return f"CASE WHEN {free} IS NULL THEN '' ELSE {_CELL.replace('{v}', free)} END"
