"""The pages without a browser: what they show of what lacks a lot, and what they answer then."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from html import unescape
from re import findall
from secrets import token_hex
from uuid import UUID

import httpx
import orjson
import psycopg
import pytest

from processor.api.access import COOKIE
from processor.api.cursor import Cursors
from processor.api.defend_page import ROWS
from processor.defend.detector import Observation
from processor.defend.records import of_telemetry
from processor.demo.issuer import Person
from processor.store import findings
from processor.store.findings import NewFinding
from processor.store.maintenance import alone, maintenance
from processor.store.pool import FORWARDER
from processor.store.seal import seal
from processor.store.search import Key
from schemas.entry import Entry
from tests.acceptance.site import GUS, OLIVIA, Site, site, stored
from tests.conftest import database, dsn_of
from tests.integration.store import NOW, an_entry, milliseconds, opened, rendered, settings_at

pytestmark = pytest.mark.timeout(90)

ORG = OLIVIA.org_id
ADDRESS_AS_SENT = "unknown, 10.0.0.1"
AT_MS = milliseconds(NOW)
SECRET = "the cursors of this module's server"


@pytest.fixture(scope="module")
def served(kafka: str, postgres_admin_dsn: str, postgres_template: str) -> Iterator[Site]:
    """Give a server with two entries, the first without any address, the second with half a one."""
    with database(postgres_admin_dsn, template=postgres_template) as name:
        dsn = dsn_of(postgres_admin_dsn, name)
        stored(dsn, [without_address("none"), without_address("raw", ip_raw=ADDRESS_AS_SENT)])
        prefix = f"ops{token_hex(4)}."
        settings = {
            "HUB_AUDIT_SERVE_SEARCH_SECONDS": "1.0",
            "HUB_AUDIT_SERVE_CURSOR_SECRET": SECRET,
        }
        with site(kafka, dsn, prefix, **settings) as running:
            yield running


def without_address(event_id: str, **fields: str) -> Entry:
    """Return an entry of Olivia's organization without ``ip``."""
    entry = an_entry(ORG, event_id, at=NOW - timedelta(minutes=1), **fields)
    del entry["ip"]
    return entry


@contextmanager
def browser(served: Site, person: Person = OLIVIA, **claims: str) -> Iterator[httpx.Client]:
    """Give somebody's browser, of another organization too; it follows no redirect by itself."""
    cookies = {COOKIE: served.issuer.token(person, **claims)}
    accepted = {"Accept": "text/html,*/*;q=0.8"}
    with httpx.Client(base_url=served.url, cookies=cookies, headers=accepted, timeout=30) as client:
        yield client


def a_finding(number: int, seqs: list[int]) -> NewFinding:
    """Return a finding of failed logins that rests on entries."""
    return NewFinding(
        finding_id=str(UUID(int=number)), org_id=ORG, rule="brute_force", severity="low",
        subject_type="account", subject="ada@acme.example", hour_ms=AT_MS - AT_MS % 3_600_000,
        first_ms=AT_MS - 120_000, last_ms=AT_MS, actors=[], addresses=[], seqs=seqs, alerts=[],
    )  # fmt: skip


def test_entries_without_an_address_are_rows(served: Site) -> None:
    """The page shows them, and the address as it was sent where it was none."""
    with browser(served) as client:
        answer = client.get("/log")
    assert answer.status_code == 200
    assert answer.text.count('<tr id="e-') == 2
    assert f"<td>{ADDRESS_AS_SENT}</td>" in answer.text


def test_entries_without_an_address_are_followed(served: Site) -> None:
    """As rows they come as they happen, too."""
    live = {"q": "", "after": "0"}
    with browser(served) as client, client.stream("GET", "/log/live", params=live) as answer:
        text = ""
        for chunk in answer.iter_text():
            text += chunk
            if text.count("data: <tr") == 2:
                break
    assert f"data:   <td>{ADDRESS_AS_SENT}</td>" in text


async def test_finding_rests_on_entries_without_an_address(served: Site) -> None:
    """They are evidence like any other."""
    async with opened(served.dsn, role=FORWARDER) as db:
        await findings.keep(db, [a_finding(1, [1, 2])])
    with browser(served) as client:
        answer = client.get(f"/defend/{UUID(int=1)}")
    assert answer.status_code == 200
    assert answer.text.count('<tr id="e-') == 2
    assert f"<td>{ADDRESS_AS_SENT}</td>" in answer.text


