"""What an issuer says of people: claims that no page, no log and no database could hold."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from processor.api.access import COOKIE
from processor.demo.issuer import PEOPLE
from processor.store import findings
from processor.store.findings import NewFinding
from processor.store.pool import FORWARDER
from tests.integration.serving import Place
from tests.integration.store import NOW, milliseconds, opened

OLIVIA = PEOPLE[0]
FINDING = UUID(int=1)
ODD = "Ol\ud800iv\0ia\x1b \udfff"
SHOWN = "Ol\ufffdiv\ufffdia\ufffd \ufffd"


async def seen(place: Place, path: str, method: str, **claims: Any) -> httpx.Response:
    """Return what Olivia gets whose token says more of her."""
    async with place.browser() as client:
        client.cookies.set(COOKIE, place.issuer.token(OLIVIA, **claims))
        sent = {"Origin": place.url, "Accept": "text/html" if path == "/log" else "*/*"}
        return await client.request(method, path, headers=sent)


@pytest.mark.parametrize("claim", ["name", "email"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/log"),
        ("GET", "/v1/audit-entries"),
        ("POST", f"/v1/findings/{FINDING}/acknowledge"),
    ],
    ids=["page", "api", "acknowledge"],
)
async def test_characters_that_are_none_are_replaced(
    place: Place, claim: str, method: str, path: str
) -> None:
    """A lone surrogate, NUL or another control in a name hinders nothing, and is told as a mark."""
    at = milliseconds(NOW)
    found = NewFinding(
        finding_id=str(FINDING), org_id="acme", rule="brute_force", severity="low",
        subject_type="account", subject="ada@acme.example", hour_ms=at - at % 3_600_000,
        first_ms=at, last_ms=at, actors=[], addresses=[], seqs=[1], alerts=[],
    )  # fmt: skip
    async with opened(place.dsn, role=FORWARDER) as db:
        await findings.keep(db, [found])
    answer = await seen(place, path, method, **{claim: ODD})
    assert answer.status_code == 200, answer.text
    (actor,) = [data["actor"] for _, data in place.told()]
    assert actor[claim] == SHOWN
    if method == "POST" and claim == "email":
        assert answer.json()["acknowledged_by"] == SHOWN


@pytest.mark.parametrize("path", ["/log", "/v1/audit-entries"])
async def test_role_of_such_characters_is_none(place: Place, path: str) -> None:
    """It permits nothing, and the page says so."""
    answer = await seen(place, path, "GET", role=f"Owner{ODD}")
    assert answer.status_code == 403
    if path == "/log":
        assert f"Owner{SHOWN}" in answer.text
