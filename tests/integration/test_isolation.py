"""Fifty organizations on one server: nobody gets a byte of anybody else's log."""

import secrets
from collections.abc import Iterator

import httpx
import orjson
import pytest

from processor.demo.issuer import Person
from tests.acceptance.site import Site, site, stored
from tests.conftest import database, dsn_of
from tests.integration.store import an_entry

pytestmark = pytest.mark.timeout(120)

NO_YEAR = "since=9999-12-31T20:00:00-12:00&until=9999-12-31T23:00:00-12:00&bars=1"
"""Of the year 10000 in UTC."""

ORGANIZATIONS = [f"org-{number:02d}" for number in range(50)]


def owner(org_id: str) -> Person:
    """Return an Owner of an organization."""
    return Person(f"usr-{org_id}", "Owner", f"owner@{org_id}.example", org_id, "Owner")


def mark(org_id: str) -> str:
    """Return a text that stands in every entry of an organization and nowhere else."""
    return f"secret-of-{org_id}"


def email(org_id: str) -> str:
    """Return an address with the organization's mark."""
    return f"{mark(org_id)}@x.example"


@pytest.fixture(scope="module")
def crowded(kafka: str, postgres_admin_dsn: str, postgres_template: str) -> Iterator[Site]:
    """Give a site of fifty organizations with three entries each."""
    with database(postgres_admin_dsn, template=postgres_template) as name:
        dsn = dsn_of(postgres_admin_dsn, name)
        stored(
            dsn,
            [
                an_entry(
                    org_id,
                    f"evt-{number}",
                    actor={
                        "type": "user",
                        "id": mark(org_id),
                        "email": f"{mark(org_id)}@x.example",
                    },
                    details={"extra": {"mark": mark(org_id)}},
                )
                for org_id in ORGANIZATIONS
                for number in range(3)
            ],
        )
        with site(kafka, dsn, f"crowd{secrets.token_hex(4)}.") as running:
            yield running


def asked(crowded: Site, org_id: str, path: str, **headers: str) -> httpx.Response:
    """Ask as an Owner of an organization."""
    token = crowded.token(owner(org_id))
    return httpx.get(
        crowded.url + path, headers={"Authorization": f"Bearer {token}", **headers}, timeout=30
    )


PATHS = (
    "/v1/audit-entries",
    "/v1/audit-entries?filter=category:audit",
    "/v1/audit-entries.csv?columns=all",
    "/v1/audit-entries.ndjson",
    "/v1/feed",
    "/v1/ranges",
    "/v1/facets",
    "/v1/histogram",
    "/log",
)


def test_everybody_sees_their_own_alone(crowded: Site) -> None:
    """Every way to read shows an organization its own three entries, and no mark of another."""
    for org_id in ORGANIZATIONS:
        for path in PATHS:
            answer = asked(crowded, org_id, path)
            assert answer.status_code == 200, (path, answer.text)
            foreign = [other for other in ORGANIZATIONS if other != org_id]
            assert not [other for other in foreign if mark(other) in answer.text], path
    entries = orjson.loads(asked(crowded, "org-07", "/v1/audit-entries").content)["entries"]
    assert len(entries) == 3
    assert all(mark("org-07") in orjson.dumps(entry).decode() for entry in entries)


def test_foreign_ids_cursors_and_names_open_nothing(crowded: Site) -> None:
    """Another's id, cursor or name, in path, query or header, is as good as one that is not."""
    theirs = orjson.loads(asked(crowded, "org-01", "/v1/audit-entries?limit=1").content)
    entry_id, cursor = theirs["entries"][0]["entry_id"], theirs["next"]
    attempts = {
        f"/v1/audit-entries/{entry_id}": 404,
        f"/log/{entry_id}": 404,
        f"/v1/audit-entries?cursor={cursor}": 400,
        f"/v1/audit-entries?filter=id:{entry_id}": 200,
        f"/v1/audit-entries?filter={mark('org-01')}": 200,
        f"/v1/audit-entries.csv?filter=actor:{mark('org-01')}": 200,
        f"/v1/facets?filter=actor:{mark('org-01')}": 200,
        "/v1/audit-entries?org_id=org-01": 400,
        "/v1/feed?org_id=org-01": 400,
    }
    for path, status in attempts.items():
        answer = asked(crowded, "org-02", path, **{"X-Org-Id": "org-01", "X-Hub-Org": "org-01"})
        assert answer.status_code == status, (path, answer.text)
        if mark("org-01") not in path:
            assert mark("org-01") not in answer.text, path
        else:
            said = answer.text.replace(path.rpartition("=")[2], "")
            assert email("org-01") not in said, path


def test_cursor_belongs_to_its_filter(crowded: Site) -> None:
    """A cursor goes on with the search that it came from, and with no other."""
    first = orjson.loads(asked(crowded, "org-03", "/v1/audit-entries?limit=2").content)
    cursor = first["next"]
    rest = orjson.loads(asked(crowded, "org-03", f"/v1/audit-entries?cursor={cursor}").content)
    assert len(rest["entries"]) == 1
    ids = [entry["entry_id"] for page in (first, rest) for entry in page["entries"]]
    assert len(set(ids)) == 3
    other = asked(crowded, "org-03", f"/v1/audit-entries?filter=outcome:success&cursor={cursor}")
    assert (other.status_code, other.json()["code"]) == (400, "cursor_invalid")
    for broken in (cursor[:-1], cursor[::-1], "A" * len(cursor), "%00", "é"):
        answer = asked(crowded, "org-03", f"/v1/audit-entries?cursor={broken}")
        assert answer.status_code == 400, broken


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/audit-entries?filter=actoin:x", 400, "filter_invalid"),
        ("/v1/audit-entries?filter=" + "x" * 2_001, 400, "request_invalid"),
        ("/v1/audit-entries?limit=0", 400, "request_invalid"),
        ("/v1/audit-entries?limit=10001", 400, "request_invalid"),
        ("/v1/audit-entries/no-uuid", 400, "request_invalid"),
        ("/v1/audit-entries/00000000-0000-0000-0000-000000000000", 404, "not_found"),
        ("/v1/audit-entries/ffffffff-ffff-ffff-ffff-ffffffffffff", 404, "not_found"),
        ("/v1/feed?after=-1", 400, "request_invalid"),
        ("/v1/feed?after=99999999999999999999", 400, "request_invalid"),
        ("/v1/histogram?since=2026-11-02&until=2026-11-01", 400, "request_invalid"),
        (f"/v1/histogram?{NO_YEAR}", 400, "request_invalid"),
        ("/v1/histogram?since=9999-12-31T22:00:00Z&until=9999-12-31T23:59:59Z", 200, None),
        ("/v1/audit-entries?filter=id:e677d21f-dbff-8000-8000-000000000000", 200, None),
        ("/v1/audit-entries/e677d21f-dbff-8000-8000-000000000000", 404, "not_found"),
        ("/v1/histogram?since=0001-01-01T00:00:00&until=9999-12-31T23:59:59", 200, None),
        ("/v1/audit-entries?filter=created:0001-01-01..9999-12-30", 200, None),
        ("/v1/audit-entries?filter=%00", 400, "filter_invalid"),
        ("/v1/audit-entries?filter=%25%27%22%5C_", 400, "filter_invalid"),
        ("/v1/audit-entries?filter=seq:9223372036854775807..", 200, None),
        ("/v1/nothing", 404, "not_found"),
        ("/schemas/../../etc/passwd", 404, "not_found"),
        ("/schemas/nothing", 404, "not_found"),
    ],
)
def test_hostile_requests_get_a_stable_code(
    crowded: Site, path: str, status: int, code: str | None
) -> None:
    """Whatever is asked, the answer is a page of entries or a problem with a code and a fix."""
    answer = asked(crowded, "org-04", path)
    assert answer.status_code == status, answer.text
    if code is not None:
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["code"] == code
        assert problem["status"] == status
        assert problem["fix"]
        assert "Traceback" not in answer.text


def test_who_is_not_logged_in_gets_nothing(crowded: Site) -> None:
    """Without a token every way to read answers 401 and how to come in."""
    for path in PATHS[:-1]:
        answer = httpx.get(crowded.url + path)
        assert (answer.status_code, answer.json()["code"]) == (401, "token_missing"), path
        assert answer.headers["www-authenticate"] == "Bearer"


def test_nothing_of_a_log_stays_in_a_cache(crowded: Site) -> None:
    """No answer may be kept, be it a page, a problem or a file; what is ours alone is looked up."""
    for path in (*PATHS, "/log/no-uuid", "/v1/audit-entries?limit=0", "/v1/catalogue", "/tokens"):
        answer = asked(crowded, "org-05", path)
        assert answer.headers["cache-control"] == "no-store", path
        assert answer.headers["x-content-type-options"] == "nosniff", path
    static = httpx.get(f"{crowded.url}/static/app.css")
    assert (static.headers["cache-control"], bool(static.headers["etag"])) == ("no-cache", True)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/log?q=" + "x" * 10_000, 400, "q: 2,000 characters at most"),
        ("/log/no-uuid", 400, "cannot be understood"),
        ("/log?q=created:7d&cursor=forged", 400, "cursor does not fit"),
        ("/nowhere", 404, "Not found"),
        ("/defend?since=0001-01-01T00:00:00%2B12:00", 400, "years 1 to 9999"),
    ],
)
def test_people_are_answered_by_a_page(crowded: Site, path: str, status: int, said: str) -> None:
    """What a browser asks wrongly is answered in words, by a page that leads back to the log."""
    answer = asked(crowded, "org-06", path, Accept="text/html,*/*")
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert said in answer.text
    assert 'href="/log"' in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.test/", "//evil.test", "/\\evil.test", "/\t/evil.test", "javascript:alert(1)"],
)
def test_login_leads_to_no_other_site(crowded: Site, wanted: str) -> None:
    """Where to go after a login is an address of ours, whatever the link says."""
    answer = httpx.get(f"{crowded.url}/login", params={"next": wanted})
    (flow,) = answer.cookies.values()
    assert flow.strip('"').rpartition("|")[2] == "%2F"
