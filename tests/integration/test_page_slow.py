"""Searches that take long: whom they keep waiting, and what of them is shown all the same."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from secrets import token_hex

import httpx
import pytest

from processor.demo.issuer import Person
from tests.acceptance.site import GUS, OLIVIA, Site, site, stored
from tests.integration.store import NOW, an_entry, query, rendered, until

pytestmark = pytest.mark.timeout(120)

ENTRIES = 150
AT = NOW - timedelta(hours=13)
PROBE_SECONDS = 3.0
"""How long Kubernetes waits for an answer: ``deploy/kubernetes``."""

SLOW = """CREATE OR REPLACE FUNCTION entry_search_text(e audit_entries) RETURNS SETOF text
LANGUAGE sql VOLATILE ROWS 1 AS $$
    SELECT e.action || CASE WHEN e.org_id <> 'globex' THEN pg_sleep(0.02)::text ELSE '' END
$$"""
ASLEEP = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event = 'PgSleep'"
)
INITECH = "initech"
UNFOUND = "raw_sha256"
"""Stands in every row as it is stored, and in no text: what looks for it looks into all texts."""

TWO_LOOK, FOUR_LOOK = f"SELECT ({ASLEEP}) >= 2", f"SELECT ({ASLEEP}) >= 4"
SIX_SEARCH = f"SELECT ({ASLEEP}) >= 6"


@pytest.fixture
def served(kafka: str, postgres_dsn: str) -> Iterator[Site]:
    """Give a server with many entries of one second, in whose text to look takes its time."""
    orgs = (OLIVIA.org_id, INITECH)
    stored(postgres_dsn, [an_entry(org, f"e{n}", at=AT) for org in orgs for n in range(ENTRIES)])
    query(postgres_dsn, SLOW)
    prefix = f"ops{token_hex(4)}."
    with site(kafka, postgres_dsn, prefix, HUB_AUDIT_SERVE_SEARCH_SECONDS="4.0") as running:
        yield running


def browser(served: Site, person: Person = OLIVIA, **claims: str) -> httpx.AsyncClient:
    """Return somebody's client; of another organization, where the claims say so."""
    headers = {"Authorization": f"Bearer {served.issuer.token(person, **claims)}"}
    return httpx.AsyncClient(base_url=served.url, headers=headers, timeout=60)


async def test_one_organizations_slow_searches_do_not_keep_the_others_out(served: Site) -> None:
    """A few of them run at once, the rest are told so; others are served, and so is the probe."""
    async with browser(served) as olivia, browser(served, GUS) as gus:
        searching = [
            asyncio.create_task(olivia.get("/log", params={"q": f"created:2d {UNFOUND}"}))
            for _ in range(12)
        ]
        await until(served.dsn, SIX_SEARCH)
        for path in ("/readyz", "/v1/audit-entries"):
            assert (await gus.get(path, timeout=PROBE_SECONDS)).status_code == 200
        answers = await asyncio.gather(*searching)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert "2 searches of your organization are running already" in refused[0].text
    assert "Try again" in refused[0].text
    assert refused[0].headers["retry-after"] == "5"


async def test_one_organizations_live_tails_do_not_keep_the_others_out(served: Site) -> None:
    """Who follows from far back looks as often as it searches: two looks are made at once."""
    async with browser(served) as olivia, browser(served, GUS) as gus, AsyncExitStack() as followed:
        asked = {"filter": UNFOUND, "after": "0"}
        for _ in range(12):
            following = olivia.stream("GET", "/v1/tail", params=asked)
            assert (await followed.enter_async_context(following)).status_code == 200
        await until(served.dsn, TWO_LOOK)
        for path in ("/readyz", "/v1/audit-entries"):
            assert (await gus.get(path, timeout=PROBE_SECONDS)).status_code == 200
        assert query(served.dsn, ASLEEP)[0][0] <= 2


async def test_exports_leave_half_of_the_connections_to_the_others(served: Site) -> None:
    """However many organizations export: the exports take turns, and nobody else waits for them."""
    async with (
        browser(served) as olivia,
        browser(served, org_id=INITECH) as bill,
        browser(served, GUS) as gus,
        AsyncExitStack() as running,
    ):
        for client in (olivia, bill) * 4:
            export = client.stream("GET", "/v1/audit-entries.csv", params={"filter": UNFOUND})
            assert (await running.enter_async_context(export)).status_code == 200
        await until(served.dsn, FOUR_LOOK)
        assert (await gus.get("/v1/audit-entries", timeout=PROBE_SECONDS)).status_code == 200
        assert query(served.dsn, ASLEEP)[0][0] <= 4


async def test_cursor_that_does_not_fit_leaves_no_search_behind(served: Site) -> None:
    """However often somebody comes with one: nothing is searched for that nobody waits for."""
    asked = {"q": f"created:2d {UNFOUND}", "cursor": "none"}
    async with browser(served) as client:
        answers = [await client.get("/log", params=asked) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {400}
    assert query(served.dsn, ASLEEP) == [(0,)]


async def test_counts_that_take_too_long_take_no_page_away(served: Site) -> None:
    """What was found is shown, and of the counts it is said that there was no time for them."""
    asked = {"q": f"created:{rendered(AT - timedelta(hours=1))}..{rendered(AT)} login"}
    async with browser(served) as client:
        answer = await client.get("/log", params=asked)
    assert answer.status_code == 200
    assert answer.text.count('<tr id="e-') == 50
    assert re.search(r"0 entries since [^<]+Z: counting took too long", answer.text)


async def test_condition_that_takes_too_long_to_do_without_is_none_to_blame(served: Site) -> None:
    """Where nothing matches, the page does not fail over what is only offered besides."""
    period = f"created:{rendered(AT - timedelta(hours=1))}..{rendered(AT)}"
    async with browser(served) as client:
        answer = await client.get("/log", params={"q": f"{period} outcome:failure {UNFOUND}"})
    assert answer.status_code == 200
    assert "Nothing here yet" in answer.text


async def test_large_pages_are_few_at_a_time(served: Site) -> None:
    """Of five at once four are given, each when it is its turn; a smaller one needs no place."""
    asked = {"filter": f"created:2d {UNFOUND}", "limit": "1001"}
    async with browser(served) as client:
        pages = [client.get("/v1/audit-entries", params=asked) for _ in range(5)]
        answers = await asyncio.gather(*pages, client.get("/v1/feed?limit=1000"))
    refused = [answer.json()["detail"] for answer in answers if answer.status_code == 429]
    assert refused == ["4 large pages of your organization are running already"]
    assert answers[-1].status_code == 200
