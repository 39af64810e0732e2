"""The log over HTTP: pages, one entry, the feed, counts, and what is new as it comes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from processor import metrics
from processor.api.access import VIEW, Viewer, identified, require
from processor.api.description import PUBLIC
from processor.api.problems import Problem, documented
from processor.api.services import Services
from processor.errors import Outage
from processor.query import parse, render, suggest
from processor.store import facets, feed, search
from processor.store.reader import T, whole
from processor.store.search import Found, News
from schemas import query as asked
from schemas.catalogue import CATALOGUE, CATEGORY_LABELS
from schemas.entry import Entry
from schemas.entry import render as render_entry

router = APIRouter(tags=["log"])

ENTRIES_MAX, ENTRIES_DEFAULT = 10_000, 50
LARGE_ENTRIES = 1_000
"""A page of more is held in memory by a few requests of an organization alone."""

SEQ_MAX = 2**63 - 2
"""What Postgres can still count one further from."""
BARS_MAX = 60
TAIL_SECONDS = 1.0
TAIL_ENTRIES = 500
TAIL_IDENTIFIED_SECONDS = 5.0
"""After how long whoever follows is looked at again: what is revoked ends soon here, too."""

TAIL_MINUTES_MAX = 5
NDJSON_TYPE = "application/x-ndjson"
EVENTS_TYPE = "text/event-stream"

SEARCHING = documented("search_too_slow")
Reading = Annotated[Viewer, Depends(require(VIEW))]
Filter = Annotated[str, Query(max_length=2_000, description="the query, as in the search box")]


def services_of(request: Request) -> Services:
    """Return what the process works with."""
    services: Services = request.app.state.services
    return services


Serving = Annotated[Services, Depends(services_of)]


async def _following(viewer: Reading, services: Serving) -> AsyncIterator[None]:
    """Take one of the organization's places for live tails, until the answer ends."""
    with services.tails.taken(viewer.org_id):
        yield


Following = Depends(_following, scope="request")


class Shown(NamedTuple):
    """How what is followed is shown: an entry, and the ``seq`` up to which there is no other."""

    entry: Callable[[Entry], bytes]
    place: bytes


# Without data it is no event, but a client that comes back goes on from here.
_PLACE = b": nothing more\nid: %d\n\n"


@router.get("/v1/audit-entries", responses={200: {"content": {NDJSON_TYPE: {}}}, **SEARCHING})
async def entries(
    viewer: Reading,
    services: Serving,
    filter: Filter = "",
    limit: Annotated[int, Query(ge=1, le=ENTRIES_MAX)] = ENTRIES_DEFAULT,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    accept: Annotated[str, Header(max_length=500, include_in_schema=False)] = "",
) -> Response:
    """Return a page of entries, newest first; ``next`` is the cursor of the one behind it.

    When the time for a search ends first, ``searched_back_to`` says how far it came, and ``next``
    goes on from there. Hub Audit's own entries are left out unless they are asked for.
    """
    query = parse(filter)
    with _place(services, viewer, limit):
        async with services.searches.taken(viewer.org_id):
            found, following = await look(
                services, viewer, query, limit=limit, cursor=cursor, shown=render_entry
            )
        await services.self_audit.viewed(viewer, query, len(found.entries))
        if NDJSON_TYPE in accept:
            headers = {"X-Hub-Next-Cursor": following} if following else {}
            body = b"".join(line + b"\n" for line in found.entries)
            return Response(body, media_type=NDJSON_TYPE, headers=headers)
        return _json(
            {
                "entries": [orjson.Fragment(line) for line in found.entries],
                "next": following,
                "searched_back_to": found.searched_back_to,
                "complete_up_to": await services.complete_up_to(),
                "filter": render(query),
            }
        )


def _place(services: Services, viewer: Viewer, limit: int) -> AbstractContextManager[None]:
    """Take one of the organization's places for large pages; a small one needs none."""
    return services.pages.taken(viewer.org_id) if limit > LARGE_ENTRIES else nullcontext()


async def look(
    services: Services,
    viewer: Viewer,
    query: asked.Query,
    *,
    limit: int,
    cursor: str | None,
    shown: Callable[[Entry], T] = whole,
) -> tuple[Found[T], str | None]:
    """Return a page of a query's entries, as they are shown, and the cursor of the next page."""
    now, oldest = await services.oldest()
    text = render(query)
    before = services.cursors.read(viewer.org_id, text, cursor) if cursor else None
    found = await search.page(
        services.reader,
        viewer.org_id,
        query.at(now),
        before=before,
        limit=limit,
        budget_seconds=services.settings.serve.search_seconds,
        oldest=oldest,
        shown=shown,
    )
    key = found.older
    return found, services.cursors.made(viewer.org_id, text, key) if key else None


