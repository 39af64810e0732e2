"""People's browsers: where a page leads them, and how they log in on the way."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from typing import Any

import httpx

from processor.demo.issuer import Person
from processor.local.port import free_port
from tests.integration.serving import Place, served


@asynccontextmanager
async def beside(place: Place, **other: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the same with other settings, on a port of its own; give a browser that is there."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    other["serve"] = place.settings.serve.model_copy(update={"port": port, "public_url": url})
    async with (
        served(place.settings.model_copy(update=other)),
        httpx.AsyncClient(base_url=url) as client,
    ):
        yield client


async def followed(client: httpx.AsyncClient, answer: httpx.Response) -> httpx.Response:
    """Follow redirects, and pages that lead on by themselves, to the end, as a browser does."""
    while (led_to := _led_to(answer)) is not None:
        answer = await client.get(led_to)
    return answer


def _led_to(answer: httpx.Response) -> httpx.URL | None:
    if answer.next_request is not None:
        return answer.next_request.url
    _, _, address = answer.headers.get("refresh", "").partition("; url=")
    return answer.url.join(address) if address else None


async def chosen(client: httpx.AsyncClient, issuers_page: httpx.Response, person: Person) -> str:
    """Return the address that a click on somebody leads back to."""
    (link,) = re.findall(rf'href="([^"]*{person.subject}[^"]*)"', issuers_page.text)
    answer = await client.get(issuers_page.url.join(unescape(link)))
    return answer.headers["location"]


async def logged_in(client: httpx.AsyncClient, person: Person, path: str) -> httpx.Response:
    """Go to a page and log in on the way; return where that ends."""
    at_issuer = await followed(client, await client.get(path))
    assert "Who are you?" in at_issuer.text
    back = await chosen(client, at_issuer, person)
    return await followed(client, await client.get(back))
