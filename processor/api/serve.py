"""``hub-audit serve``: the page and the API, as one process of any number."""

import asyncio
from contextlib import suppress

import uvicorn

from processor.api.app import Heads, create_app
from processor.errors import StartRefused
from processor.settings import Settings

KEEP_ALIVE_SECONDS = 15
STOP_SECONDS = 10


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set, then let the answers that are on their way finish.

    Raises what speaks against a start, as every process does.
    """
    serve = settings.serve
    app = create_app(settings)
    config = uvicorn.Config(
        Heads(app),
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
    serving = asyncio.create_task(_serve(server))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving
    if not server.started and not stop.is_set():
        raise getattr(app.state, "why_not_started", None) or StartRefused(
            [f"serve.port: {serve.host}:{serve.port} cannot be listened at"]
        )


async def _serve(server: uvicorn.Server) -> None:
    """Serve, and come back instead of ending the process from within."""
    with suppress(SystemExit):
        await server._serve()  # noqa: SLF001 - serve() takes the signals
