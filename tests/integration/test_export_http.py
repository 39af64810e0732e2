"""Downloads: what was filtered, for those who may, with the proof that nothing is missing."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_hex
from urllib.parse import urlencode

import httpx
import psycopg
import pytest

from processor.demo.issuer import Person
from tests.acceptance.site import AUDREY, GUS, MIA, OLIVIA, Site, site, stored
from tests.integration import bus
from tests.integration.store import NOW, an_entry, until

pytestmark = pytest.mark.timeout(90)

CSV, NDJSON = "/v1/audit-entries.csv", "/v1/audit-entries.ndjson"
ENTRIES = 7
MANIFEST = "/v1/exports/manifest?" + urlencode(
    {"at": NOW.isoformat(), "through_seq": ENTRIES, "filter": "created:7d"}
)
WAITING = (
    "SELECT count(*) {} 0 FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.fixture
def served(kafka: str, postgres_dsn: str) -> Iterator[Site]:
    """Give a server with some entries of Olivia's organization, and of another one."""
    entries = [an_entry(OLIVIA.org_id, f"e{n}", at=NOW - timedelta(days=n)) for n in range(ENTRIES)]
    stored(postgres_dsn, [*entries, an_entry("other", "e1")])
    with site(kafka, postgres_dsn, f"ops{token_hex(4)}.") as running:
        yield running


def browser(served: Site, person: Person = OLIVIA) -> httpx.Client:
    """Return somebody's client."""
    headers = {"Authorization": f"Bearer {served.token(person)}"}
    return httpx.Client(base_url=served.url, headers=headers, timeout=30)


def manifest_of(client: httpx.Client, answer: httpx.Response) -> httpx.Response:
    """Return the manifest that a download names."""
    address = re.match("<([^>]+)>", answer.headers["link"])
    assert address
    return client.get(address.group(1))


def test_download_is_what_its_manifest_says(served: Site) -> None:
    """Rows and SHA-256 are those of the whole file, packed or not; a cut-off one has another."""
    with browser(served) as client:
        for path in (CSV, f"{CSV}?columns=all", NDJSON, f"{CSV}?filter=created:2d"):
            plain = client.get(path, headers={"Accept-Encoding": "identity"})
            packed = client.get(path, headers={"Accept-Encoding": "gzip"})
            answer = manifest_of(client, plain)
            assert answer.headers["content-type"] == "application/json"
            assert answer.content.startswith(b"\n")  # something comes before all is worked out
            proof = answer.json()
            assert "content-encoding" not in plain.headers
            assert packed.headers["content-encoding"] == "gzip"
            assert packed.content == plain.content
            header = 0 if path == NDJSON else 1
            assert proof["rows"] == plain.content.count(b"\n") - header > 0
            assert proof["sha256"] == sha256(plain.content).hexdigest()
            assert proof["sha256"] != sha256(plain.content[:-1]).hexdigest()
            assert proof["last_seq"] <= proof["through_seq"] == ENTRIES


def test_download_holds_the_own_organizations_entries_alone(served: Site) -> None:
    """It is named after the organization, has the six columns, and is told to its log."""
    with browser(served, AUDREY) as client:
        answer = client.get(CSV)
    assert answer.text.splitlines()[0] == (
        "timestamp,actor email,action,target type,target ID,IP address"
    )
    assert answer.text.count("\r\n") == ENTRIES + 1
    assert f"hub-audit-{OLIVIA.org_id}-" in answer.headers["content-disposition"]
    assert answer.headers["cache-control"] == "no-store"
    (record,) = bus.read(served.bootstrap, [f"{served.prefix}raw.audit"])
    assert bus.headers_of(record)["ce_type"] == b"audit.exported.v1"


