"""The application: routes, problems, headers, health, and what is measured of every request."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from http import HTTPStatus
from importlib import resources
from importlib.metadata import version
from itertools import chain
from typing import Annotated, Any

import orjson
from fastapi import Depends, FastAPI, Path, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from processor import metrics
from processor.api import (
    defend,
    defend_page,
    entries,
    export,
    html,
    login,
    page,
    parameters,
    problems,
    saved,
    subscriptions,
    subscriptions_page,
    tokens_page,
)
from processor.api.access import HTTPS
from processor.api.bodies import Bounded
from processor.api.description import PUBLIC, Described
from processor.api.problems import Problem, documented
from processor.api.services import Services
from processor.errors import Outage
from processor.health import measure_loop
from processor.normalize import NORMALIZER
from processor.settings import Settings

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

SECURE = {"Strict-Transport-Security": "max-age=31536000"}
"""Where the page is reached by HTTPS: a browser comes back in no other way for a year."""

CONTRACT_TYPES = {
    "json": "application/schema+json",
    "yaml": "application/yaml",
    "md": "text/markdown",
}
CONTRACT_DOCUMENTS = ("asyncapi.yaml", "reference.md")
SCHEMA_FOLDERS = ("jsonschema", "jsonschema/raw")

Name = Annotated[str, Path(max_length=100)]
Next = Callable[[Request], Awaitable[Response]]


class Heads:
    """Answers HEAD as GET, and ends where the body would begin (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        """Keep who answers."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; to whoever makes the body it is as if the client had gone away."""

        async def head(message: Message) -> None:
            """Send the head alone."""
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})

        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, head)
        else:
            await self._app(scope, receive, send)


def create_app(settings: Settings) -> FastAPI:
    """Return the application; it connects when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Be connected for as long as the application runs."""
        async with AsyncExitStack() as opened:
            try:
                services = await opened.enter_async_context(Services.opened(settings))
            except Exception as error:
                app.state.why_not_started = error  # the server only logs it
                raise
            metrics.started("serve", version("hub-audit"), NORMALIZER)
            app.state.services = services
            metrics.watch_connections(services.reader.db.occupation, services.control.occupation)
            metrics.watch_issuer(services.verifier.away_seconds)
            watching = asyncio.create_task(measure_loop())
            yield
            watching.cancel()

    app = Described(
        title="Hub Audit",
        version=version("hub-audit"),
        summary="An organization's audit log: read, search, export, subscribe.",
        description="A query parameter that an address does not list is refused with status 400.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    secure = settings.serve.public_url.startswith(HTTPS)
    app.state.headers = HEADERS | SECURE if secure else HEADERS
    problems.install(app, html.refused, _finished)
    app.add_middleware(Bounded)
    app.middleware("http")(_answered)
    for module in (
        *(export, entries, login, page, saved, tokens_page),
        *(subscriptions, subscriptions_page, defend, defend_page),
    ):
        app.include_router(module.router, dependencies=[Depends(parameters.insist_on_known)])
    app.mount("/static", html.STATIC, name="static")
    _add_health(app)
    _add_contracts(app)
    return app


async def _answered(request: Request, call_next: Next) -> Response:
    """Answer whatever can be foreseen."""
    request.state.began = time.perf_counter()
    try:
        with metrics.IN_FLIGHT.track_inprogress():
            answer = await call_next(request)
    except problems.HANDLED as error:
        answer = problems.response(problems.of(error))
    missing = request.scope.get("route") is None and answer.status_code == HTTPStatus.NOT_FOUND
    if missing and _is_for_people(request):
        answer = await html.missing(request)
    return _finished(request, answer)


def _finished(request: Request, answer: Response) -> Response:
    """Give an answer its headers; count it by route, never by what was asked."""
    for name, value in request.app.state.headers.items():
        answer.headers.setdefault(name, value)
    static = request.url.path.startswith("/static/")
    answer.headers.setdefault("Cache-Control", "no-cache" if static else "no-store")
    # A stream that breaks off comes here a second time, with an answer that nobody gets.
    if not getattr(request.state, "counted", False):
        request.state.counted = True
        template = getattr(request.scope.get("route"), "path", "none")
        metrics.requested(template, answer.status_code, time.perf_counter() - request.state.began)
    return answer


def _is_for_people(request: Request) -> bool:
    """Tell whether a browser asks, and not for one of the API's documents."""
    asked = request.url.path.startswith(("/v1/", "/schemas/"))
    return not asked and "text/html" in request.headers.get("accept", "")


def _add_health(app: FastAPI) -> None:
    @app.get("/livez", include_in_schema=False)
    async def livez() -> Response:
        """Answer at all: the loop turns."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz", include_in_schema=False)
    async def readyz(request: Request) -> Response:
        """Say whether the store answers."""
        try:
            # Over a connection that nothing else takes: whatever is slow, the store is there.
            await request.app.state.services.probe.answers()
        except Outage:
            return PlainTextResponse("the database does not answer\n", status_code=503)
        return PlainTextResponse("ok\n")

    @app.get("/metrics", include_in_schema=False)
    async def exposition() -> Response:
        """Return every metric."""
        return Response(metrics.rendered(), media_type=metrics.CONTENT_TYPE)


def _add_contracts(app: FastAPI) -> None:
    described: dict[str, Any] = {
        "tags": ["contracts"],
        "response_class": Response,
        "responses": {200: {"content": {kind: {} for kind in CONTRACT_TYPES.values()}}}
        | documented("not_found"),
        "openapi_extra": PUBLIC,
    }

    @app.get("/schemas/{name}/{version}", **described)
    async def schema(name: Name, version: Name) -> Response:
        """Return a JSON Schema of the contracts: a raw event's by its type, or that of the entry.

        Those of ``finding``, ``telemetry`` and ``envelope`` are there as well.
        """
        return _contract(f"{name}.v{version.removeprefix('v')}.json")

    @app.get("/schemas/{file}", **described)
    async def generated(file: Name) -> Response:
        """Return a generated file of the contracts, as ``asyncapi.yaml`` or ``entry.json``."""
        return _contract(file)


def _contract(file: str) -> Response:
    text = _contracts().get(file)
    if text is None:
        raise Problem("not_found")
    return Response(text, media_type=CONTRACT_TYPES[file.rpartition(".")[2]])


@cache
def _contracts() -> dict[str, str]:
    """Return the generated files by their names; schemas by name and version besides.

    They are read as they are packaged: what generates them needs more than production has.
    """
    root = resources.files("schemas")
    folders = [root.joinpath(folder).iterdir() for folder in SCHEMA_FOLDERS]
    found = [*map(root.joinpath, CONTRACT_DOCUMENTS), *chain.from_iterable(folders)]
    files = {file.name: file.read_text(encoding="utf-8") for file in found if file.is_file()}
    schemas = [text for file, text in files.items() if file.endswith(".json")]
    versioned = {orjson.loads(text)["$id"].split(":", 3)[3]: text for text in schemas}
    return files | {f"{name.replace(':', '.v')}.json": text for name, text in versioned.items()}
