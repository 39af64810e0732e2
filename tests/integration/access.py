"""A server that serves, the issuer whose word it takes, and people's browsers."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from typing import Any, NamedTuple

import httpx
from click.testing import CliRunner, Result

from processor.api import serve
from processor.cli import main
from processor.demo.issuer import Issuer, Person
from processor.local.port import free_port
from processor.settings import Settings
from tests.integration import bus


class Place(NamedTuple):
    """A server that serves, and the issuer whose word it takes."""

    settings: Settings
    issuer: Issuer
    dsn: str

    @property
    def url(self) -> str:
        """Where the page is."""
        return self.settings.serve.public_url

    def browser(self) -> httpx.AsyncClient:
        """Return somebody's browser, which follows no redirect by itself."""
        return httpx.AsyncClient(base_url=self.url)

    async def ask(self, path: str, token: str) -> httpx.Response:
        """Ask the API with a token."""
        async with self.browser() as client:
            return await client.get(path, headers={"Authorization": f"Bearer {token}"})

    def run(self, *arguments: str) -> Result:
        """Run a command against the same database."""
        env = {"HUB_AUDIT_POSTGRES_DSN": self.dsn}
        return CliRunner(env=env).invoke(main, ["tokens", *arguments])

    async def ordered(self, *arguments: str) -> Any:
        """Run a command in a thread, for it has a loop of its own; return its JSON."""
        done = await asyncio.to_thread(self.run, *arguments, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """Return type and data of what was told to the bus."""
        names = [self.settings.topic(self.settings.topics.audit)]
        records = bus.read(self.settings.kafka.bootstrap_servers, names)
        return [
            (bus.headers_of(each)["ce_type"].decode(), json.loads(bus.value_of(each)))
            for each in records
        ]


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[None]:
    """Serve for the length of a block."""
    stop = asyncio.Event()
    serving = asyncio.create_task(serve.run(settings, stop))
    try:
        async with asyncio.timeout(20):
            while not serving.done():
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", settings.serve.port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    break
        yield
    finally:
        stop.set()
        await serving


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
    """Follow redirects to the end, as a browser does."""
    while answer.next_request is not None:
        answer = await client.get(answer.next_request.url)
    return answer


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
