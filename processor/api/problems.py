"""What went wrong, as RFC 9457 problem documents with a stable code each."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Mount

from processor.errors import BusOutage, DatabaseOutage, Outage, SearchTooSlow
from processor.query import QueryError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
METHODS = ("GET", "POST", "DELETE")


class Kind(NamedTuple):
    """A kind of problem: its status, what it is, and what to do about it."""

    status: int
    title: str
    fix: str


KINDS: Mapping[str, Kind] = {
    "token_missing": Kind(401, "Not logged in", "Send an access token, or log in on the page."),
    "token_invalid": Kind(401, "The token is not accepted", "Get a new access token."),
    "issuer_away": Kind(503, "Nobody can be identified right now", "Try again soon."),
    "permission_missing": Kind(
        403, "Not permitted", "Ask an Owner or Admin of your organization for the permission."
    ),
    "not_found": Kind(404, "Not found", "Check the address; what was purged is gone."),
    "method_not_allowed": Kind(405, "Not possible here", "See `Allow`, and /openapi.json."),
    "filter_invalid": Kind(
        400, "The filter cannot be understood", "See `column` and `picture` in this response."
    ),
    "cursor_invalid": Kind(400, "The cursor does not fit", "Start again without a cursor."),
    "request_invalid": Kind(400, "The request cannot be understood", "See `detail`."),
    "body_too_large": Kind(413, "The request is too large", "Send 65,536 bytes at most."),
    "body_too_slow": Kind(408, "The request did not come", "Send all of it within 30 s."),
    "subscription_exists": Kind(
        409, "This subscription exists already", "Use it, or delete it first."
    ),
    "csrf": Kind(403, "The request does not come from this page", "Reload the page."),
    "too_many_requests": Kind(429, "Too many requests", "Wait as long as `Retry-After` says."),
    "database_away": Kind(503, "The log cannot be read at the moment", "Try again soon."),
    "bus_away": Kind(
        503, "The log cannot be read at the moment",
        "Every read is recorded in the log, and that cannot be written right now. Try again soon.",
    ),
    "search_too_slow": Kind(503, "The search took too long", "Narrow it: less time, more filters."),
    "internal": Kind(500, "Internal error", "Try again; contact support if it persists."),
}  # fmt: skip
"""By code. A code is never given another meaning."""

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457). A `code` is never given another meaning.",
    "properties": {
        "type": {"type": "string", "pattern": "^urn:hub:audit:problem:"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": list(KINDS)},
        "detail": {"type": "string", "description": "About this very case."},
        "fix": {"type": "string", "description": "What to do about it."},
        "permission": {"type": "string", "description": "The one that is missing."},
        "column": {"type": "integer", "description": "Where in the filter, from 1 on."},
        "picture": {"type": "string", "description": "The filter, and a mark below that place."},
    },
    "required": ["type", "title", "status", "code", "detail", "fix"],
}
"""What a problem document is like, as JSON Schema."""

HEADERS: Mapping[int, str] = {401: "WWW-Authenticate", 429: "Retry-After"}
"""What is never missing beside a problem of such a status."""

CHALLENGES = {"token_missing": "Bearer", "token_invalid": 'Bearer error="invalid_token"'}
"""How to say who one is (RFC 6750), which no 401 may leave out (RFC 9110)."""


class Problem(Exception):
    """A refusal or failure that the client is told of."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """Keep the code, a sentence about this very case, and further members of the document."""
        self.code, self.detail, self.members = code, detail, members
        challenge = {"WWW-Authenticate": CHALLENGES[code]} if code in CHALLENGES else {}
        self.headers = challenge | dict(headers or {})
        super().__init__(detail or code)

    @property
    def kind(self) -> Kind:
        """The kind of problem."""
        return KINDS[self.code]

    def document(self) -> dict[str, Any]:
        """Return the problem document."""
        kind = self.kind
        document = {
            "type": f"urn:hub:audit:problem:{self.code}",
            "title": kind.title,
            "status": kind.status,
            "code": self.code,
            "detail": self.detail or kind.fix,
            "fix": kind.fix,
        }
        return document | self.members


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return, by their status, how an OpenAPI document says that a route answers these problems."""
    answers: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        kind, example = KINDS[code], Problem(code).document()
        answer = answers.setdefault(
            kind.status,
            {
                "description": "",
                "content": {
                    MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
                },
            },
        )
        answer["description"] += f"{kind.title}. "
        answer["content"][MEDIA_TYPE]["examples"][code] = {"value": example}
        if header := HEADERS.get(kind.status):
            answer["headers"] = {header: {"required": True, "schema": {"type": "string"}}}
    return answers


