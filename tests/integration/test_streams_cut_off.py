"""Answers that an outage breaks off: how they end, and what of it is logged."""

import asyncio
import logging
import re

import httpx
import psycopg
import pytest

from tests.acceptance.site import OLIVIA, stored
from tests.integration.serving import Place
from tests.integration.store import an_entry, query, until

WAITS = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
WAITING, ENDED = f"SELECT count(*) > 0 {WAITS}", f"SELECT pg_terminate_backend(pid) {WAITS}"
CUT_OFF = re.compile(r"hub_audit_tails_cut_off_total (\d+)\.0")


@pytest.fixture
def bugs(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Give what the server logs, of which a traceback is a bug."""
    caplog.set_level(logging.INFO, logger="uvicorn.error")  # a command may have made it quiet
    return caplog


async def broken_off(place: Place, client: httpx.AsyncClient, path: str, table: str) -> bytes:
    """Read an answer whose session is ended while it waits for a table; return what came."""
    headers = {"Authorization": f"Bearer {place.issuer.token(OLIVIA)}"}
    came = b""
    with psycopg.connect(place.dsn) as holder:
        holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(30), client.stream("GET", path, headers=headers) as answer:
            assert answer.status_code == 200
            await until(place.dsn, WAITING)
            query(place.dsn, ENDED)
            async for chunk in answer.aiter_bytes():
                came += chunk
    return came


async def test_live_tail_ends_with_the_database_and_no_bug_is_logged(
    place: Place, bugs: pytest.LogCaptureFixture
) -> None:
    """A client comes back by itself; how many were cut off is counted."""
    async with place.browser() as client:
        before = CUT_OFF.findall((await client.get("/metrics")).text)
        for path in ("/v1/tail?after=0", "/log/live?q=&after=0"):
            assert b"retry: 2000" in await broken_off(place, client, path, "org_heads")
        after = CUT_OFF.findall((await client.get("/metrics")).text)
    assert int(after[0]) == int(before[0]) + 2
    assert not [record for record in bugs.records if record.exc_info]


async def test_export_that_is_cut_off_looks_like_it_and_no_bug_is_logged(
    place: Place, bugs: pytest.LogCaptureFixture
) -> None:
    """Whoever reads it is told by the connection, operators by one line."""
    stored(place.dsn, [an_entry("acme", "e1")])
    async with place.browser() as client:
        for path in ("/v1/audit-entries.csv", "/v1/audit-entries.ndjson"):
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                await broken_off(place, client, path, "audit_entries")
    assert not [record for record in bugs.records if record.exc_info]
    assert [record.message for record in bugs.records].count("export_cut_off") == 2


async def test_stream_that_a_bug_ends_looks_like_it(
    place: Place, bugs: pytest.LogCaptureFixture
) -> None:
    """It is no less incomplete; and of a bug it is said where it is."""
    query(place.dsn, "ALTER TABLE audit_entries RENAME TO gone")
    headers = {"Authorization": f"Bearer {place.issuer.token(OLIVIA)}"}
    async with place.browser() as client:
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            await client.get("/v1/audit-entries.csv", headers=headers)
    assert "UndefinedTable" in "".join(record.exc_text or "" for record in bugs.records)
