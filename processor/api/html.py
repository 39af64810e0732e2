"""What every page has in common: the frame, the way between the sections, and what goes wrong."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from processor.api import problems
from processor.api.access import SUBSCRIBE, VIEW, Viewer, identified
from processor.api.login import AFTER_CHARACTERS_MAX, CALLBACK
from processor.api.problems import Problem
from processor.api.view import Link, visible
from processor.errors import Outage, SearchTooSlow

HERE = Path(__file__).parent
STATIC = StaticFiles(directory=HERE / "static")

TO_BE_SENT = "There is nothing to be seen at this address: a form is sent to it."
TO_LOG = Link("Go to the log", "/log")
TO_LOGIN = Link("Log in", "/login")
LOGIN_PATHS = {"/login": None, CALLBACK: TO_LOGIN}
"""What goes wrong here is shown, with a way on: who is sent to the login would be back for ever."""

_pages = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.filters["visible"] = visible


def breakable(text: str) -> Markup:
    """Return a text that a narrow column breaks before the sign of an address, not inside of it."""
    return Markup("<wbr>@").join(map(escape, text.split("@")))


_pages.filters["breakable"] = breakable


class Section(NamedTuple):
    """A part of the site: its address, its name, and the permission that it takes."""

    path: str
    name: str
    permission: str


SECTIONS = (
    Section("/log", "Audit log", VIEW),
    Section("/defend", "Defend", VIEW),
    Section("/siem", "SIEM", SUBSCRIBE),
    Section("/tokens", "Service tokens", SUBSCRIBE),
)


def page(
    template: str, viewer: Viewer | None, *, section: str = "/log", status: int = 200, **given: Any
) -> Response:
    """Return a page of a section, for whoever is logged in."""
    sections = list(_sections(viewer))
    text = _pages.get_template(template).render(
        viewer=viewer, sections=sections, section=section, **given
    )
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store"})


async def missing(request: Request) -> Response:
    """Return the page of an address at which there is nothing, for whoever typed it."""
    problem = Problem("not_found", "There is no such page.")
    return page(
        "problem.html", await _known(request), status=problem.kind.status, title=problem.kind.title,
        problem=problem, ways=(), again=False, onward=TO_LOG,
    )  # fmt: skip


def fragment(template: str, **given: Any) -> str:
    """Return a part of a page."""
    return _pages.get_template(template).render(**given)


async def refused(
    request: Request,
    viewer: Viewer | None,
    error: Exception,
    *,
    section: str = "/log",
    ways: Sequence[Link] = (),
) -> Response:
    """Show what went wrong, in the page's own words and with the right status, and ways out."""
    problem = problems.of(error)
    if problem.code == "method_not_allowed":
        problem = Problem(problem.code, TO_BE_SENT, headers=problem.headers)
    nobody = problem.code in ("token_missing", "token_invalid")
    if nobody and _is_led_to_login(request):
        return _led_to_login(request, problem)
    if viewer is None and (not nobody or request.url.path in LOGIN_PATHS):
        viewer = await _known(request)
    forbidden = problem.code == "permission_missing" and viewer is not None
    answer = page(
        "forbidden.html" if forbidden else "problem.html",
        viewer,
        section=section,
        status=problem.kind.status,
        title=problem.kind.title,
        problem=problem,
        ways=ways,
        again=isinstance(error, (Outage, SearchTooSlow)) or problem.code == "too_many_requests",
        onward=LOGIN_PATHS.get(request.url.path, TO_LOG),
    )
    answer.headers.update(problem.headers)
    return answer


async def _known(request: Request) -> Viewer | None:
    """Return who is logged in, if that can be said now."""
    try:
        return await identified(request)
    except (Problem, Outage):
        return None


def _sections(viewer: Viewer | None) -> Iterator[Section]:
    """Yield the sections that are open to somebody; the log is there for everybody to ask for."""
    for section in SECTIONS:
        if section.permission == VIEW or (viewer and section.permission in viewer.permissions):
            yield section


def _is_led_to_login(request: Request) -> bool:
    """Tell whether somebody navigates: what a script fetches would begin a login and show none."""
    navigates = request.headers.get("sec-fetch-mode", "navigate") == "navigate"
    program = "authorization" in request.headers
    return navigates and not program and request.url.path not in LOGIN_PATHS


def _led_to_login(request: Request, problem: Problem) -> Response:
    """Return the page that goes on to the login; in place of what a form asked for, it waits.

    It is no redirect: that of a form would end at the issuer, where no form of ours may lead.
    """
    reads = request.method == "GET"
    login = "/login" + _next(request, reads=reads)
    status = problem.kind.status
    answer = page("login.html", None, status=status, title="Log in", login=login, reads=reads)
    answer.headers.update(problem.headers)
    if reads:
        answer.headers["Refresh"] = f"0; url={login}"
    return answer


def _next(request: Request, *, reads: bool) -> str:
    """Return what leads on from the login: to what was asked for, or to the page of the form."""
    if reads:
        query = f"?{request.url.query}" if request.url.query else ""
        wanted = request.url.path + query
    else:
        own = request.app.state.services.settings.serve.public_url.rstrip("/")
        sent_from = request.headers.get("referer", "")
        wanted = sent_from.removeprefix(own) if sent_from.startswith(f"{own}/") else ""
    if not wanted or len(wanted) > AFTER_CHARACTERS_MAX:
        return ""
    return "?" + urlencode({"next": wanted})
