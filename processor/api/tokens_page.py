"""Tokens of programs that read the log: made, rotated and revoked by Owners and Admins.

The page is plain forms over the same orders as the API. A secret is in one answer and never again.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5  # noqa: TID251 - a form has no identity before

import orjson
from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from processor.api import html, problems
from processor.api.access import SUBSCRIBE, Viewer, require
from processor.api.entries import Serving, services_of
from processor.api.login import insist_on_intent, insist_on_origin
from processor.api.problems import Problem, documented
from processor.api.services import Services
from processor.store import service_tokens
from processor.store.service_tokens import AlreadyMade, ServiceToken

log = logging.getLogger(__name__)
router = APIRouter()

SECTION = "/tokens"
DAYS_DEFAULT, DAYS_MAX = 90, service_tokens.LIFETIME_MAX.days
OVERLAP_HOURS_DEFAULT, OVERLAP_HOURS_MAX = 24, 24 * 30
SEE_OTHER = 303
CREATED = 201

Keeper = Annotated[Viewer, Depends(require(SUBSCRIBE))]
Days = Annotated[int, Query(ge=1, le=DAYS_MAX, description="how long it is taken")]
DaysSent = Annotated[int, Form(ge=1, le=DAYS_MAX)]
Overlap = Annotated[int, Query(ge=0, le=OVERLAP_HOURS_MAX, description="of the old one")]
Once = Annotated[UUID | None, Form()]
"""What a form is known by when it is sent again, as by a page that is loaded again."""

Made = tuple[str, ServiceToken]


@router.get("/v1/service-tokens", tags=["service tokens"])
async def listed(viewer: Keeper, services: Serving) -> Response:
    """Return the organization's tokens, the newest first, never themselves."""
    found = await service_tokens.listed(services.control, viewer.org_id)
    return _json({"tokens": [_row(each) for each in found]})


@router.post("/v1/service-tokens", status_code=CREATED, tags=["service tokens"])
async def create(
    request: Request,
    viewer: Keeper,
    services: Serving,
    name: Annotated[str, Query(max_length=service_tokens.NAME_CHARACTERS_MAX)],
    days: Days = DAYS_DEFAULT,
) -> Response:
    """Make a token by which a program may read the log; ``token`` is in this answer alone."""
    insist_on_intent(request)
    secret, made = await _made(services, viewer, name, days)
    return _json({"token": secret, **_row(made)}, CREATED)


@router.post(
    "/v1/service-tokens/{token_id}/rotate",
    status_code=CREATED,
    responses=documented("not_found"),
    tags=["service tokens"],
)
async def rotate(
    request: Request,
    viewer: Keeper,
    services: Serving,
    token_id: UUID,
    days: Days = DAYS_DEFAULT,
    overlap_hours: Overlap = OVERLAP_HOURS_DEFAULT,
) -> Response:
    """Make a token in the place of another one, which ends after the overlap."""
    insist_on_intent(request)
    secret, made = await _rotated(services, viewer, token_id, days, overlap_hours)
    return _json({"token": secret, **_row(made)}, CREATED)


@router.delete(
    "/v1/service-tokens/{token_id}",
    status_code=204,
    responses=documented("not_found"),
    tags=["service tokens"],
)
async def revoke(request: Request, viewer: Keeper, services: Serving, token_id: UUID) -> Response:
    """End a token at once."""
    insist_on_intent(request)
    await _revoked(services, viewer, token_id)
    return Response(status_code=204)


@router.get(SECTION, include_in_schema=False)
async def show(request: Request) -> Response:
    """Show the organization's tokens, and the form for another one."""

    async def nothing(_viewer: Viewer, _services: Services) -> None:
        """Change nothing."""

    return await _page(request, nothing)


@router.post(SECTION, include_in_schema=False)
async def create_here(
    request: Request,
    name: Annotated[str, Form(max_length=service_tokens.NAME_CHARACTERS_MAX)] = "",
    days: DaysSent = DAYS_DEFAULT,
    form: Once = None,
) -> Response:
    """Make a token, and show it this once."""

    async def make(viewer: Viewer, services: Services) -> Made:
        """Do it."""
        made_as = _by_form(form, viewer, name, str(days))
        return await _made(services, viewer, name, days, made_as)

    return await _page(request, make)


@router.post(SECTION + "/{token_id}/rotate", include_in_schema=False)
async def rotate_here(
    request: Request, token_id: UUID, days: DaysSent = DAYS_DEFAULT, form: Once = None
) -> Response:
    """Make a token in the place of another one, and show it this once."""

    async def rotate(viewer: Viewer, services: Services) -> Made:
        """Do it."""
        hours, made_as = OVERLAP_HOURS_DEFAULT, _by_form(form, viewer, str(token_id))
        return await _rotated(services, viewer, token_id, days, hours, made_as)

    return await _page(request, rotate)


