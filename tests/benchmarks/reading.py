"""P9 to P12: how fast the log of the largest organization is read, exported and sealed."""

import asyncio
import math
import os
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any

import psycopg

from processor.settings.sections import Maintain
from processor.store.export import SIX, Extent, csv
from processor.store.facets import facets, histogram
from processor.store.feed import head
from processor.store.load import load
from processor.store.migrations import migrate
from processor.store.pool import Database
from processor.store.reader import Reader
from processor.store.search import Found, page
from schemas.entry import Entry
from schemas.query import Field, Period, Query, Term, Word
from tests.benchmarks.history import DAYS, LARGEST, RARE, entries, fill, seal_all
from tests.benchmarks.servers import Servers, resident_mb
from tests.integration.store import settings_at

DATABASE = "hub_audit_bench_reading"
LIMIT = 50
BUDGET_SECONDS = 2.0
PAGES = 40
"""So often is each page asked for, after twice that does not count."""

TEXTS = 5
LIVE = 100_000
"""Entries of today that are stored before, and again while days are sealed."""

SEALED_MEANWHILE = 20
REST = Maintain().rest
"""As maintenance is set up unless somebody says otherwise."""

EXPORTS = 3

Figures = dict[str, Any]
_BUSY = f"person.0003@{LARGEST}.example.com"
# As good as the product's own: its six columns of the same rows in the same order.
_PSQL = (
    "\\copy (SELECT occurred_at, actor_email, action, target_type, target_id, ip"
    " FROM audit_entries WHERE org_id = 'org-00000' AND category <> 'audit'"
    " ORDER BY occurred_at DESC, entry_id DESC) TO '/dev/null' CSV"
)


def term(field: Field, *texts: str) -> Term:
    """Return a term of whole words."""
    return Term(field, tuple(map(Word, texts)))


def filters(now: datetime) -> dict[str, Query]:
    """Return what is asked for: the first page, and filters as people use them."""
    month = Term(Field.CREATED, (Period(now - timedelta(days=30), None),))
    revoked = term(Field.ACTION, "product_access.revoked")
    return {
        "first": Query(),
        "action": Query((term(Field.ACTION, "auth.login_failed"),)),
        "busy actor": Query((term(Field.ACTOR, _BUSY),)),
        "rare actor": Query((term(Field.ACTOR, RARE["email"]),)),
        "unknown actor": Query((term(Field.ACTOR, "nobody@nowhere.example"),)),
        "target": Query((term(Field.TARGET, "role-3"),)),
        "actor and action of 30 days": Query((revoked, term(Field.ACTOR, _BUSY), month)),
    }


@asynccontextmanager
async def database(servers: Servers) -> AsyncIterator[str]:
    """Give a migrated database of the benchmark's own, dropped at the end."""
    drop = f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"
    with psycopg.connect(servers.admin_dsn, autocommit=True) as admin:
        admin.execute(drop)
        admin.execute(f"CREATE DATABASE {DATABASE}")
    try:
        await migrate(servers.dsn(DATABASE))
        yield servers.dsn(DATABASE)
    finally:
        with psycopg.connect(servers.admin_dsn, autocommit=True) as admin:
            admin.execute(drop)


async def measure(
    servers: Servers, count: int, note: Callable[[str, list[Figures], int], None]
) -> None:
    """Fill a database, seal it and read it; hand over the figures as they come."""
    async with database(servers) as dsn:
        await fill(dsn, count)
        note("sealing", [await sealing(dsn)], count)
        async with Reader.opened(settings_at(dsn), connections=2) as reader:
            note("pages", await pages(reader), count)
            note("text", await texts(reader), count)
            note("overview", [await overview(reader)], count)
            note("export", [await exporting(reader, dsn) for _ in range(EXPORTS)], count)


async def sealing(dsn: str) -> Figures:
    """Seal all days; return what a row costs, and what it costs those who store meanwhile."""
    # Made beforehand: whoever makes them keeps the loop from everything else.
    first, second = (list(entries(LIVE, datetime.now(UTC), days=0.01 * n)) for n in (1, 2))
    calm = await _stored_per_second(dsn, first)
    before = time.monotonic()
    storing = asyncio.create_task(_stored_per_second(dsn, second))
    some = await seal_all(dsn, range(1, SEALED_MEANWHILE + 1), REST)
    sealing_seconds = time.monotonic() - before
    busy = await storing
    rest = await seal_all(dsn, range(SEALED_MEANWHILE + 1, DAYS + 1))
    rows, seconds = sum(day.entries for day in rest), sum(day.seconds for day in rest)
    return {
        "us_per_row": seconds / rows * 1e6,
        "exchange_ms_max": max(day.exchange_seconds for day in some + rest) * 1e3,
        "stored_per_second": calm,
        "stored_per_second_meanwhile": busy,
        "slowdown": 1 - busy / calm,
        "sealing_seconds_meanwhile": sealing_seconds,
    }


