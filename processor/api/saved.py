"""Saved views on the page: forms that keep a query and let it go."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from processor.api import view
from processor.api.access import VIEW, Viewer, require
from processor.api.entries import services_of
from processor.api.login import insist_on_origin
from processor.api.problems import Problem
from processor.query import parse, render
from processor.store import views

router = APIRouter(include_in_schema=False)

Saver = Annotated[Viewer, Depends(require(VIEW))]
Name = Annotated[str, Form(min_length=1, max_length=views.NAME_CHARACTERS_MAX)]
Text = Annotated[str, Form(max_length=2_000)]
SEE_OTHER = 303


@router.post("/views")
async def save(
    request: Request, viewer: Saver, name: Name, q: Text = "", shared: Annotated[str, Form()] = ""
) -> Response:
    """Keep a query under a name."""
    insist_on_origin(request)
    query = parse(q)
    owner = views.EVERYBODY if shared else viewer.subject
    control = services_of(request).control
    if not await views.save(control, viewer.org_id, owner, _clean(name), render(query)):
        raise Problem("request_invalid", f"{views.VIEWS_MAX} views are kept already")
    return RedirectResponse(view.log_url(query), SEE_OTHER)


@router.post("/views/forget")
async def forget(
    request: Request, viewer: Saver, name: Name, q: Text = "", shared: Annotated[str, Form()] = ""
) -> Response:
    """Keep it no more."""
    insist_on_origin(request)
    owner = views.EVERYBODY if shared else viewer.subject
    await views.forget(services_of(request).control, viewer.org_id, owner, _clean(name))
    return RedirectResponse(view.log_url(parse(q)), SEE_OTHER)


def _clean(name: str) -> str:
    """Return a name as it is kept; raises Problem for one that cannot be read."""
    name = " ".join(name.split())
    if not name or not name.isprintable():
        raise Problem("request_invalid", "a name has letters, digits and signs")
    return name