async def test_finding_rests_on_a_report_of_required_members_alone(served: Site) -> None:
    """An endpoint that says only what it must is shown by its id."""
    report = {
        "id": "bare", "time": rendered(NOW), "orgid": ORG, "host": {"id": "h-bare"},
        "process": {"name": "bare.exe"}, "verdict": "malicious",
    }  # fmt: skip
    told = of_telemetry(orjson.dumps(report), AT_MS)
    assert isinstance(told, Observation)
    assert told.alert is not None
    async with opened(served.dsn, role=FORWARDER) as db:
        await findings.keep_alerts(db, [told.alert])
        await findings.keep(db, [a_finding(2, [])._replace(alerts=["bare"])])
    with browser(served) as client:
        answer = client.get(f"/defend/{UUID(int=2)}")
    assert answer.status_code == 200
    assert "<td>h-bare</td><td></td><td>bare.exe</td>" in answer.text


async def test_findings_turn_no_text_around(served: Site) -> None:
    """What attackers call themselves is shown as in the log, on the dashboard and beside it."""
    name, shown = "ad\u202emin\u200b@evil", "ad\ufffdmin\ufffd@evil"
    hostile = a_finding(33, [1])._replace(rule="impossible_travel", subject=name, actors=[name])
    async with opened(served.dsn, role=FORWARDER) as db:
        await findings.keep(db, [hostile])
        await findings.acknowledge(db, ORG, UUID(int=33), name)
    with browser(served) as client:
        for path in ("/defend?status=all&rule=impossible_travel", f"/defend/{UUID(int=33)}"):
            text = unescape(client.get(path).text)
            assert text.count(shown) == 3, path
            assert name not in text, path


async def test_more_findings_than_fit_on_a_page_go_on(served: Site) -> None:
    """Behind the first page is another one, of every status too."""
    async with opened(served.dsn, role=FORWARDER) as db:
        await findings.keep(
            db, [a_finding(1_000 + n, [1])._replace(rule="password_spray") for n in range(ROWS + 1)]
        )
    with browser(served) as client:
        first = client.get("/defend?status=all&rule=password_spray").text
        (older,) = findall(r'rel="next" href="([^"]+)"', first)
        answer = client.get(unescape(older))
    assert answer.status_code == 200
    shown = [findall(r'<h2><a href="([^"]+)"', text) for text in (first, answer.text)]
    assert [len(addresses) for addresses in shown] == [ROWS, 1]


async def test_another_site_takes_no_note_of_a_finding(served: Site) -> None:
    """A browser's cookie counts only for what our own page sends."""
    async with opened(served.dsn, role=FORWARDER) as db:
        await findings.keep(db, [a_finding(3, [1])])
    path = f"/v1/findings/{UUID(int=3)}/acknowledge"
    with browser(served) as client:
        for headers in (
            {},
            {"Origin": "https://evil.example"},
            {"Referer": "https://evil.example"},
        ):
            refused = client.post(path, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "csrf")
        noted = client.post(path, headers={"Origin": served.url})
    assert noted.json()["status"] == "acknowledged"


async def test_note_is_taken_of_what_the_page_showed(served: Site) -> None:
    """A finding that grew while somebody read its page stays open; so it does over the API."""
    path, headers = f"/defend/{UUID(int=4)}", {"Origin": served.url}
    async with opened(served.dsn, role=FORWARDER) as db:
        await findings.keep(db, [a_finding(4, [1])])
        with browser(served) as client:
            (seen,) = findall(r'name="seen" value="(\d+)"', client.get(path).text)
            await findings.keep(db, [a_finding(4, [1, 2])])
            noted = client.post(f"{path}/acknowledge", data={"seen": seen}, headers=headers)
            assert noted.headers["location"] == path
            assert "it has grown since" in client.get(path).text
            address = f"/v1/findings/{UUID(int=4)}/acknowledge"
            for evidence, status in ((1, "open"), (2, "acknowledged")):
                answer = client.post(address, params={"evidence": evidence}, headers=headers)
                assert answer.json()["status"] == status


def test_log_without_a_recent_entry_leads_to_all_that_is_kept(served: Site) -> None:
    """Where the usual period is to blame, the page says so, and its links lead out of it."""
    stored(served.dsn, [an_entry(GUS.org_id, "old", at=NOW - timedelta(days=20))])
    with browser(served, GUS) as client:
        text = client.get("/log").text
        assert "Nothing in this period" in text
        ways = findall(r'<a href="([^"]+)">search all 90 days, not only <code>created:7d', text)
        ways += findall(r'<a href="([^"]+)" aria-label="Remove created:7d"', text)
        assert len(ways) == 2
        for way in ways:
            found = client.get(unescape(way)).text
            assert found.count('<tr id="e-') == 1
            assert "<code>created:90d</code></li>" in found  # nothing is left to be taken away