def test_refusals_are_problems_and_no_broken_files(served: Site) -> None:
    """Who may not export, does not say who they are, or asks what makes no sense, is told why."""
    manifest = "/v1/exports/manifest?at=2020-01-01&through_seq=1"
    with browser(served) as client, browser(served, MIA) as member:
        for path in (CSV, NDJSON, manifest):
            assert member.get(path).json()["code"] == "permission_missing"
            assert httpx.get(served.url + path).json()["code"] == "token_missing"
        wrong = client.get(CSV, params={"filter": "action:user.creatd"})
        past = {"at": (NOW - timedelta(days=2)).isoformat(), "through_seq": "1"}
        asked = [{"filter": "created:2020-01-01"}, {"at": "0001-01-01"}, {"at": "2999-01-01"}]
        old, never, unborn = [
            client.get("/v1/exports/manifest", params=past | each) for each in asked
        ]
    assert (wrong.status_code, wrong.json()["column"]) == (400, 8)
    assert [each.status_code for each in (old, never, unborn)] == [400] * 3
    assert "export again" in old.json()["detail"]
    assert "in the future" in unborn.json()["detail"]


def test_file_can_be_checked_after_its_oldest_days_are_purged(
    served: Site, kafka: str, postgres_dsn: str
) -> None:
    """As they stand at its end, the beginning is proved; of the last days none can be purged."""
    with browser(served) as client:
        files = {path: client.get(path) for path in (CSV, NDJSON)}
        whole = manifest_of(client, files[CSV]).json()
    assert (whole["bytes"], whole["purged_before"]) == (len(files[CSV].content), None)
    yesterday = {"at": (NOW - timedelta(days=1)).isoformat(), "through_seq": str(ENTRIES)}
    prefix = f"ops{token_hex(4)}."
    with (
        site(kafka, postgres_dsn, prefix, HUB_AUDIT_RETENTION_DAYS="3") as later,
        browser(later) as client,
    ):
        for path, file in files.items():
            asked = yesterday | {"form": path.rpartition(".")[2]}
            proof = client.get("/v1/exports/manifest", params=asked).json()
            kept = datetime.fromisoformat(proof["purged_before"])
            assert proof["rows"] == sum(NOW - timedelta(days=n) >= kept for n in range(ENTRIES))
            beginning = file.content[: proof["bytes"]]
            assert len(file.content) > len(beginning)
            assert proof["sha256"] == sha256(beginning).hexdigest()
        recent = client.get("/v1/exports/manifest", params=yesterday | {"filter": "created:1d"})
    assert recent.json()["purged_before"] is None


@pytest.mark.parametrize("path", [CSV, MANIFEST], ids=["download", "manifest"])
async def test_a_client_that_goes_away_takes_its_query_along(
    served: Site, postgres_dsn: str, path: str
) -> None:
    """The database works no longer for a download that nobody reads any more, or its manifest."""
    with psycopg.connect(postgres_dsn) as holder:
        holder.execute("LOCK TABLE audit_entries IN ACCESS EXCLUSIVE MODE")
        with browser(served) as client, client.stream("GET", path) as answer:
            assert answer.status_code == 200
            await until(postgres_dsn, WAITING.format(">"))
        await until(postgres_dsn, WAITING.format("="))


async def test_one_organizations_exports_do_not_keep_the_others_out(
    served: Site, postgres_dsn: str
) -> None:
    """A fifth export at once is refused, to that organization alone, until one of four ends."""
    with psycopg.connect(postgres_dsn) as holder, browser(served) as client:
        holder.execute("LOCK TABLE audit_entries IN ACCESS EXCLUSIVE MODE")
        with ExitStack() as running:
            for _ in range(4):
                running.enter_context(client.stream("GET", CSV))
            await until(postgres_dsn, WAITING.format(">"))
            refused = client.get(CSV)
            with browser(served, GUS) as other, other.stream("GET", CSV) as answer:
                assert answer.status_code == 200
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert "4 exports of your organization" in refused.json()["detail"]
        assert refused.headers["retry-after"] == "10"
        await until(postgres_dsn, WAITING.format("="))
        holder.rollback()
        assert client.get(CSV).status_code == 200
