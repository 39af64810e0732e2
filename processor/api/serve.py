"""``hub-audit serve``: the page and the API, as one process of any number."""

import asyncio

import uvicorn

from processor.api.app import create_app
from processor.settings import Settings

KEEP_ALIVE_SECONDS = 15
STOP_SECONDS = 10


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set, then let the answers that are on their way finish."""
    serve = settings.serve
    config = uvicorn.Config(
        create_app(settings),
        host=serve.host,
        port=serve.port,
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=list(serve.trusted_proxies),
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())  # noqa: SLF001 - serve() takes the signals
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving
