"""The security dashboard: what Defend found, and how it stands. Works without any script."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, cast, get_args
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from processor.api import defend, entries, html, problems, view
from processor.api import defend_view as shown
from processor.api.access import ACKNOWLEDGE, VIEW, Viewer, require
from processor.api.login import insist_on_origin
from processor.api.problems import Problem
from processor.api.services import Services
from processor.store import findings
from processor.store.findings import Wanted
from schemas.finding import RULE_TEXTS, SEVERITIES, Finding, RuleName, Severity

router = APIRouter(include_in_schema=False)

SECTION = "/defend"
ROWS = 50
EVIDENCE_ROWS = 10
SEE_OTHER = 303

Seen = Annotated[int | None, Form(ge=1, le=defend.EVIDENCE_MAX)]


@router.get(SECTION)
async def dashboard(
    request: Request, cursor: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Show open findings by severity, a timeline, the list, and who is in most of them."""

    async def answer(viewer: Viewer, services: Services) -> Response:
        """Show what was chosen."""
        return await _dashboard(services, viewer, _chosen(request.query_params), cursor)

    return await _answered(request, VIEW, answer)


@router.get(SECTION + "/{finding_id}")
async def one(request: Request, finding_id: UUID) -> Response:
    """Show one finding: what it means, what to do, and what it rests on."""

    async def answer(viewer: Viewer, services: Services) -> Response:
        """Show it."""
        kept = await defend.one(services, viewer, finding_id)
        finding = kept.finding
        text = RULE_TEXTS[finding["rule"]]
        return html.page(
            "defend_one.html",
            viewer,
            section=SECTION,
            title=text.label,
            text=text,
            finding=finding,
            kept=kept,
            may_acknowledge=ACKNOWLEDGE in viewer.permissions,
            acknowledged_at=kept.acknowledged_at and view.instant(kept.acknowledged_at),
            first=shown.shown_time(finding["first_at"]),
            last=shown.shown_time(finding["last_at"]),
            pivots=shown.pivots(finding),
            rests_on=shown.rests_on(finding),
            reports=[
                shown.report(each) for each in await findings.reports(services.reader, finding)
            ],
            **await _evidence(services, viewer, finding),
        )

    return await _answered(request, VIEW, answer)


@router.post(SECTION + "/{finding_id}/acknowledge")
async def acknowledge(request: Request, finding_id: UUID, seen: Seen = None) -> Response:
    """Take note of what was seen of a finding, and show it as it is then."""

    async def answer(viewer: Viewer, services: Services) -> Response:
        """Do it."""
        await defend.noted(services, viewer, finding_id, seen)
        return RedirectResponse(f"{SECTION}/{finding_id}", SEE_OTHER)

    return await _answered(request, ACKNOWLEDGE, answer)


async def _dashboard(
    services: Services, viewer: Viewer, chosen: Mapping[str, str], cursor: str
) -> Response:
    now, oldest = await services.oldest()
    begin = max(now - shown.PERIODS[chosen["period"]], oldest)
    bars = shown.BARS[chosen["period"]]
    overview = await findings.overview(services.reader, viewer.org_id, begin, now, bars)
    wanted = _wanted(chosen, begin)
    found, following = await defend.look(
        services, viewer, wanted, what=dict(chosen), limit=ROWS, cursor=cursor or None
    )
    narrowed = {name: chosen[name] for name in ("severity", "rule", "since") if name in chosen}
    return html.page(
        "defend.html",
        viewer,
        section=SECTION,
        title="Defend",
        tiles=shown.tiles(chosen, overview),
        open_count=sum(overview.open.values()),
        periods=shown.choices(chosen, "period", {name: name for name in shown.PERIODS}),
        statuses=shown.choices(chosen, "status", shown.STATUSES),
        rules=RULE_TEXTS,
        chosen=chosen,
        bars=list(shown.bars(chosen, overview, begin, now)),
        counted=sum(sum(each.values()) for each in overview.bars),
        severities=list(reversed(SEVERITIES)),
        begins=view.instant(begin),
        ends=view.instant(now),
        rows=[shown.row(each, now) for each in found],
        older=shown.address(chosen, cursor=following) if following else None,
        widened=shown.address({"period": chosen["period"], "status": chosen["status"]})
        if narrowed
        else None,
        tops=shown.tops(overview, chosen["period"]),
    )


async def _evidence(services: Services, viewer: Viewer, finding: Finding) -> dict[str, Any]:
    """Return the first entries of a finding's evidence as rows, and the link to all of them."""
    if not finding["evidence"]["seqs"]:
        return {"rows": [], "more": 0, "evidence": ""}
    query = shown.evidence_query(finding)
    async with services.searches.taken(viewer.org_id):
        page, _ = await entries.look(services, viewer, query, limit=EVIDENCE_ROWS, cursor=None)
    return {
        "rows": [view.row(query, entry) for entry in page.entries],
        "more": len(finding["evidence"]["seqs"]) - len(page.entries),
        "evidence": view.log_url(query),
    }


def _chosen(given: Mapping[str, str]) -> dict[str, str]:
    """Return the choices, with their defaults; raises Problem for one that there is none of."""
    known = {
        "period": shown.PERIODS.keys(),
        "status": shown.STATUSES.keys(),
        "severity": set(SEVERITIES),
        "rule": set(get_args(RuleName)),
    }
    chosen = dict(shown.DEFAULTS)
    for name, values in known.items():
        if value := given.get(name):
            if value not in values:
                raise Problem("request_invalid", f"{name}: one of {', '.join(values)}")
            chosen[name] = value
    for name in ("since", "until"):
        if value := given.get(name):
            _instant(value)
            chosen[name] = value
    return chosen


def _wanted(chosen: Mapping[str, str], begin: datetime) -> Wanted:
    status = chosen["status"]
    return Wanted(
        acknowledged=None if status == "all" else status == "acknowledged",
        severity=cast("Severity | None", chosen.get("severity")),
        rule=cast("RuleName | None", chosen.get("rule")),
        since=_instant(chosen.get("since", "")) or (None if status == "open" else begin),
        until=_instant(chosen.get("until", "")),
    )


def _instant(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Problem(
            "request_invalid", "since and until: a time, such as 2026-11-30T12:00:00Z"
        ) from error
    return entries.in_utc(at)


async def _answered(
    request: Request,
    permission: str,
    answer: Callable[[Viewer, Services], Awaitable[Response]],
) -> Response:
    """Answer somebody who may; forms have to come from this page."""
    viewer: Viewer | None = None
    try:
        viewer = await require(permission)(request)
        if request.method == "POST":
            insist_on_origin(request)
        return await answer(viewer, entries.services_of(request))
    except (*problems.HANDLED,) as error:
        return await html.refused(request, viewer, error, section=SECTION)
