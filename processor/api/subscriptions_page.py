"""The SIEM section of the page: plain forms over the same orders as the API."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, get_args

from fastapi import APIRouter, Form, Query, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from processor.api import html, problems, view
from processor.api.access import SUBSCRIBE, Viewer, require
from processor.api.entries import services_of
from processor.api.login import insist_on_origin
from processor.api.problems import Problem
from processor.api.services import Services
from processor.api.subscriptions import ReplayRequest, Subscription, one, ordered, shown
from processor.forward.control import connection_of, removal_of, waits_for
from processor.store import subscriptions as store
from schemas.catalogue import CATALOGUE, CATEGORY_LABELS, FormatName
from schemas.subscription import Filter

router = APIRouter(include_in_schema=False)

SECTION = "/siem"
SEE_OTHER = 303
CHOICES_MAX = 100
MINUTE, HOUR, DAY = 60, 3_600, 86_400

Choices = Annotated[list[str], Form(max_length=CHOICES_MAX)]
Order = Literal["pause", "resume", "test", "delete"]


class Kind(NamedTuple):
    """A format as people choose it."""

    label: str
    about: str


KINDS: Mapping[str, Kind] = {
    "hub": Kind("Hub JSON", "The audit entry as Hub keeps it: every field, nothing mapped."),
    "ocsf": Kind("OCSF 1.8", "Open Cybersecurity Schema Framework, for security lakes."),
    "ecs": Kind("ECS", "Elastic Common Schema, for Elasticsearch and what reads it."),
    "cef": Kind("CEF", "Common Event Format in RFC 5424 syslog lines, for classic SIEMs."),
}

DONE = {
    "created": "Subscribed. Send a test event to see it arrive.",
    "unmatched": "Subscribed, but no entry of the last "
    f"{store.MATCHED_DAYS} days would have passed its filter. Is that what you want?",
    "pause": "Paused. The position is kept for as long as entries are kept.",
    "resume": "Resumed. Entries that came in the meantime are being delivered.",
    "test": "A test event is ordered{}.",
    "replay": "The replay is ordered{}.",
    "delete": "The subscription and its topic are deleted.",
}

BEGINS_ONCE = "Fill in one of the two: After entry, or recorded since."


@router.get(SECTION)
async def overview(
    request: Request,
    done: Annotated[str, Query(max_length=20)] = "",
    left: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """Show the organization's subscriptions, or what they are good for.

    ``left`` is the format of one that was deleted, and whose reader's rights are still there.
    """

    async def answer(viewer: Viewer, services: Services) -> Response:
        """List them."""
        found = await store.listed(services.control, viewer.org_id)
        now = await services.reader.now()
        return html.page(
            "siem.html",
            viewer,
            section=SECTION,
            title="SIEM",
            rows=[_row(shown(services, each), now) for each in found],
            running=await store.forwarding(services.control),
            more=len(found) < len(get_args(FormatName)),
            kept=view.days(services.settings.retention_days),
            done=DONE.get(done),
            left=_left(services, viewer, left, {each.format for each in found}),
        )

    return await _answered(request, answer)


@router.get(SECTION + "/new")
async def new(request: Request) -> Response:
    """Show the form for another subscription."""

    async def answer(viewer: Viewer, services: Services) -> Response:
        """Show it empty."""
        return await _form(services, viewer, {})

    return await _answered(request, answer)


@router.post(SECTION)
async def create(
    request: Request,
    *,
    format: Annotated[str, Form(max_length=20)] = "",
    actions: Choices = [],  # noqa: B006 - FastAPI copies it
    categories: Choices = [],  # noqa: B006
    outcomes: Choices = [],  # noqa: B006
    severity_min: Annotated[int, Form(ge=0, le=10)] = 0,
) -> Response:
    """Subscribe, and show what came of it."""
    given: dict[str, Any] = {"actions": actions, "categories": categories}
    given |= {"outcomes": outcomes, "severity_min": severity_min}

    async def answer(viewer: Viewer, services: Services) -> Response:
        """Do it, or show the form again with what is wrong."""
        try:
            name, wanted = _format(format), Filter(**given)
            async with ordered(services, viewer) as control:
                made = await control.create(viewer.org_id, name, wanted)
        except (ValidationError, Problem) as error:
            return await _form(services, viewer, given | {"format": format}, error)
        return _back(f"{SECTION}/{name}", "unmatched" if made.unmatched else "created")

    return await _answered(request, answer)


@router.get(SECTION + "/{format}")
async def detail(
    request: Request, format: str, done: Annotated[str, Query(max_length=20)] = ""
) -> Response:
    """Show one subscription: how it stands, how to read it, and what can be done with it."""

    async def answer(viewer: Viewer, services: Services) -> Response:
        """Show it."""
        return await _detail(services, viewer, _known(format), done=DONE.get(done))

    return await _answered(request, answer)


@router.get(SECTION + "/{format}/delete")
async def ask_delete(request: Request, format: str) -> Response:
    """Ask whether a subscription is really to be ended."""

    async def answer(viewer: Viewer, services: Services) -> Response:
        """Say what will be gone."""
        found = shown(services, await one(services, viewer, _known(format)))
        return html.page(
            "siem_delete.html", viewer, section=SECTION, title="Delete", each=found,
            kind=_kind(found.format),
        )  # fmt: skip

    return await _answered(request, answer)


@router.post(SECTION + "/{format}/replay")
async def replay(
    request: Request,
    format: str,
    *,
    after_seq: Annotated[str, Form(max_length=20)] = "",
    since: Annotated[str, Form(max_length=40)] = "",
    through_seq: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Deliver again, and show that it has begun."""
    given = {"after_seq": after_seq, "since": since, "through_seq": through_seq}
    asked = {name: text.strip() for name, text in given.items() if text.strip()}

    async def answer(viewer: Viewer, services: Services) -> Response:
        """Do it, or say what is wrong with it."""
        name = _known(format)
        try:
            again = _again(asked)
            async with ordered(services, viewer) as control:
                await control.replay(viewer.org_id, name, again.begin, again.through_seq)
        except (ValidationError, Problem) as error:
            return await _detail(services, viewer, name, wrong=_said(error), given=given)
        return _back(f"{SECTION}/{name}", "replay")

    return await _answered(request, answer)