@router.post(SECTION + "/{token_id}/revoke", include_in_schema=False)
async def revoke_here(request: Request, token_id: UUID) -> Response:
    """End a token at once."""

    async def revoke(viewer: Viewer, services: Services) -> None:
        """Do it."""
        await _revoked(services, viewer, token_id)

    answer = await _page(request, revoke)
    # So that the page can be loaded again without asking for it again.
    return RedirectResponse(SECTION, SEE_OTHER) if answer.status_code == OK else answer


async def _page(
    request: Request, order: Callable[[Viewer, Services], Awaitable[Made | None]]
) -> Response:
    """Carry an order out and show the tokens as they are then."""
    viewer: Viewer | None = None
    try:
        viewer = await require(SUBSCRIBE)(request)
        if request.method == "POST":
            insist_on_origin(request)
        services = services_of(request)
        made = await order(viewer, services)
        found = await service_tokens.listed(services.control, viewer.org_id)
        return html.page(
            "tokens.html",
            viewer,
            section=SECTION,
            title="Service tokens",
            tokens=[_row(each) | {"days": _days(each)} for each in found],
            made=made,
            days=DAYS_DEFAULT,
            days_max=DAYS_MAX,
            overlap_hours=OVERLAP_HOURS_DEFAULT,
            url=services.settings.serve.public_url,
            form=uuid4(),
        )
    except AlreadyMade:
        return RedirectResponse(SECTION, SEE_OTHER)
    except (*problems.HANDLED,) as error:
        return await html.refused(request, viewer, error, section=SECTION)


OK = 200


def _by_form(form: UUID | None, viewer: Viewer, *order: str) -> UUID | None:
    """Return the id of what a form makes: the same one however often it is sent with this order."""
    parts = (viewer.org_id, viewer.subject, str(form), *order)
    return form and uuid5(NAMESPACE_URL, orjson.dumps(parts).decode())


async def _made(
    services: Services, viewer: Viewer, name: str, days: int, made_as: UUID | None = None
) -> Made:
    name = " ".join(name.split())
    if not service_tokens.is_name(name):
        raise Problem("request_invalid", "a name is made of printable characters, at least one")
    lifetime = timedelta(days=days)
    made = await service_tokens.create(services.control, viewer.org_id, name, lifetime, made_as)
    if made is None:
        raise Problem(
            "request_invalid",
            f"{service_tokens.IN_FORCE_MAX} tokens are valid already: revoke some first",
        )
    _note("service_token_created", viewer, made[1].id)
    return made


async def _rotated(
    services: Services,
    viewer: Viewer,
    token_id: UUID,
    days: int,
    overlap_hours: int,
    made_as: UUID | None = None,
) -> Made:
    made = await service_tokens.rotate(
        services.control,
        viewer.org_id,
        token_id,
        lifetime=timedelta(days=days),
        overlap=timedelta(hours=overlap_hours),
        new_id=made_as,
    )
    if made is None:
        raise Problem(
            "not_found",
            "your organization has no such valid token, or "
            f"{service_tokens.IN_FORCE_MAX} other valid ones: rotate without an overlap then",
        )
    _note("service_token_rotated", viewer, made[1].id)
    return made


async def _revoked(services: Services, viewer: Viewer, token_id: UUID) -> None:
    if not await service_tokens.revoke(services.control, viewer.org_id, token_id):
        raise Problem("not_found", "your organization has no such valid token")
    _note("service_token_revoked", viewer, token_id)


def _note(event: str, viewer: Viewer, token_id: UUID) -> None:
    """Log it here: the raw contract has no event for what is done to tokens."""
    log.info(event, extra={"org": viewer.org_id, "by": viewer.subject, "token": str(token_id)})


def _row(each: ServiceToken) -> dict[str, Any]:
    now = datetime.now(UTC)  # noqa: TID251 - a list is of the moment
    state = "revoked" if each.revoked_at else "expired" if each.expires_at <= now else "active"
    return {**each._asdict(), "id": str(each.id), "state": state}


def _days(each: ServiceToken) -> int:
    """Return for how long a token was made: the one in its place is for as long."""
    return max(1, round((each.expires_at - each.created_at) / timedelta(days=1)))


def _json(answer: dict[str, Any], status: int = 200) -> Response:
    text = orjson.dumps(answer, option=orjson.OPT_UTC_Z)
    headers = {"Cache-Control": "no-store"}
    return Response(text, status, headers=headers, media_type="application/json")
