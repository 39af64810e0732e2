"""``hub-audit serve``: the page and the API, as one process of any number."""

import asyncio
from contextlib import suppress

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from processor.api.app import Heads, create_app
from processor.api.streams import Breaking
from processor.errors import StartRefused
from processor.settings import Settings

KEEP_ALIVE_SECONDS = 15
STOP_SECONDS = 10
HEAD_SECONDS_MAX = 30.0
"""For a request's head, from when it may begin: longer than a connection is kept without one."""


class Patient(H11Protocol):
    """Speaks HTTP with who says within a while what they want.

    The server's own time ends with the first byte that comes: a byte a minute kept a connection for
    ever. How long the body may take is bounded where it is read; what of it comes after the answer
    is waited for no longer than another request.
    """

    _giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        """Begin to wait for the next one."""
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._leave_it()

    def _wait(self) -> None:
        self._leave_it()
        self._giving_up = self.loop.call_later(HEAD_SECONDS_MAX, self._give_up)

    def _leave_it(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()

    def _give_up(self) -> None:
        """Close the connection, unless it is being answered on."""
        if getattr(self.cycle, "response_complete", True):  # None before the first request
            self.transport.close()


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set, then let the answers that are on their way finish.

    Raises what speaks against a start, as every process does.
    """
    serve = settings.serve
    app = create_app(settings)
    config = uvicorn.Config(
        Breaking(Heads(app)),
        host=serve.host,
        port=serve.port,
        http=Patient,
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
