"""What browsers are told where the page is reached by HTTPS, which a proxy speaks."""

from collections.abc import AsyncIterator

import httpx
import pytest

from processor.api.access import COOKIE
from processor.demo.issuer import PEOPLE
from processor.local.port import free_port
from tests.integration.access import chosen
from tests.integration.serving import Place, served

NAME = f"__Host-{COOKIE}"
HSTS = "strict-transport-security"


@pytest.fixture
async def proxy(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    """Give the proxy, which reaches a server whose public address is HTTPS; it keeps no cookie."""
    port = free_port()
    other = {"port": port, "public_url": f"https://127.0.0.1:{port}"}
    settings = place.settings.model_copy(
        update={"serve": place.settings.serve.model_copy(update=other)}
    )
    async with (
        served(settings),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield client


def cookie(answer: httpx.Response, name: str) -> list[str]:
    """Return a cookie that an answer sets, and its attributes."""
    (found,) = [each for each in answer.headers.get_list("set-cookie") if each.startswith(name)]
    return found.split("; ")


async def test_session_is_a_cookie_of_this_host_alone(
    place: Place, proxy: httpx.AsyncClient
) -> None:
    """Its name makes browsers insist on that; under the other name none is taken."""
    sent = await proxy.get("/login")
    (flow, *_) = cookie(sent, "hub_audit_login")
    async with place.browser() as browser:
        at_issuer = await browser.get(sent.headers["location"])
        back = httpx.URL(await chosen(browser, at_issuer, PEOPLE[0]))
    assert back.scheme == "https"
    landed = await proxy.get(back.raw_path.decode(), headers={"Cookie": flow})
    session, *attributes = cookie(landed, NAME)
    assert {"Secure", "Path=/", "HttpOnly", "SameSite=lax"} <= set(attributes)
    assert not [each for each in attributes if each.lower().startswith("domain")]
    statuses = [
        (await proxy.get("/v1/audit-entries", headers={"Cookie": each})).status_code
        for each in (session, session.removeprefix("__Host-"))
    ]
    assert statuses == [200, 401]
    origin = {"Origin": str(proxy.base_url.copy_with(scheme="https"))}
    left, *attributes = cookie(await proxy.post("/logout", headers=origin), NAME)
    assert left == f'{NAME}=""'
    assert {"Secure", "Path=/", "Max-Age=0"} <= set(attributes)


async def test_browsers_are_told_to_come_back_by_https(
    place: Place, proxy: httpx.AsyncClient
) -> None:
    """By whatever answer they get; and not where the page is reached without it."""
    for path in ("/log", "/readyz", "/static/app.css", "/nowhere"):
        assert (await proxy.get(path)).headers[HSTS] == "max-age=31536000", path
        async with place.browser() as client:
            assert HSTS not in (await client.get(path)).headers, path
