"""SIEM subscriptions over HTTP: an organization's Owners and Admins serve themselves.

There is one subscription of a format at most, so its format names it. Every order is told to the
organization's own log before it is carried out.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from starlette.responses import JSONResponse, Response

from processor.api.access import SUBSCRIBE, Viewer, require
from processor.api.entries import SEQ_MAX, Serving
from processor.api.login import insist_on_intent
from processor.api.problems import Problem, documented
from processor.api.services import Services
from processor.forward.control import (
    AlreadySubscribed,
    Control,
    NotSubscribed,
    SubscriptionError,
    commands_of,
    connection_of,
)
from processor.store import subscriptions as store
from processor.store.subscriptions import Access, State
from schemas.catalogue import FormatName
from schemas.subscription import Filter

router = APIRouter(tags=["subscriptions"])

OK, CREATED, ACCEPTED, NO_CONTENT = 200, 201, 202, 204
MISSING = documented("not_found")
YEAR_MIN, YEAR_MAX = 1970, 9998
"""Of a time from which on something is wanted: with room for every offset from UTC."""


class SubscriptionRequest(BaseModel):
    """What is subscribed to."""

    model_config = ConfigDict(extra="forbid")

    format: FormatName
    filter: Filter = Filter()


class ReplayRequest(BaseModel):
    """What is wanted again: entries above a number, or recorded from a time on."""

    model_config = ConfigDict(extra="forbid")

    after_seq: Annotated[int, Field(ge=0, le=SEQ_MAX)] | None = None
    since: datetime | None = None
    through_seq: Annotated[int, Field(ge=1, le=SEQ_MAX)] | None = None

    @field_validator("since")
    @classmethod
    def _is_a_time(cls, since: datetime | None) -> datetime | None:
        if since is None:
            return None
        if not YEAR_MIN <= since.year <= YEAR_MAX:
            raise ValueError(f"a year from {YEAR_MIN} to {YEAR_MAX} expected")
        return since if since.tzinfo else since.replace(tzinfo=UTC)

    @model_validator(mode="after")
    def _begins_once(self) -> Self:
        if (self.after_seq is None) == (self.since is None):
            raise ValueError("say either after_seq or since")
        return self

    @property
    def begin(self) -> int | datetime:
        """After which number, or from which time on."""
        return self.since or self.after_seq or 0


class Connection(BaseModel):
    """What a SIEM's reader of the topic has to be told."""

    bootstrap_servers: str
    security_protocol: str
    topic: str
    group_id: str
    isolation_level: str
    principal: str


class ReplayProgress(BaseModel):
    """A replay that is under way."""

    id: str
    after_seq: int
    through_seq: int
    replayed_through_seq: int


class Subscription(BaseModel):
    """A subscription as it stands.

    Everything up to ``through_seq`` was considered for it; ``lag_entries`` wait. ``reason`` says
    why it fails, ``acl_commands`` what lets its reader in where Hub Audit could not.
    """

    format: str
    state: State
    reason: str | None
    reason_since: datetime | None
    filter: Filter
    through_seq: int
    head_seq: int
    lag_entries: int
    created_at: datetime
    last_delivered_at: datetime | None
    replay: ReplayProgress | None
    test_pending: bool
    access: Access
    acl_commands: list[str]
    connection: Connection
    warnings: list[str] = []


class RightsLeft(BaseModel):
    """What operators of the bus have to run after a deletion: the rights of its reader are left."""

    acl_commands: list[str]


class SubscriptionList(BaseModel):
    """An organization's subscriptions, and whether anybody forwards at the moment."""

    subscriptions: list[Subscription]
    forwarder_running: bool


async def ordering(request: Request) -> Viewer:
    """Return who may order; a browser's cookie counts only for what comes from our page."""
    viewer = await require(SUBSCRIBE)(request)
    if request.method != "GET":
        insist_on_intent(request)
    return viewer


Ordering = Annotated[Viewer, Depends(ordering)]


@router.get("/v1/subscriptions")
async def listed(viewer: Ordering, services: Serving) -> SubscriptionList:
    """Return the organization's subscriptions with their state, place and lag."""
    found = await store.listed(services.control, viewer.org_id)
    return SubscriptionList(
        subscriptions=[shown(services, each) for each in found],
        forwarder_running=await store.forwarding(services.control),
    )


@router.post("/v1/subscriptions", status_code=CREATED, responses=documented("subscription_exists"))
async def create(viewer: Ordering, services: Serving, wanted: SubscriptionRequest) -> Subscription:
    """Begin to deliver, from the next entry on, and make the topic.

    ``warnings`` says what is to be considered, such as that nothing passed the filter lately.
    """
    async with ordered(services, viewer) as control:
        made = await control.create(viewer.org_id, wanted.format, wanted.filter)
    found = await one(services, viewer, wanted.format)
    return shown(services, found).model_copy(update={"warnings": made.warnings})


@router.get("/v1/subscriptions/{format}", responses=MISSING)
async def read(viewer: Ordering, services: Serving, format: FormatName) -> Subscription:
    """Return one subscription as it stands."""
    return shown(services, await one(services, viewer, format))


