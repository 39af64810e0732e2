"""``/livez``, ``/readyz`` and ``/metrics`` of a process.

Alive means that the event loop turns; ready is what the process says of itself. Neither asks Kafka
or Postgres: restarting a worker because the database is away heals nothing.
"""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from processor import metrics
from processor.errors import StartRefused
from processor.settings import Http

LOOP_SECONDS = 1.0
STOP_SECONDS = 2.0

Ready = Callable[[], tuple[bool, str]]


@asynccontextmanager
async def serve(http: Http, ready: Ready) -> AsyncIterator[None]:
    """Serve health and metrics for the length of a block; ``ready`` says yes or no, and why."""
    listening = _listen(http)
    config = uvicorn.Config(
        application(ready), log_config=None, access_log=False, lifespan="off", timeout_keep_alive=5
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined] # signals are ours
    serving = asyncio.create_task(server._serve([listening]))  # noqa: SLF001 - serve() takes signals
    watching = asyncio.create_task(measure_loop())
    try:
        yield
    finally:
        watching.cancel()
        server.should_exit = True
        await asyncio.wait([serving], timeout=STOP_SECONDS)
        serving.cancel()
        listening.close()


def application(ready: Ready) -> Starlette:
    """Return the three endpoints."""

    async def livez(_request: Request) -> Response:
        """Answer at all: the loop turns."""
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        """Say whether the process does its work, and why not."""
        yes, why = ready()
        return PlainTextResponse(f"{why}\n", status_code=200 if yes else 503)

    async def exposition(_request: Request) -> Response:
        """Return every metric."""
        return Response(metrics.rendered(), media_type=metrics.CONTENT_TYPE)

    routes = (("/livez", livez), ("/readyz", readyz), ("/metrics", exposition))
    return Starlette(routes=[Route(path, endpoint) for path, endpoint in routes])


def _listen(http: Http) -> socket.socket:
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((http.host, http.port))
    except OSError as error:
        listening.close()
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be bound: {error}"
        problem = f"http.port: {http.host}:{http.port} {why}; set HUB_AUDIT_HTTP_PORT to another"
        raise StartRefused([problem]) from error
    listening.listen()
    return listening


async def measure_loop() -> None:
    """Note, once a second, how late the loop is, until cancelled."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + LOOP_SECONDS
        await asyncio.sleep(LOOP_SECONDS)
        metrics.LOOP_LAG.set(max(0.0, clock() - due))
