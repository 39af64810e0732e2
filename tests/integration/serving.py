"""A server that serves in the test's own loop, and who asks it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
from click.testing import CliRunner, Result

from processor.api import serve
from processor.cli import main
from processor.demo.issuer import Issuer
from processor.local.port import free_port
from processor.settings import Settings
from tests.integration import bus, ops


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
async def opened(bootstrap: str, dsn: str) -> AsyncIterator[Place]:
    """Serve what a database holds, with a topic of its own, for the length of a block."""
    issuer = Issuer(f"http://127.0.0.1:{free_port()}")
    port = free_port()
    access = {name.removeprefix("HUB_AUDIT_"): text for name, text in issuer.settings().items()}
    settings = ops.settings_of(
        bootstrap,
        dsn,
        **access,
        SERVE_PORT=str(port),
        SERVE_PUBLIC_URL=f"http://127.0.0.1:{port}",
    )
    topic = settings.topic(settings.topics.audit)
    with bus.topics(bootstrap, [topic]):
        async with issuer.serving(), served(settings):
            yield Place(settings, issuer, dsn)


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
