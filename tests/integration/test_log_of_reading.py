"""What the log of reading says of each look: who, from where, and what was read."""

import asyncio
from typing import Any

import pytest

from processor.api import self_audit
from processor.demo.issuer import PEOPLE
from tests.acceptance.site import stored
from tests.integration.serving import Place
from tests.integration.store import an_entry

OLIVIA, MIA = PEOPLE[0], PEOPLE[3]
ADDRESS, PROGRAM = "198.51.100.7", "auditor/1.0 (\xe9)"


async def ask(place: Place, path: str, address: str = ADDRESS, **headers: str) -> int:
    """Ask as Olivia from an address; return the status."""
    sent: dict[str, Any] = {
        "Authorization": f"Bearer {place.issuer.token(OLIVIA)}",
        "X-Forwarded-For": address,
        "User-Agent": PROGRAM.encode("latin-1"),
    }
    async with place.browser() as client:
        return (await client.get(path, headers=sent | headers)).status_code


async def test_every_look_has_an_address_and_a_program(place: Place) -> None:
    """Reading, exporting and being refused say where they came from, as all other entries do."""
    mia = {"Authorization": f"Bearer {place.issuer.token(MIA)}"}
    paths = ("/v1/audit-entries", "/v1/audit-entries.csv", "/v1/ranges", "/v1/findings")
    assert [await ask(place, path) for path in paths] == [200] * len(paths)
    assert await ask(place, "/v1/feed", **mia) == 403
    told = place.told()
    assert {name for name, _ in told} == {"audit.viewed.v1", "audit.exported.v1", "audit.denied.v1"}
    assert len(told) == len(paths) + 1
    assert [data["client"] for _, data in told] == [{"ip": ADDRESS, "user_agent": PROGRAM}] * 5


async def test_order_of_a_subscription_has_an_address(place: Place) -> None:
    """Who changes where the log goes is known by more than a name."""
    sent = {
        "Authorization": f"Bearer {place.issuer.token(OLIVIA)}",
        "X-Forwarded-For": ADDRESS,
        "User-Agent": "siem/2",
    }
    async with place.browser() as client:
        made = await client.post("/v1/subscriptions", json={"format": "hub"}, headers=sent)
        assert made.status_code == 201, made.text
        assert (await client.delete("/v1/subscriptions/hub", headers=sent)).status_code == 204
    assert [(name, data["client"]) for name, data in place.told()] == [
        ("audit.subscription.changed.v1", {"ip": ADDRESS, "user_agent": "siem/2"})
    ] * 2


async def test_same_look_from_elsewhere_is_told_again(place: Place) -> None:
    """Whoever uses somebody else's token is seen by their address, and each address once."""
    addresses = [f"198.51.100.{number}" for number in (1, 2, 1, 3, 2)]
    for address in addresses:
        for path in ("/v1/ranges", "/v1/feed"):
            assert await ask(place, path, address) == 200
    told = [(data["client"]["ip"], "feed" in data["filter"]) for _, data in place.told()]
    assert told == [(address, feed) for address in addresses[:2] + addresses[3:4]
                    for feed in (False, True)]  # fmt: skip


async def test_findings_that_are_polled_are_told_of_once_an_hour(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of Defend that is left open is no entry a minute; one finding is looked at anew."""
    monkeypatch.setattr(self_audit, "VIEW_SECONDS", 1)
    monkeypatch.setattr(self_audit, "POLL_SECONDS", 10**10)
    one = "/v1/findings/01a207d9-217b-828a-a137-81caa759c1be"

    def told() -> list[dict[str, str]]:
        """Return which findings were looked at."""
        return [data["filter"]["findings"] for _, data in place.told()]

    async with asyncio.timeout(30):
        while told().count({"id": one[-36:]}) < 3:
            assert await ask(place, one) == 404
            assert await ask(place, "/v1/findings") == 200
            assert await ask(place, "/defend", Accept="text/html") == 200
    assert told().count({}) == 1
    assert told().count({"period": "7d", "status": "open"}) == 1


async def follow(place: Place, path: str, **params: str) -> None:
    """Follow the log until the server begins to answer."""
    headers = {"Authorization": f"Bearer {place.issuer.token(OLIVIA)}"}
    async with (
        place.browser() as client,
        client.stream("GET", path, params=params, headers=headers) as answer,
    ):
        assert answer.status_code == 200


async def test_following_is_told_with_its_filter_and_place(place: Place) -> None:
    """Who follows a word is known to, as who searches for one, and no more of the word is told."""
    stored(place.dsn, [an_entry("acme", f"e{n}") for n in range(3)])
    await follow(place, "/v1/tail", filter="action:user.* ada", after="2")
    await follow(place, "/v1/tail", filter="action:user.* ada", after="3")
    await follow(place, "/log/live", q="outcome:failure")
    (searched, first), (_, second) = place.told()
    assert searched == "audit.viewed.v1"
    hidden = first["filter"]["query"]
    assert (hidden[:21], "ada" in hidden) == ("action:user.* sha256-", False)
    assert (first["filter"]["tail"], first["after_seq"]) == (True, 2)
    assert second["filter"] == {"tail": True, "query": "outcome:failure"}
    assert second["after_seq"] == 3


async def test_feed_is_told_of_with_its_place_and_again_from_further_back(place: Place) -> None:
    """A poller is one entry an hour, and another one when it begins where it had not been."""
    stored(place.dsn, [an_entry("acme", f"e{n}") for n in range(3)])
    for after in (2, 3, 2, 0, 1):
        assert await ask(place, f"/v1/feed?after={after}") == 200
    assert [(data["after_seq"], data["rows"]) for _, data in place.told()] == [(2, 1), (0, 3)]
    assert {str(data["filter"]) for _, data in place.told()} == {"{'feed': True}"}


async def test_what_is_counted_hides_no_search(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts show no rows and are told as such; the search for the same is told as well."""
    monkeypatch.setattr(self_audit, "VIEW_SECONDS", 10**10)
    stored(place.dsn, [an_entry("acme", f"e{n}") for n in range(3)])
    for what in ("facets", "histogram", "facets", "audit-entries"):
        assert await ask(place, f"/v1/{what}?filter=action:auth.*") == 200
    assert [(data["filter"], data.get("rows")) for _, data in place.told()] == [
        ({"counted": True, "query": "action:auth.*"}, None),
        ({"query": "action:auth.*"}, 3),
    ]