def codes_of(answer: Mapping[str, Any]) -> list[str]:
    """Return which problems an answer is documented to be; none where it is none."""
    return list(answer.get("content", {}).get(MEDIA_TYPE, {}).get("examples", ()))


_KNOWN = {
    404: "not_found",
    405: "method_not_allowed",
    408: "body_too_slow",
    413: "body_too_large",
}
"""Which problem a status of the framework's is."""


def of(error: Exception) -> Problem:
    """Return the problem that an exception is to the client; nothing of its inside is told."""
    match error:
        case Problem():
            return error
        case QueryError():
            return Problem(
                "filter_invalid", error.reason, column=error.column + 1, picture=error.caret()
            )
        case BusOutage():
            return Problem("bus_away", headers={"Retry-After": str(RETRY_SECONDS)})
        case DatabaseOutage() | Outage():
            return Problem("database_away", headers={"Retry-After": str(RETRY_SECONDS)})
        case SearchTooSlow():
            return Problem("search_too_slow")
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            code = _KNOWN.get(error.status_code, "request_invalid")
            return Problem(code, headers=error.headers)
        case _:
            return Problem("internal")


def _invalid(error: RequestValidationError) -> Problem:
    """Return what is wrong with a request, in words."""
    first = error.errors()[0]
    if first["type"] == "string_too_long":
        most = first["ctx"]["max_length"]
        return Problem("request_invalid", f"{first['loc'][-1]}: {most:,} characters at most")
    if first["type"] == "uuid_parsing":
        return Problem("request_invalid", "an id is a UUID: 01a207d9-217b-828a-a137-81caa759c1be")
    place = ".".join(str(part) for part in first["loc"])
    for whole in ("path.", "query."):
        place = place.removeprefix(whole)
    return Problem("request_invalid", f"{place}: {first['msg']}")


def response(problem: Problem) -> Response:
    """Return the answer that carries a problem."""
    return Response(
        orjson.dumps(problem.document()),
        status_code=problem.kind.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


Page = Callable[[Request, None, Exception], Awaitable[Response]]
Finish = Callable[[Request, Response], Response]

HANDLED = (
    Problem,
    QueryError,
    Outage,
    SearchTooSlow,
    RequestValidationError,
    HTTPException,
)


def install(app: FastAPI, page: Page, finish: Finish) -> None:
    """Have every exception answered: people by a page, programs by JSON."""

    async def answer(request: Request, error: Exception) -> Response:
        """Answer with the problem."""
        if isinstance(error, HTTPException) and error.headers and "Allow" in error.headers:
            error.headers = {"Allow": _allowed(request, error.headers["Allow"])}
        if _is_for_people(request):
            return await page(request, None, error)
        return response(of(error))

    async def failed(request: Request, error: Exception) -> Response:
        """Answer a bug of ours, outside of all that finishes other answers; the server logs it."""
        return finish(request, await answer(request, error))

    for kind in HANDLED:
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(Exception, failed)


def _allowed(request: Request, by_one: str) -> str:
    """Return what is possible at an address, by any of its routes: the router asks the first."""
    scope, routes = request.scope, [each for each in request.app.routes if type(each) is not Mount]
    possible = {
        method
        for method in METHODS
        if any(each.matches({**scope, "method": method})[0] is Match.FULL for each in routes)
    }
    possible.update(by_one.split(", "))
    return ", ".join(sorted(possible | ({"HEAD"} if "GET" in possible else set())))


def _is_for_people(request: Request) -> bool:
    """Tell whether a browser waits: for a page, or for a file that a link of ours leads to."""
    path, headers = request.url.path, request.headers
    file = path.endswith((".csv", ".ndjson")) and "authorization" not in headers
    return "text/html" in headers.get("accept", "") and (file or not path.startswith("/v1/"))
