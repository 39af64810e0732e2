"""Query parameters that an address does not have: refused by the API, taken by pages."""

from collections import defaultdict
from typing import Any
from uuid import uuid4

import httpx
import pytest

from processor.api.app import create_app
from processor.settings import Settings

APP = create_app(Settings())
READ = {
    path: {each["name"] for each in of["get"].get("parameters", ()) if each["in"] == "query"}
    for path, of in APP.openapi()["paths"].items()
    if path.startswith("/v1/") and "get" in of
}


async def ask(address: str, method: str = "GET") -> httpx.Response:
    """Ask the application, which is connected to nothing."""
    transport = httpx.ASGITransport(app=APP)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return await client.request(method, address)


async def refusal(address: str, method: str = "GET") -> str:
    """Return what is said of a request that is refused for one of its parameters."""
    answer = await ask(address, method)
    told: dict[str, Any] = answer.json()
    assert (answer.status_code, told["code"]) == (400, "request_invalid"), address
    return str(told["detail"]).removeprefix("there is no parameter ")


@pytest.mark.parametrize("path", READ)
async def test_name_that_is_none_is_refused_with_those_that_are(path: str) -> None:
    """By every way to read; those that are, are exactly those that the description has."""
    address = path.format_map(defaultdict(lambda: str(uuid4()), format="hub"))
    _, _, said = (await refusal(f"{address}?qx=a")).partition("; ")
    names = said.removeprefix("there are ").removeprefix("there is ")
    assert set(names.split(", ")) == (READ[path] or {"this address takes none"})


async def test_what_was_meant_is_said() -> None:
    """By likeness, and by what the same is called elsewhere; a name is not said back in full."""
    meant = {
        "/v1/audit-entries.csv?q=outcome:failure": "'q'; did you mean filter?",
        "/v1/audit-entries?filter=x&filtre=y": "'filtre'; did you mean filter?",
        "/v1/audit-entries?page=2": "'page'; did you mean cursor?",
        "/v1/suggest?q=act": "'q'; did you mean text?",
        "/v1/findings?Severity=high": "'Severity'; did you mean severity?",
        f"/v1/ranges?{'n' * 5000}=1": f"'{'n' * 100}...'; this address takes none",
    }
    assert {address: await refusal(address) for address in meant} == meant


async def test_orders_are_held_to_it_as_well() -> None:
    """What is ordered by a parameter that is none is not done without it."""
    assert len(READ) > 12
    for method, path in (("POST", "subscriptions/hub/test"), ("DELETE", "subscriptions/hub")):
        said = await refusal(f"/v1/{path}?dry_run=1", method)
        assert said == "'dry_run'; this address takes none"


@pytest.mark.parametrize("path", ["/logged-out", "/livez", "/schemas/entry/1"])
async def test_other_addresses_take_any(path: str) -> None:
    """A link to a page may carry what its sender counts by."""
    answer = await ask(f"{path}?utm_source=mail")
    assert answer.status_code == 200
