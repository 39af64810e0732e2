"""The audit log page, rendered here: it works without any script."""

from datetime import datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from processor.api import entries, entry_view, html, problems, search_form, view
from processor.api.access import EXPORT, SUBSCRIBE, VIEW, Viewer, require
from processor.api.limits import together
from processor.api.problems import Problem
from processor.api.services import Services
from processor.errors import SearchTooSlow
from processor.query import QueryError, parse, render, with_term, without
from processor.store import facets, feed, search, views
from schemas import query as asked
from schemas.catalogue import CATALOGUE
from schemas.entry import Entry
from schemas.query import Field, Term

ROWS = 50
DELAYED_SECONDS = 60
LIVE_PLACE = b"event: place\ndata\nid: %d\n\n"
"""An event of its own: a script gets to see no other."""

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Query(max_length=2_000)]


@router.get("/")
async def first() -> Response:
    """Go to the log."""
    return RedirectResponse("/log", 303)


@router.get("/log")
async def log(request: Request, q: Text = "", cursor: Text = "") -> Response:
    """Show the log: filters, histogram, facets, and a page of entries."""
    viewer: Viewer | None = None
    try:
        viewer = await require(VIEW)(request)
        query, given = parse(q), request.query_params
        services = entries.services_of(request)
        if "was" in given:
            now, _ = await services.oldest()
            sent = search_form.sent(given, query, now)
            return RedirectResponse(view.log_url(search_form.written_out(sent)), 303)
        return await _log(services, viewer, search_form.written_out(query), cursor)
    except (*problems.HANDLED,) as error:
        return await _refused(request, viewer, q, error)


@router.get("/log/live", dependencies=[entries.Following])
async def live(
    request: Request,
    viewer: entries.Reading,
    services: entries.Serving,
    q: Text = "",
    after: Annotated[int | None, Query(ge=0, le=entries.SEQ_MAX)] = None,
) -> StreamingResponse:
    """Send new entries as rows of the page's table, as they come."""
    query = parse(q)
    after = await entries.begin_following(request, services, viewer, query, after)

    def shown(entry: Entry) -> bytes:
        """Return an entry as a row."""
        return html.fragment("row.html", row=view.row(query, entry)).encode()

    return entries.following(request, viewer, query, after, entries.Shown(shown, LIVE_PLACE))


@router.get("/log/{entry_id}")
async def one(request: Request, entry_id: UUID, q: Text = "") -> Response:
    """Show one entry: every field, what changed, and the JSON."""
    viewer: Viewer | None = None
    try:
        viewer = await require(VIEW)(request)
        services = entries.services_of(request)
        query = view.bounded(parse(q))
        found = await search.entry(services.reader, viewer.org_id, entry_id)
        by_id = asked.Query((Term(Field.ID, (asked.Word(str(entry_id)),)),))
        await services.self_audit.viewed(viewer, by_id, int(found is not None))
        if found is None:
            raise Problem("not_found", "Your organization has no entry of this id.")
        kept_days = services.settings.retention_days
        # The usual period may not reach back to what a link without a search leads to.
        among = query if q.strip() else entry_view.among(found, kept_days)
        return html.page(
            "entry.html",
            viewer,
            title=CATALOGUE[found["action"]].label,
            entry=found,
            label=CATALOGUE[found["action"]].label,
            facts=entry_view.facts(among, found),
            around=entry_view.around(found, kept_days),
            changes=entry_view.changes(found),
            raw=view.visible(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()),
            back=view.log_url(query),
            address=f"{services.settings.serve.public_url}/log/{entry_id}",
            api=f"{services.settings.serve.public_url}/v1/audit-entries/{entry_id}",
        )
    except (*problems.HANDLED,) as error:
        return await _refused(request, viewer, q, error)


async def _log(services: Services, viewer: Viewer, query: asked.Query, cursor: str) -> Response:
    if cursor:  # before any search begins: one that does not fit takes nobody's turn
        services.cursors.read(viewer.org_id, render(query), cursor)
    kept_days = services.settings.retention_days
    head = await feed.head(services.reader, viewer.org_id)
    async with services.searches.taken(viewer.org_id):
        now, oldest = await services.oldest()
        (found, following), overview = await together(
            entries.look(services, viewer, query, limit=ROWS, cursor=cursor or None),
            _overview(services, viewer, query, now, oldest),
        )
        nothing = not (found.entries or found.searched_back_to or cursor)
        culprits = await _culprits(services, viewer, query) if nothing else []
    await services.self_audit.viewed(viewer, query, len(found.entries))
    return html.page(
        "log.html",
        viewer,
        title="Audit log",
        **search_form.shown(query),
        **overview,
        **_ways_out(services, viewer, query),
        presets=view.presets(query),
        chips=view.chips(query, kept_days),
        rows=[view.row(query, entry) for entry in found.entries],
        older=view.log_url(query, cursor=following) if following else None,
        newest=view.log_url(query) if cursor else None,
        live=None if cursor or view.has_ended(query, now) else view.live_url(query, head),
        searched_back_to=found.searched_back_to and view.instant(found.searched_back_to),
        narrower=view.narrower(query),
        complete=await _completeness(services),
        culprits=culprits,
        kept=view.days(kept_days),
        saved=await views.listed(services.control, viewer.org_id, viewer.subject),
        may_share=SUBSCRIBE in viewer.permissions,
        shows_own=query.shows_own,
        own=view.log_url(with_term(query, parse("category:audit").terms[0])),
    )