async def _stored_per_second(dsn: str, live: list[Entry]) -> float:
    """Store entries of today; return how fast, from the first to the last."""
    db = await Database.open(dsn)
    try:
        began = time.monotonic()
        return await load(db, live) / (time.monotonic() - began)
    finally:
        await db.close()


async def pages(reader: Reader) -> list[Figures]:
    """Return how long the first page of each filter takes."""
    now = await reader.now()
    figures = []
    for name, query in filters(now).items():
        took = [await _timed(partial(_page, reader, query, now)) for _ in range(PAGES)]
        figures.append({"filter": name, **_percentiles(took[2:])})
    return figures


async def texts(reader: Reader) -> list[Figures]:
    """Return how long it takes to find nothing, something rare and something common in 90 days."""
    now = await reader.now()
    figures = []
    for name, word in (("none", "qzxwv-none"), ("rare", "are@elsewhere"), ("common", "windows")):
        query = Query((term(Field.TEXT, word),))
        took = [await _timed(partial(_page, reader, query, now)) for _ in range(TEXTS)]
        found = await _page(reader, query, now)
        back = found.searched_back_to
        days = DAYS if back is None else (now - back) / timedelta(days=1)
        figures.append({"word": name, **_percentiles(took), "days": days})
    return figures


async def overview(reader: Reader) -> Figures:
    """Return how long facets and histogram of all 90 days take."""
    now = await reader.now()
    oldest = now - timedelta(days=DAYS + 1)

    async def values() -> None:
        """Count the values of every facet."""
        await facets(reader, LARGEST, Query(), budget_seconds=30, oldest=oldest)

    async def bars() -> None:
        """Count the entries of every bar."""
        await histogram(reader, LARGEST, Query(), since=oldest, until=now, budget_seconds=30)

    return {"facets_ms": await _timed(values), "histogram_ms": await _timed(bars)}


async def exporting(reader: Reader, dsn: str) -> Figures:
    """Return how fast everything is exported as CSV, next to psql, and the memory it takes."""
    now = await reader.now()
    extent = Extent(now - timedelta(days=DAYS + 1), await head(reader, LARGEST))
    before_mb, peak_mb, rows = resident_mb(os.getpid()), 0.0, 0
    began = time.monotonic()
    async for piece in csv(reader, LARGEST, Query(), extent, list(SIX)):
        rows += piece.rows
        peak_mb = max(peak_mb, resident_mb(os.getpid()))
    ours = rows / (time.monotonic() - began)
    psql = await asyncio.to_thread(_psql_rows_per_second, dsn, rows)
    return {
        "rows": rows,
        "rows_per_second": ours,
        "psql_rows_per_second": psql,
        "share_of_psql": ours / psql,
        "growth_mb": peak_mb - before_mb,
    }


def _psql_rows_per_second(dsn: str, rows: int) -> float:
    """Return how fast psql writes the same columns of the same rows."""
    began = time.monotonic()
    subprocess.run(["psql", "-X", "-q", "-d", dsn, "-c", _PSQL], check=True)
    return rows / (time.monotonic() - began)


async def _page(reader: Reader, query: Query, now: datetime) -> Found:
    return await page(
        reader,
        LARGEST,
        query,
        before=None,
        limit=LIMIT,
        budget_seconds=BUDGET_SECONDS,
        oldest=now - timedelta(days=DAYS + 1),
    )


async def _timed(ask: Callable[[], Awaitable[Any]]) -> float:
    """Return how many milliseconds it takes."""
    began = time.perf_counter()
    await ask()
    return (time.perf_counter() - began) * 1e3


def _percentiles(took: list[float]) -> Figures:
    ordered = sorted(took)
    return {"p50": median(ordered), "p99": ordered[math.ceil(len(ordered) * 0.99) - 1]}
