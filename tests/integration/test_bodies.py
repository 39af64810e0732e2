"""How much of a request is read, and waited for, before it is known who asks."""

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi.routing import APIRoute

from processor.api import (
    bodies,
    defend,
    defend_page,
    login,
    saved,
    serve,
    subscriptions,
    subscriptions_page,
    tokens_page,
)
from processor.api.bodies import BODY_BYTES_MAX
from processor.demo.issuer import PEOPLE
from tests.integration.serving import Place

MODULES = (defend, defend_page, login, saved, subscriptions, subscriptions_page, tokens_page)
POSTED = [
    route
    for module in MODULES
    for route in module.router.routes
    if isinstance(route, APIRoute) and "POST" in (route.methods or ())
]
READING = [route.path for route in POSTED if route.body_field is not None]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


def address(path: str) -> str:
    """Return an address of a route's."""
    return re.sub(r"\{[^}]+\}", "hub", path)


def headers_for(path: str) -> dict[str, str]:
    """Return the headers of what a route reads."""
    return JSON if path.startswith("/v1/") else FORM


async def chunks(size: int) -> AsyncIterator[bytes]:
    """Yield a body whose length is not said before."""
    for begin in range(0, size, 8_192):
        yield b"x" * min(8_192, size - begin)


def is_too_large(answer: httpx.Response) -> bool:
    """Tell whether an answer is the problem of a large body."""
    document = answer.json() if "problem+json" in answer.headers["content-type"] else {}
    return (answer.status_code, document.get("code")) == (413, "body_too_large")


async def test_body_that_says_it_is_too_large_is_not_read(place: Place) -> None:
    """Whoever sends it, to whichever address: the length alone is enough."""
    assert len(POSTED) > 12
    async with place.browser() as client:
        for route in POSTED:
            path, sent = address(route.path), headers_for(route.path)
            answer = await client.post(path, content=b"x" * (BODY_BYTES_MAX + 1), headers=sent)
            assert is_too_large(answer), path
            assert "x-content-type-options" in answer.headers
            fits = await client.post(path, content=b"x" * BODY_BYTES_MAX, headers=sent)
            assert not is_too_large(fits), path


async def test_body_that_becomes_too_large_is_read_no_further(place: Place) -> None:
    """The same without a length; an address that reads no body keeps none."""
    async with place.browser() as client:
        found = [
            route.path
            for route in POSTED
            if is_too_large(
                await client.post(
                    address(route.path),
                    content=chunks(20 * BODY_BYTES_MAX),
                    headers=headers_for(route.path),
                )
            )
        ]
        fits = await client.post("/v1/subscriptions", content=chunks(BODY_BYTES_MAX), headers=JSON)
    assert found == READING
    assert len(found) > 5
    assert not is_too_large(fits)


async def test_order_of_the_usual_size_is_taken(place: Place) -> None:
    """What has a length, and what comes in pieces, with a token."""
    token = {"Authorization": f"Bearer {place.issuer.token(PEOPLE[0])}"}

    async def pieces() -> AsyncIterator[bytes]:
        """Yield an order bit by bit."""
        for piece in (b'{"form', b'at": "h', b'ub"}'):
            yield piece

    async with place.browser() as client:
        made = await client.post("/v1/subscriptions", content=pieces(), headers=token | JSON)
        assert made.status_code == 201, made.text
        assert (await client.delete("/v1/subscriptions/hub", headers=token)).status_code == 204


async def test_body_that_does_not_come_is_not_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who sends the beginning of one and then nothing does not keep a request open."""
    monkeypatch.setattr(bodies, "BODY_SECONDS_MAX", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", place.settings.serve.port)
    writer.write(
        b"POST /v1/subscriptions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 20\r\n\r\n{"
    )
    async with asyncio.timeout(15):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in head


async def test_head_that_does_not_come_is_not_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection is for who says what they want, first and again; an answer may take longer."""
    monkeypatch.setattr(serve, "HEAD_SECONDS_MAX", 0.5)
    whole = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    token = {"Authorization": f"Bearer {place.issuer.token(PEOPLE[0])}"}
    async with (
        asyncio.timeout(15),
        place.browser() as client,
        client.stream("GET", "/v1/tail", headers=token) as following,
    ):
        for begun in (b"", whole[:-3], whole + whole[:-3]):
            reader, writer = await asyncio.open_connection("127.0.0.1", place.settings.serve.port)
            writer.write(begun)
            assert (await reader.read()).count(b"200 OK") == begun.count(whole)
            writer.close()
        async for text in following.aiter_text():
            if "nothing more" in text:
                break
