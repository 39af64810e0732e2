"""What ``/openapi.json`` says beside what the routes do: who may ask, and what goes wrong.

Every route but the public ones asks who it is that asks, and refuses in the same ways. What one of
them alone answers, as that there is no such entry, stands at that route.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI

from processor.api import problems
from processor.api.access import COOKIE

Node = dict[str, Any]

PUBLIC: Node = {"security": []}
"""What a route adds to its description that answers anybody."""

TOKEN, SESSION = "token", "session"
SCHEMES: Node = {
    TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token of the issuer, or a service token of the organization.",
    },
    SESSION: {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "The page's. With it, what changes something has to come from the page: "
        "its Origin or Referer is looked at.",
    },
}

GUARDED = (
    *("token_missing", "token_invalid", "permission_missing", "too_many_requests"),
    *("issuer_away", "database_away", "bus_away"),
)
"""What every route answers that asks who it is."""

UNFIT = "422"
"""What FastAPI takes for the answer to what does not fit; ours is another."""

_PARAGRAPH = re.compile(r"\n\s*\n")


class Described(FastAPI):
    """An application whose description is completed when it is asked for first."""

    def openapi(self) -> Node:
        """Return the document."""
        if self.openapi_schema is None:
            self.openapi_schema = completed(super().openapi())
        return self.openapi_schema


def completed(document: Node) -> Node:
    """Return a document of FastAPI's with the problems and ways to log in, in clean words."""
    for path in document["paths"].values():
        for method, operation in path.items():
            _complete(method, operation)
    components = document["components"]
    components["schemas"] = {
        name: schema
        for name, schema in components["schemas"].items()
        if name not in ("HTTPValidationError", "ValidationError")
    } | {"Problem": problems.SCHEMA}
    components["securitySchemes"] = SCHEMES
    document["security"] = [{TOKEN: []}, {SESSION: []}]
    _clean(document)
    return document


def _complete(method: str, operation: Node) -> None:
    answers = operation["responses"]
    answers.pop(UNFIT, None)
    own = [code for answer in answers.values() for code in problems.codes_of(answer)]
    every = problems.documented(*own, *_codes(method, operation))
    answers.update((str(status), answer) for status, answer in every.items())
    operation["responses"] = dict(sorted(answers.items()))


def _codes(method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems that an operation may answer by what it asks for."""
    texts = {each["name"] for each in operation.get("parameters", ()) if not _is_number(each)}
    if "parameters" in operation or "requestBody" in operation:
        yield "request_invalid"
    if "requestBody" in operation:
        yield from ("body_too_large", "body_too_slow")
    if "filter" in texts:
        yield "filter_invalid"
    if "cursor" in texts:
        yield "cursor_invalid"
    if operation.get("security") != PUBLIC["security"]:
        yield from GUARDED
        if method != "get":
            yield "csrf"


def _is_number(parameter: Mapping[str, Any]) -> bool:
    schema = parameter["schema"]
    return any(each.get("type") == "integer" for each in (schema, *schema.get("anyOf", ())))


def _clean(node: Any) -> None:
    """Make Markdown of all descriptions, which were docstrings: a line to a paragraph."""
    if isinstance(node, list):
        for each in node:
            _clean(each)
    if not isinstance(node, dict):
        return
    for name, value in node.items():
        if name == "description" and isinstance(value, str):
            paragraphs = [" ".join(each.split()) for each in _PARAGRAPH.split(value)]
            node[name] = "\n\n".join(paragraphs).replace("``", "`")
        else:
            _clean(value)
