"""What HTTP itself wants of the page and the API (RFC 9110), whoever asks."""

import json

from processor.demo.issuer import PEOPLE
from tests.integration.serving import Place

OLIVIA = PEOPLE[0]


async def test_head_is_get_without_its_body(place: Place) -> None:
    """Status and headers are those of GET, for monitors as for a look at a download."""
    headers = {"Authorization": f"Bearer {place.issuer.token(OLIVIA)}"}
    paths = ("/livez", "/readyz", "/log", "/v1/feed", "/v1/catalogue", "/static/app.css", "/no")
    async with place.browser() as client:
        for path in paths:
            whole, head = [
                await client.request(method, path, headers=headers) for method in ("GET", "HEAD")
            ]
            assert (head.status_code, head.content) == (whole.status_code, b""), path
            assert head.headers["content-type"] == whole.headers["content-type"], path
        assert (await client.head("/v1/feed")).status_code == 401


async def test_head_of_what_is_sent_bit_by_bit_ends_at_once(place: Place) -> None:
    """The tail and an export give their headers and then their places back."""
    headers = {"Authorization": f"Bearer {place.issuer.token(OLIVIA)}"}
    async with place.browser() as client:
        for path, places in (("/v1/tail", 50), ("/v1/audit-entries.csv", 4)):
            for _ in range(places + 2):
                head = await client.head(path, headers=headers)
                assert (head.status_code, head.content) == (200, b"")


async def test_what_is_not_possible_names_what_is(place: Place) -> None:
    """Allow has every method of an address, and all of them lead to it."""
    allowed = {
        "/log": "GET, HEAD",
        "/logout": "POST",
        "/tokens": "GET, HEAD, POST",
        "/v1/subscriptions/hub": "DELETE, GET, HEAD",
        "/static/app.css": "GET, HEAD",
    }
    async with place.browser() as client:
        for path, methods in allowed.items():
            answer = await client.put(path)
            assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
            assert answer.headers["allow"] == methods, path


async def test_every_401_says_how_to_say_who_one_is(place: Place) -> None:
    """A token that is none, and a login that was not begun here, are told the scheme as well."""
    async with place.browser() as client:
        bad = await client.get("/v1/feed", headers={"Authorization": "Bearer x"})
        other = await client.get("/callback?code=x&state=y")
        none = await client.get("/v1/feed")
    assert [each.status_code for each in (bad, other, none)] == [401] * 3
    assert bad.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert other.headers["www-authenticate"] == bad.headers["www-authenticate"]
    assert none.headers["www-authenticate"] == "Bearer"


async def test_contracts_are_there_by_name_and_version(place: Place) -> None:
    """A JSON Schema is found as its ``$id`` says, and by the name of its file."""
    ids = {
        "/schemas/entry/1": "urn:hub:audit:entry:1",
        "/schemas/finding/v1": "urn:hub:defend:finding:1",
        "/schemas/identity.login.succeeded/1": "urn:hub:raw:identity.login.succeeded.v1",
        "/schemas/audit.exported/v1": "urn:hub:raw:audit.exported.v1",
        "/schemas/entry.json": "urn:hub:audit:entry:1",
        "/schemas/audit.exported.v1.json": "urn:hub:raw:audit.exported.v1",
    }
    async with place.browser() as client:
        for path, name in ids.items():
            answer = await client.get(path)
            assert answer.headers["content-type"] == "application/schema+json", path
            assert json.loads(answer.text)["$id"] == name, path
        types = [
            (await client.get(f"/schemas/{file}")).headers["content-type"]
            for file in ("asyncapi.yaml", "reference.md")
        ]
        assert types == ["application/yaml", "text/markdown; charset=utf-8"]
        for path in ("/schemas/entry/2", "/schemas/entry/x", "/schemas/nothing/1"):
            assert (await client.get(path)).json()["code"] == "not_found", path
