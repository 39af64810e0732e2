"""Findings over HTTP, as a program reads and acknowledges them."""

from typing import Any

import httpx
import orjson
import pytest

from processor.demo.issuer import Person
from tests.acceptance.attacks import ABROAD
from tests.acceptance.site import AUDREY, GUS, MIA, OLIVIA, Site
from tests.integration import bus

pytestmark = pytest.mark.timeout(120)


def ask(site: Site, method: str, path: str, person: Person = OLIVIA) -> httpx.Response:
    """Send a request of somebody's."""
    headers = {"Authorization": f"Bearer {site.token(person)}"}
    return httpx.request(method, site.url + path, headers=headers)


def listed(site: Site, query: str = "", person: Person = OLIVIA) -> list[dict[str, Any]]:
    """Return the findings that are listed."""
    answer = ask(site, "GET", f"/v1/findings?{query}", person)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["findings"])


def test_findings_are_listed_and_paged(attacked: Site) -> None:
    """The latest first; a cursor leads through all of them, each once."""
    whole = listed(attacked)
    assert [each["rule"] for each in whole] == [
        "brute_force", "password_spray", "endpoint_alert", "grant_burst", "brief_access",
    ]  # fmt: skip
    paged, cursor = [], ""
    while True:
        answer = ask(attacked, "GET", f"/v1/findings?limit=2{cursor}").json()
        paged += answer["findings"]
        if answer["next"] is None:
            break
        cursor = f"&cursor={answer['next']}"
    assert paged == whole
    assert [each["rule"] for each in listed(attacked, "severity=critical")] == [
        "brute_force", "endpoint_alert",
    ]  # fmt: skip
    assert [each["subject"]["value"] for each in listed(attacked, "rule=password_spray")] == [
        "198.51.100.7"
    ]
    assert listed(attacked, person=GUS) == []
    stolen = ask(attacked, "GET", f"/v1/findings?limit=2{cursor}", GUS)
    assert stolen.json()["code"] == "cursor_invalid"


def test_one_finding_carries_its_evidence(attacked: Site) -> None:
    """A finding names its entries by number and its endpoint reports in full."""
    first = listed(attacked, "rule=brute_force")[0]
    one = ask(attacked, "GET", f"/v1/findings/{first['finding_id']}").json()
    assert one == first | {"reports": []}
    assert len(one["evidence"]["seqs"]) == 41
    assert one["addresses"] == [ABROAD]
    alert = listed(attacked, "rule=endpoint_alert")[0]
    (report,) = ask(attacked, "GET", f"/v1/findings/{alert['finding_id']}").json()["reports"]
    assert report["host"]["name"] == "EVE-LAPTOP"
    assert ask(attacked, "GET", f"/v1/findings/{first['finding_id']}", GUS).status_code == 404


def test_acknowledging_is_an_event_of_the_log(attacked: Site) -> None:
    """It is told to the bus before the answer; twice is once; others may not."""
    finding = listed(attacked, "rule=brief_access")[0]
    path = f"/v1/findings/{finding['finding_id']}/acknowledge"
    for person, status in ((MIA, 403), (AUDREY, 403), (GUS, 404)):
        assert ask(attacked, "POST", path, person).status_code == status
    answer = ask(attacked, "POST", path).json()
    assert (answer["status"], answer["acknowledged_by"]) == ("acknowledged", OLIVIA.email)
    assert ask(attacked, "POST", path).json() == answer
    assert listed(attacked, "rule=brief_access&status=open") == []
    assert listed(attacked, "rule=brief_access&status=acknowledged") == [answer]
    told = [
        orjson.loads(bus.value_of(record))
        for record in bus.read(attacked.bootstrap, [f"{attacked.prefix}raw.audit"])
        if bus.headers_of(record)["ce_type"] == b"audit.finding.acknowledged.v1"
        and finding["finding_id"].encode() in bus.value_of(record)
    ]
    assert [each["finding"] for each in told] == [
        {"id": finding["finding_id"], "rule": "brief_access"}
    ]
    assert told[0]["actor"]["email"] == OLIVIA.email


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/findings?severity=worst", "request_invalid"),
        ("/v1/findings?limit=0", "request_invalid"),
        ("/v1/findings?cursor=x", "cursor_invalid"),
        ("/v1/findings/none", "request_invalid"),
        ("/v1/findings/01a207d9-217b-828a-a137-81caa759c1be", "not_found"),
    ],
)
def test_what_makes_no_sense_is_refused(attacked: Site, path: str, code: str) -> None:
    """Each refusal has its code."""
    assert ask(attacked, "GET", path).json()["code"] == code