@router.post(SECTION + "/{format}/{order}")
async def order(request: Request, format: str, order: Order) -> Response:
    """Carry an order out, and show the subscription as it is then."""

    async def answer(viewer: Viewer, services: Services) -> Response:
        """Do it."""
        name = _known(format)
        async with ordered(services, viewer) as control:
            left = await getattr(control, order)(viewer.org_id, name)
        if order == "delete":
            return _back(SECTION, f"{order}&left={name}" if left else order)
        return _back(f"{SECTION}/{name}", order)

    return await _answered(request, answer)


async def _answered(
    request: Request, answer: Callable[[Viewer, Services], Awaitable[Response]]
) -> Response:
    """Answer somebody who may; forms have to come from this page."""
    viewer: Viewer | None = None
    try:
        viewer = await require(SUBSCRIBE)(request)
        if request.method == "POST":
            insist_on_origin(request)
        return await answer(viewer, services_of(request))
    except (*problems.HANDLED,) as error:
        return await html.refused(request, viewer, error, section=SECTION)


async def _form(
    services: Services,
    viewer: Viewer,
    given: Mapping[str, Any],
    error: ValidationError | Problem | None = None,
) -> Response:
    taken = {each.format for each in await store.listed(services.control, viewer.org_id)}
    names: Sequence[FormatName] = get_args(FormatName)
    free = [name for name in names if name not in taken]
    chosen = given.get("format") if given.get("format") in free else next(iter(free), None)
    status = 200 if error is None else _status(error)
    return html.page(
        "siem_new.html",
        viewer,
        section=SECTION,
        status=status,
        title="Subscribe",
        formats=[
            (name, _kind(name), connection_of(services.settings, viewer.org_id, name).topic)
            for name in names
        ],
        taken=taken,
        chosen=chosen,
        free=free,
        given=given,
        wrong=_said(error) if error else None,
        connection=connection_of(services.settings, viewer.org_id, names[0]),
        categories=CATEGORY_LABELS,
        actions=[
            (label, [each for each in CATALOGUE.values() if each.category == category])
            for category, label in CATEGORY_LABELS.items()
        ],
        severities=range(1, _severity_max() + 1),
    )