async def _overview(
    services: Services, viewer: Viewer, query: asked.Query, now: datetime, oldest: datetime
) -> dict[str, Any]:
    """Return the facets and the histogram of a query."""
    budget, fixed = services.settings.serve.search_seconds / 2, query.at(now)
    since, until = view.ends(fixed, oldest, now)
    counted, bars = await together(
        facets.facets(services.reader, viewer.org_id, fixed, budget_seconds=budget, oldest=oldest),
        facets.histogram(
            services.reader,
            viewer.org_id,
            fixed,
            since=max(since, oldest),
            until=max(until, oldest),
            budget_seconds=budget,
        ),
    )
    return {
        "facets": [
            (label, view.facet(query, field, counted[field], cut=field in counted.cut))
            for field, label in view.FACET_LABELS.items()
            if counted[field]
        ],
        "shapes": list(view.shapes(query, bars, goes_on=view.goes_on(fixed))),
        "counted": sum(bar.count for bar in bars),
        "begins": view.instant(max(since, oldest)),
        "ends": view.instant(until),
        "oldest": view.instant(oldest),
        "beyond_retention": view.is_beyond(fixed, oldest),
        "counted_back_to": _back_to(bars.searched_back_to, now),
        "facets_back_to": _back_to(counted.searched_back_to, now),
    }


def _back_to(reached: datetime | None, now: datetime) -> str | None:
    """Return from when on something was counted; None for all of it."""
    return view.instant(min(reached, now)) if reached else None


def _ways_out(services: Services, viewer: Viewer, query: asked.Query) -> dict[str, Any]:
    """Return where a query's entries can be downloaded, and asked for by a program."""
    wanted = urlencode({"filter": render(query)})
    return {
        "may_export": EXPORT in viewer.permissions,
        "export": f"/v1/audit-entries.csv?{wanted}",
        "export_all": f"/v1/audit-entries.csv?columns=all&{wanted}",
        "export_json": f"/v1/audit-entries.ndjson?{wanted}",
        "api": f"{services.settings.serve.public_url}/v1/audit-entries?{wanted}",
    }


class Culprit(NamedTuple):
    """A condition without which there would be entries, and the search without it.

    It ``widens`` where that needs a period of its own: all that is kept.
    """

    text: str
    url: str
    widens: bool


async def _culprits(services: Services, viewer: Viewer, query: asked.Query) -> list[Culprit]:
    """Return the conditions without any one of which the search would have found something."""
    now, oldest = await services.oldest()
    guilty = []
    for term in query.terms[:10]:
        rest = view.lifted(query, term, services.settings.retention_days)
        if rest is None:
            continue
        try:
            found = await search.page(
                services.reader,
                viewer.org_id,
                rest.at(now),
                before=None,
                limit=1,
                budget_seconds=0.2,
                oldest=oldest,
            )
        except SearchTooSlow:
            continue  # it is only offered besides
        if found.entries:
            text, widens = render(asked.Query((term,))), rest != without(query, term)
            guilty.append(Culprit(text, view.log_url(rest), widens))
    return guilty


async def _completeness(services: Services) -> dict[str, Any]:
    """Return up to when the log is complete, and whether that is late."""
    at = await services.complete_up_to()
    now, _ = await services.oldest()
    late = at is None or (now - at).total_seconds() > DELAYED_SECONDS
    return {"at": at and view.instant(at), "late": late}


async def _refused(request: Request, viewer: Viewer | None, q: str, error: Exception) -> Response:
    """Show what went wrong; a query that cannot be understood stays in its box."""
    if isinstance(error, QueryError) and viewer is not None:
        return html.page(
            "syntax.html", viewer, status=problems.of(error).kind.status, title="Audit log",
            error=error, **search_form.again(request.query_params, q, error),
        )  # fmt: skip
    ways = view.narrower(view.bounded(parse(q))) if isinstance(error, SearchTooSlow) else ()
    return await html.refused(request, viewer, error, ways=ways)