def test_link_to_an_old_entry_leads_on_to_it_again(served: Site) -> None:
    """Who comes by one that names no search goes on among all that is kept, not the last days."""
    old = an_entry("initech", "old", at=NOW - timedelta(days=20))
    stored(served.dsn, [old])
    with browser(served, org_id="initech") as client:
        text = client.get(f"/log/{old['entry_id']}").text
        ways = findall(r'<a class="only" href="([^"]+)"', text)
        assert len(ways) > 3
        for way in ways:
            assert f'<tr id="e-{old["entry_id"]}"' in client.get(unescape(way)).text


def test_counts_that_may_be_higher_say_so(served: Site) -> None:
    """Of 200 addresses in a day, and of however many more, none has an exact count."""
    ips = (f"10.0.0.{n}" for n in range(200))
    stored(served.dsn, [an_entry("hooli", ip, at=NOW - timedelta(hours=1), ip=ip) for ip in ips])
    with browser(served, org_id="hooli") as client:
        assert client.get("/v1/facets").json()["at_least"] == ["ip"]
        counts = findall(r'<span class="count">([^<]+)', client.get("/log").text)
    assert set(counts) == {"200", "1+"}


def test_what_is_ahead_of_now_is_counted(served: Site) -> None:
    """Clocks differ: the page counts what it lists, and so does the API unless an end is given."""
    stored(served.dsn, [an_entry("initrode", "ahead", at=NOW + timedelta(hours=2))])
    with browser(served, org_id="initrode") as client:
        text = client.get("/log").text
        sums = [
            sum(bar["count"] for bar in client.get("/v1/histogram", params=ends).json()["bars"])
            for ends in ({}, {"until": rendered(NOW + timedelta(hours=1))})
        ]
    assert text.count('<tr id="e-') == 1
    assert "<span>1 entry</span>" in text
    assert sums == [1, 0]


async def sealed(dsn: str, day: date) -> None:
    """Seal a day, so that it is counted by its summary."""
    async with maintenance(settings_at(dsn)) as store, alone(store) as session:
        assert session is not None
        await seal(session, day)


def test_counts_are_of_the_time_that_each_is_said_to_be_of(served: Site) -> None:
    """Facets that did not come all the way take nothing from the number of entries, which did."""
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = midnight - timedelta(days=1)
    stored(served.dsn, [an_entry("umbrella", f"e{at}", at=at) for at in (yesterday, midnight)])
    asyncio.run(sealed(served.dsn, yesterday.date()))
    # Bars of half an hour: these are not counted by the day's summary.
    period = f"created:{yesterday:%Y-%m-%d}..{midnight:%Y-%m-%d}T05:59Z"
    with psycopg.connect(served.dsn) as holder, browser(served, org_id="umbrella") as client:
        holder.execute("LOCK TABLE day_summaries IN ACCESS EXCLUSIVE MODE")
        text = client.get("/log", params={"q": period}).text
    assert "<span>2 entries</span>" in text
    assert f"Counted since {midnight:%Y-%m-%d %H:%M:%S}Z: it took too long" in text


def test_one_entry_is_said_in_the_singular(served: Site) -> None:
    """The caption of the chart says 1 entry, and 2 entries."""
    with browser(served) as client:
        for query, words in (("created:90d", "2 entries"), ("created:90d seq:1", "1 entry")):
            text = client.get("/log", params={"q": query}).text
            assert findall(r"<span>([^<]* entr[^<]*)", text) == [words]


def test_nothing_older_is_no_empty_log(served: Site) -> None:
    """Behind the last match the page says so, blames nothing, and leads back to the newest."""
    behind = Key(NOW - timedelta(days=3), UUID(int=0))
    cursor = Cursors(SECRET).made(ORG, "created:7d", behind)
    with browser(served) as client:
        text = client.get("/log", params={"q": "created:7d", "cursor": cursor}).text
        assert "<h2>Nothing older</h2>" in text
        assert "Nothing here yet" not in text
        assert "search all" not in text
        (newest,) = findall(r'<a href="([^"]+)">go to the newest', text)
        assert client.get(unescape(newest)).text.count('<tr id="e-') == 2