async def _detail(services: Services, viewer: Viewer, name: FormatName, **more: Any) -> Response:
    found = shown(services, await one(services, viewer, name))
    running = await store.forwarding(services.control)
    now = await services.reader.now()
    given = {"wrong": None, "done": None, "given": {}} | more
    if given["done"]:
        given["done"] = given["done"].format(
            waits_for(paused=found.state == "paused", running=running)
        )
    return html.page(
        "siem_one.html",
        viewer,
        section=SECTION,
        status=400 if given["wrong"] else 200,
        title=_kind(name).label,
        **_row(found, now),
        running=running,
        kept=view.days(services.settings.retention_days),
        properties=_properties(found),
        **given,
    )


def _left(services: Services, viewer: Viewer, name: str, there: Collection[str]) -> list[str]:
    """Return what takes the rights of a deleted subscription's reader back."""
    names: Sequence[FormatName] = get_args(FormatName)
    return [
        command
        for each in names
        if each == name and each not in there
        for command in removal_of(services.settings, viewer.org_id, each, last=not there)
    ]


def _row(each: Subscription, now: datetime) -> dict[str, Any]:
    """Return what pages show of a subscription."""
    delivered = each.last_delivered_at
    return {
        "each": each,
        "kind": _kind(each.format),
        "url": f"{SECTION}/{each.format}",
        "conditions": conditions(each.filter),
        "delivered": delivered and view.instant(delivered),
        "delivered_ago": delivered and ago((now - delivered).total_seconds()),
        "since": each.reason_since and view.instant(each.reason_since),
        "created": view.instant(each.created_at),
    }


def conditions(wanted: Filter) -> list[str]:
    """Return a filter in words, condition by condition; none lets all pass."""
    said = []
    if wanted.categories:
        said.append(" or ".join(CATEGORY_LABELS[each] for each in wanted.categories))
    if wanted.actions:
        said.append(" or ".join(wanted.actions))
    if wanted.outcomes:
        said.append(f"outcome {' or '.join(wanted.outcomes)}")
    if wanted.severity_min:
        said.append(f"severity {wanted.severity_min} and above")
    return said


def ago(seconds: float) -> str:
    """Return how long ago something was, in the largest whole unit."""
    for size, unit in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return f"{max(0, int(seconds))} s ago"


def _properties(each: Subscription) -> str:
    """Return the settings of a Kafka consumer that reads the topic."""
    connection = each.connection
    lines = [
        f"bootstrap.servers={connection.bootstrap_servers}",
        f"group.id={connection.group_id}",
        f"isolation.level={connection.isolation_level}",
        "auto.offset.reset=earliest",
    ]
    if connection.security_protocol != "PLAINTEXT":
        lines.insert(1, f"security.protocol={connection.security_protocol}")
    return "\n".join(lines)


def _again(asked: Mapping[str, str]) -> ReplayRequest:
    """Return what the form asks for; raises Problem or ValidationError."""
    if ("after_seq" in asked) == ("since" in asked):
        raise Problem("request_invalid", BEGINS_ONCE)
    return ReplayRequest.model_validate(asked)


def _known(text: str) -> FormatName:
    """Return a format's name out of an address; raises Problem."""
    names: Sequence[FormatName] = get_args(FormatName)
    for name in names:
        if name == text:
            return name
    raise Problem("not_found", f"There is no format of this name. Formats: {', '.join(names)}.")


def _format(text: str) -> FormatName:
    """Return the format that was chosen; raises Problem."""
    try:
        return _known(text)
    except Problem as error:
        raise Problem("request_invalid", error.detail) from error


def _kind(name: str) -> Kind:
    return KINDS.get(name) or Kind(name, "")


def _severity_max() -> int:
    return max(
        max(each.severity_of("success"), each.severity_of("failure")) for each in CATALOGUE.values()
    )


def _said(error: ValidationError | Problem) -> str:
    if isinstance(error, Problem):
        return error.detail or error.kind.fix
    first = error.errors()[0]
    return str(first["msg"]).removeprefix("Value error, ")


def _status(error: ValidationError | Problem) -> int:
    return error.kind.status if isinstance(error, Problem) else 400


def _back(path: str, done: str) -> Response:
    return RedirectResponse(f"{path}?done={done}", SEE_OTHER)