@router.get("/v1/audit-entries/{entry_id}", responses=documented("not_found"))
async def entry(viewer: Reading, services: Serving, entry_id: UUID) -> Response:
    """Return one entry by its id."""
    found = await search.entry(services.reader, viewer.org_id, entry_id)
    query = asked.Query((asked.Term(asked.Field.ID, (asked.Word(str(entry_id)),)),))
    await services.self_audit.viewed(viewer, query, int(found is not None))
    if found is None:
        raise Problem("not_found", "your organization has no entry of this id")
    return Response(render_entry(found), media_type="application/json")


@router.get("/v1/feed")
async def read_feed(
    viewer: Reading,
    services: Serving,
    after: Annotated[int, Query(ge=0, le=SEQ_MAX)] = 0,
    limit: Annotated[int, Query(ge=1, le=ENTRIES_MAX)] = 1_000,
) -> Response:
    """Return the entries that follow a sequence number: who has n has everything below n.

    ``head_seq`` is the last number there is; numbers without an entry are explained in ``gaps``.
    """
    with _place(services, viewer, limit):
        found = await feed.feed(
            services.reader, viewer.org_id, after=after, limit=limit, shown=render_entry
        )
        await services.self_audit.fed(viewer, after, len(found.entries))
        return _json(
            {
                "entries": [orjson.Fragment(line) for line in found.entries],
                "head_seq": found.head_seq,
                "gaps": [gap._asdict() for gap in found.gaps],
                "complete_up_to": await services.complete_up_to(),
            }
        )


@router.get("/v1/ranges")
async def ranges(viewer: Reading, services: Serving) -> Response:
    """Return how many entries there are per day and per range of numbers, to check a copy by."""
    async with services.searches.taken(viewer.org_id):
        found = await feed.ranges(services.reader, viewer.org_id)
    await services.self_audit.compared(viewer)
    parts = ("days", "seqs", "gaps")
    answer = {part: [row._asdict() for row in getattr(found, part)] for part in parts}
    return _json(answer | {"head_seq": found.head_seq})


@router.get("/v1/facets", responses=SEARCHING)
async def read_facets(viewer: Reading, services: Serving, filter: Filter = "") -> Response:
    """Return the commonest values of a query's entries; a count of 1001 means more than 1,000.

    ``at_least`` names the fields that have 200 values or more in a day, or in another stretch of
    time that is counted at once: its 200 commonest count, and of each value there may be more
    entries than its count says.
    """
    query = parse(filter)
    now, oldest = await services.oldest()
    seconds = services.settings.serve.search_seconds
    async with services.searches.taken(viewer.org_id):
        counted = await facets.facets(
            services.reader, viewer.org_id, query.at(now), budget_seconds=seconds, oldest=oldest
        )
    await services.self_audit.counted(viewer, query)
    found = {
        field.value: [{"value": each.value, "count": each.count} for each in counts]
        for field, counts in counted.items()
    }
    cut = [field.value for field in counted if field in counted.cut]
    answer = {"facets": found, "at_least": cut, "searched_back_to": counted.searched_back_to}
    return _json(answer)


@router.get("/v1/histogram", responses=SEARCHING)
async def read_histogram(
    viewer: Reading,
    services: Serving,
    filter: Filter = "",
    since: datetime | None = None,
    until: datetime | None = None,
    bars: Annotated[int, Query(ge=1, le=BARS_MAX)] = BARS_MAX,
) -> Response:
    """Return how many of a query's entries there are in stretches of a round length of time.

    Without ``until`` they end now, and the last has what is of later, too, clocks differing.
    """
    query = parse(filter)
    now, oldest = await services.oldest()
    fixed = query.at(now)
    begin = in_utc(since) if since else oldest
    end = in_utc(until) if until else now
    if begin >= end:
        raise Problem("request_invalid", "until is before since")
    if until:
        before = asked.Term(asked.Field.CREATED, (asked.Period(None, end),))
        fixed = asked.Query((*fixed.terms, before))
    async with services.searches.taken(viewer.org_id):
        counted = await facets.histogram(
            services.reader,
            viewer.org_id,
            fixed,
            since=max(begin, oldest),
            until=max(end, oldest),
            bars=bars,
            budget_seconds=services.settings.serve.search_seconds,
        )
    await services.self_audit.counted(viewer, query)
    found = [{"since": bar.since, "until": bar.until, "count": bar.count} for bar in counted]
    return _json({"bars": found, "searched_back_to": counted.searched_back_to})


