"""Refuses query parameters that an address does not have.

A filter under a wrong name would otherwise be none, and an export the whole organization's log.
"""

import difflib
from collections.abc import Iterator
from typing import Any

from fastapi import Request
from pydantic import BaseModel

from processor.api.problems import Problem

API = "/v1/"
NAME_CHARACTERS_MAX = 100
"""Of a name that is said back."""

ELSEWHERE = {
    **dict.fromkeys(("q", "query", "search", "where"), ("filter", "text")),
    **dict.fromkeys(("size", "count", "per_page", "page_size"), ("limit", "bars")),
    **dict.fromkeys(("page", "next", "offset"), ("cursor", "after")),
    **dict.fromkeys(("from", "start", "begin"), ("since", "after")),
    **dict.fromkeys(("to", "end", "before"), ("until",)),
}
"""What the same is called elsewhere, and here: no likeness of letters would find it."""


async def insist_on_known(request: Request) -> None:
    """Refuse a parameter that the API's route does not declare; raises Problem.

    Pages take whatever a link was sent with.
    """
    route = request.scope["route"]
    if not route.path.startswith(API):
        return
    known = sorted(set(_declared(route.dependant)))
    for name in request.query_params:
        if name not in known:
            said = name if len(name) <= NAME_CHARACTERS_MAX else f"{name[:NAME_CHARACTERS_MAX]}..."
            raise Problem(
                "request_invalid", f"there is no parameter '{said}'; {_meant(name, known)}"
            )


def _declared(dependant: Any) -> Iterator[str]:
    """Yield the names of the query parameters of a route and of all that it depends on."""
    for each in dependant.query_params:
        kind = each.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (field.alias or name for name, field in kind.model_fields.items())
        else:
            yield each.alias
    for below in dependant.dependencies:
        yield from _declared(below)


def _meant(name: str, known: list[str]) -> str:
    if not known:
        return "this address takes none"
    likely = [each for each in ELSEWHERE.get(name.lower(), ()) if each in known]
    if likely or (likely := difflib.get_close_matches(name.lower(), known, n=1)):
        return f"did you mean {likely[0]}?"
    return f"there are {', '.join(known)}" if len(known) > 1 else f"there is {known[0]}"