@router.post("/v1/subscriptions/{format}/pause", responses=MISSING)
async def pause(viewer: Ordering, services: Serving, format: FormatName) -> Subscription:
    """Deliver nothing until it is resumed; the place is kept for as long as entries are."""
    return await _done(services, viewer, format, lambda each: each.pause(viewer.org_id, format))


@router.post("/v1/subscriptions/{format}/resume", responses=MISSING)
async def resume(viewer: Ordering, services: Serving, format: FormatName) -> Subscription:
    """Go on where it was paused; one that failed is tried again at once."""
    return await _done(services, viewer, format, lambda each: each.resume(viewer.org_id, format))


@router.post("/v1/subscriptions/{format}/test", status_code=ACCEPTED, responses=MISSING)
async def test(viewer: Ordering, services: Serving, format: FormatName) -> Subscription:
    """Deliver an event that says that it is a test; ``test_pending`` until it is sent."""
    return await _done(services, viewer, format, lambda each: each.test(viewer.org_id, format))


@router.post("/v1/subscriptions/{format}/replay", status_code=ACCEPTED, responses=MISSING)
async def replay(
    viewer: Ordering, services: Serving, format: FormatName, again: ReplayRequest
) -> Subscription:
    """Deliver entries again, marked as a replay; live delivery goes on where it is."""
    return await _done(
        services,
        viewer,
        format,
        lambda each: each.replay(viewer.org_id, format, again.begin, again.through_seq),
    )


@router.delete(
    "/v1/subscriptions/{format}",
    status_code=NO_CONTENT,
    responses={
        OK: {"model": RightsLeft, "description": "Deleted, but for its reader's rights."},
        **MISSING,
    },
)
async def delete(viewer: Ordering, services: Serving, format: FormatName) -> Response:
    """End the subscription and delete its topic.

    Where Hub Audit may not take its reader's rights back, the answer has what does.
    """
    async with ordered(services, viewer) as control:
        left = await control.delete(viewer.org_id, format)
    if left:
        return JSONResponse(RightsLeft(acl_commands=left).model_dump(), OK)
    return Response(status_code=NO_CONTENT)


# --- what the page shares ----------------------------------------------------------------------


@asynccontextmanager
async def ordered(services: Services, viewer: Viewer) -> AsyncIterator[Control]:
    """Lend who carries out a viewer's orders, one of an organization's at a time.

    What is told of an order comes before it is done: of two for the same only one may be told.
    Several instances keep a turn each, so that two may still be told where they come to two in
    the same moment. A lock that all share would hold a connection for as long as the bus takes.
    """
    async with services.orders.taken(viewer.org_id), _controlling(services, viewer) as control:
        yield control


@asynccontextmanager
async def _controlling(services: Services, viewer: Viewer) -> AsyncIterator[Control]:
    """Lend who knows a viewer's subscriptions; what makes no sense is a Problem."""

    async def looks(org_id: str, wanted: Filter) -> bool | None:
        """Look through the log as a search does: it takes as long as one."""
        try:
            async with services.searches.taken(org_id):
                return await store.matched(services.reader, org_id, wanted)
        except Problem:  # the warning is not worth the order
            return None

    try:
        yield Control(
            services.settings, services.control, services.events, viewer.actor, viewer.client,
            looks=looks,
        )  # fmt: skip
    except AlreadySubscribed as error:
        raise Problem("subscription_exists", str(error)) from error
    except NotSubscribed as error:
        raise Problem("not_found", str(error)) from error
    except SubscriptionError as error:
        raise Problem("request_invalid", str(error)) from error


async def one(services: Services, viewer: Viewer, name: FormatName) -> store.Subscription:
    """Return a subscription; raises Problem when there is none."""
    async with _controlling(services, viewer) as control:
        return await control.existing(viewer.org_id, name)


def shown(services: Services, each: store.Subscription) -> Subscription:
    """Return a subscription as it is shown to its owners."""
    settings = services.settings
    replaying = None
    if each.replay is not None:
        replaying = ReplayProgress(
            id=str(each.replay.id),
            after_seq=each.replay.after,
            through_seq=each.replay.through,
            replayed_through_seq=max(each.replay.after, each.replayed_through or 0),
        )
    commands = [] if each.access == "set" else commands_of(settings, each.org_id, each.format)
    return Subscription(
        format=each.format,
        state=each.state,
        reason=each.error,
        reason_since=each.error_at,
        filter=each.filter,
        through_seq=each.forwarded_through,
        head_seq=each.last_seq,
        lag_entries=each.lag_entries,
        created_at=each.created_at,
        last_delivered_at=each.delivered_at,
        replay=replaying,
        test_pending=each.test_id is not None,
        access=each.access,
        acl_commands=commands,
        connection=Connection(**connection_of(settings, each.org_id, each.format)._asdict()),
    )


async def _done(
    services: Services,
    viewer: Viewer,
    name: FormatName,
    order: Callable[[Control], Awaitable[object]],
) -> Subscription:
    async with ordered(services, viewer) as control:
        await order(control)
    return shown(services, await one(services, viewer, name))