@router.get(
    "/v1/tail",
    response_class=StreamingResponse,
    responses={200: {"content": {EVENTS_TYPE: {}}}},
    dependencies=[Following],
)
async def tail(
    request: Request,
    viewer: Reading,
    services: Serving,
    filter: Filter = "",
    after: Annotated[int | None, Query(ge=0, le=SEQ_MAX)] = None,
) -> StreamingResponse:
    """Send new entries as they come, as server-sent events; an event's id is its ``seq``.

    An id without an event says up to which ``seq`` there is no other.
    """
    query = parse(filter)
    after = await begin_following(request, services, viewer, query, after)
    return following(request, viewer, query, after, Shown(render_entry, _PLACE))


async def begin_following(
    request: Request, services: Services, viewer: Viewer, query: asked.Query, after: int | None
) -> int:
    """Tell the log of it; return the number to go on from: a client that comes back says where."""
    resumed = request.headers.get("last-event-id", "")
    if resumed.isascii() and resumed.isdecimal():
        after = min(int(resumed), SEQ_MAX)
    elif after is None:
        after = await feed.head(services.reader, viewer.org_id)
    await services.self_audit.followed(viewer, query, after)
    return after


def following(
    request: Request, viewer: Viewer, query: asked.Query, after: int, shown: Shown
) -> StreamingResponse:
    """Return the stream of what is new, each entry and each place as it is shown."""
    events = _tail(request, viewer, query, after, shown)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type=EVENTS_TYPE, headers=headers)


async def _tail(
    request: Request, viewer: Viewer, query: asked.Query, after: int, shown: Shown
) -> AsyncIterator[bytes]:
    """Yield events until the token ends, or for a while; the client comes back by itself."""
    yield b"retry: 2000\n\n"
    try:
        async for event in _events(request, viewer, query, after, shown):
            yield event
    except Outage:  # of which it is told when it comes back
        metrics.tail_cut_off()


async def _events(
    request: Request, viewer: Viewer, query: asked.Query, after: int, shown: Shown
) -> AsyncIterator[bytes]:
    """Yield what is new, and how far it was looked for it; raises Outage."""
    services, clock = services_of(request), asyncio.get_running_loop().time
    seconds = min(TAIL_MINUTES_MAX * 60, viewer.valid_until - time.time())
    deadline, identified_at = clock() + seconds, clock()
    while clock() < deadline:
        if clock() - identified_at > TAIL_IDENTIFIED_SECONDS:
            try:
                await identified(request)
            except Problem:
                return  # what it is, it is told when it comes back
            identified_at = clock()
        found, after, head = await _newer(services, viewer, query, after)
        for each in found:
            lines = b"".join(b"data: %b\n" % line for line in shown.entry(each).splitlines())
            yield b"id: %d\n%b\n" % (each["seq"], lines)
        yield shown.place % after
        if after >= head:
            await asyncio.sleep(TAIL_SECONDS)


async def _newer(services: Services, viewer: Viewer, query: asked.Query, after: int) -> News:
    """Return what is new, as far as one look goes; as long as no turn comes, only that there is."""
    now, head = await services.reader.now(), await feed.head(services.reader, viewer.org_id)
    if head <= after:
        return News([], after, head)
    try:
        # Who is far behind looks again and again: that is no less work than searching.
        async with services.searches.taken(viewer.org_id):
            return await search.newer(
                services.reader, viewer.org_id, query.at(now), after_seq=after, limit=TAIL_ENTRIES
            )
    except Problem:
        return News([], after, head)


@router.get("/v1/suggest")
async def suggestions(
    viewer: Reading, text: Filter = "", cursor: Annotated[int | None, Query(ge=0, le=2_000)] = None
) -> Response:
    """Return completions for the search box."""
    del viewer  # who may not read needs no suggestions
    return _json({"suggestions": [each._asdict() for each in suggest(text, cursor)]})


@router.get("/v1/catalogue", openapi_extra=PUBLIC)
async def catalogue() -> Response:
    """Return every action there is: what it is called, its category, severity and topic."""
    actions = [
        {
            "action": action.name,
            "label": action.label,
            "category": action.category,
            "severity": action.severity,
            "targets": action.targets,
            "topic": action.topic,
        }
        for action in CATALOGUE.values()
    ]
    return _json({"actions": actions, "categories": CATEGORY_LABELS})


def _json(answer: Mapping[str, Any]) -> Response:
    option = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC
    headers = {"Cache-Control": "no-store"}
    return Response(orjson.dumps(answer, option=option), headers=headers, media_type=_JSON)


_JSON = "application/json"


def in_utc(instant: datetime) -> datetime:
    """Return an instant in UTC, which it is in without a zone; raises Problem where none is."""
    try:
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except OverflowError as error:
        raise Problem("request_invalid", "a time must be in the years 1 to 9999, UTC") from error