def test_range_beyond_retention_is_said_to_be(served: Site) -> None:
    """Also where it has no beginning, or is one of several."""
    with browser(served) as client:
        for period in ("2020-01-01..", "..2020-01-01", "2020-01-01,7d"):
            text = client.get("/log", params={"q": f"created:{period}"}).text
            assert "Entries are kept for 90 days" in text, period
        assert "Entries are kept" not in client.get("/log?q=created:7d,2d").text


def test_form_that_no_browser_sends_is_answered(served: Site) -> None:
    """A day with its time is taken, and what is none is an error with its place."""
    with browser(served) as client:
        sent = client.get("/log?q=&was=&since=2026-11-01+10:00")
        assert sent.headers["location"] == "/log?q=created%3A2026-11-01T10%3A00Z.."
        refused = client.get("/log?q=&was=&since=1+x")
    assert refused.status_code == 400
    assert "a time is 2026-11-30" in refused.text


def test_mistake_in_the_form_takes_nothing_of_it_away(served: Site) -> None:
    """What was typed stays, in the box and in open fields, and once put right it is asked for."""
    was = {"q": "category:roles created:30d", "was": "category:roles created:30d"}
    typed = {"actor": "ada", "since": "2026-11-30", "until": "2026-11-01", "action": "user.craeted"}
    with browser(served) as client:
        dates = client.get("/log", params=was | typed | {"action": ""}).text
        action = client.get("/log", params=was | typed | {"until": ""}).text
        box = client.get("/log", params=was | typed | {"q": 'actor:eve "'}).text
        form = dict(findall(r'name="(\w+)" (?:maxlength="\d+" )?value="([^"]*)"', dates))
        assert form == was | {"actor": "ada", "target": "", "text": "", "since": "2026-11-30",
                              "until": "2026-11-01"}  # fmt: skip
        right = client.get("/log", params=form | {"until": "2026-11-30"})
    assert right.headers["location"] == ("/log?q=category%3Aroles+created%3A2026-11-30+actor%3Aada")
    for text, heading, marked in (
        (dates, "This filter", ["since", "until"]),
        (action, "This filter", ["action"]),
        (box, "This query", ["q"]),
    ):
        assert '<details class="fields" open>' in text
        assert f"<h2>{heading} cannot be understood</h2>" in text
        assert findall(r'name="(\w+)"[^>]*aria-invalid', text) == marked
        assert 'value="ada"' in text
    assert "<option selected>user.craeted</option>" in action
    assert 'value="actor:eve &#34;"' in box


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nowhere", 404), ("/callback?state=x", 401), ("/views", 405), ("/log/abc", 400)],
)
def test_who_is_logged_in_is_so_where_something_goes_wrong(
    served: Site, path: str, status: int
) -> None:
    """The head of the page has their name and the way to all sections; a stranger's has neither."""
    with browser(served) as client:
        answer = client.get(path)
        client.cookies.clear()
        strange = client.get(path)
    assert [answer.status_code, strange.status_code] == [status] * 2
    for part in ("Olivia Owner", "Log out", "Service tokens"):
        assert part in answer.text
        assert part not in strange.text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/log/abc", "<p>an id is a UUID: 01a207d9-"),
        ("/views", "<p>There is nothing to be seen at this address: a form is sent to it.</p>"),
    ],
)
def test_what_goes_wrong_on_a_page_is_said_to_people(served: Site, path: str, said: str) -> None:
    """In their words, not in those of the API or of its frame."""
    with browser(served) as client:
        assert said in client.get(path).text


def test_query_too_long_to_be_linked_is_refused_at_once(served: Site) -> None:
    """Its next page, its export and its view would be refused, in other words than these."""
    with browser(served) as client:
        longest = client.get("/log", params={"q": "x" * 1_989})
        refused = client.get("/log", params={"q": "x" * 1_990})
        merged = client.get("/log", params={"q": "x" * 1_980, "was": "", "actor": "ada"})
    assert [each.status_code for each in (longest, refused, merged)] == [200, 400, 400]
    for each in (refused, merged):
        assert "when it is written out, with its quotes and its period" in each.text


def test_search_that_is_too_slow_offers_to_narrow_it(served: Site) -> None:
    """Who looks for too much is told so, not that the log is away, and how to look for less."""
    with psycopg.connect(served.dsn) as holder, browser(served) as client:
        holder.execute("LOCK TABLE audit_entries IN ACCESS EXCLUSIVE MODE")
        answer = client.get("/log?q=created:30d")
    assert answer.status_code == 503
    assert "search_too_slow" in answer.text
    assert findall(r">(\w+)</a>", answer.text.partition("Narrow it to the last")[2])[:2] == [
        "1h", "24h",
    ]  # fmt: skip
