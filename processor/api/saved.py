"""Saved views on the page: forms that keep a query and let it go.

A view of one's own is for every person who reads the log; one for everybody is for those who say
who else reads it. Programs keep none.
"""

from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from processor.api import view
from processor.api.access import SUBSCRIBE, VIEW, require
from processor.api.entries import services_of
from processor.api.login import insist_on_origin
from processor.api.problems import Problem
from processor.query import parse, render
from processor.store import views

router = APIRouter(include_in_schema=False)

Name = Annotated[str, Form(min_length=1, max_length=views.NAME_CHARACTERS_MAX)]
Text = Annotated[str, Form(max_length=2_000)]
SEE_OTHER = 303


class Owner(NamedTuple):
    """Whose views they are: a person's, or their whole organization's."""

    org_id: str
    name: str


async def _owner(request: Request, shared: Annotated[str, Form()] = "") -> Owner:
    """Return whose views are asked for, to be changed; raises Problem for who may not."""
    insist_on_origin(request)
    viewer = await require(SUBSCRIBE if shared else VIEW)(request)
    if viewer.type != "user":
        await services_of(request).self_audit.denied(viewer, SUBSCRIBE, request.url.path)
        raise Problem("permission_missing", "programs cannot keep views", permission=SUBSCRIBE)
    return Owner(viewer.org_id, views.EVERYBODY if shared else viewer.subject)


Changed = Annotated[Owner, Depends(_owner)]


@router.post("/views")
async def save(request: Request, owner: Changed, name: Name, q: Text = "") -> Response:
    """Keep a query under a name."""
    query, control = parse(q), services_of(request).control
    if not await views.save(control, *owner, _clean(name), render(query)):
        raise Problem(
            "request_invalid", f"{views.VIEWS_MAX} views are saved already: delete one first"
        )
    return RedirectResponse(view.log_url(query), SEE_OTHER)


@router.post("/views/forget")
async def forget(request: Request, owner: Changed, name: Name, q: Text = "") -> Response:
    """Keep it no more."""
    await views.forget(services_of(request).control, *owner, _clean(name))
    return RedirectResponse(view.log_url(parse(q)), SEE_OTHER)


def _clean(name: str) -> str:
    """Return a name as it is kept; raises Problem for one that cannot be read."""
    name = " ".join(name.split())
    if not name or not name.isprintable():
        raise Problem("request_invalid", "a name is made of printable characters, at least one")
    return name
