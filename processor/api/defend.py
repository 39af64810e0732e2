"""Defend over HTTP: findings, one of them, and taking note of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from processor.api.access import ACKNOWLEDGE, Viewer, require
from processor.api.entries import Reading, Serving
from processor.api.login import insist_on_intent
from processor.api.problems import Problem, documented
from processor.api.services import Services
from processor.store import findings
from processor.store.findings import Kept, Wanted
from processor.store.search import Key
from schemas.finding import RuleName, Severity, Status

router = APIRouter(tags=["defend"])

MISSING = documented("not_found")
FINDINGS_MAX, FINDINGS_DEFAULT = 1_000, 50
EVIDENCE_MAX = 2**31 - 1
"""What the store can hold of a count."""


class Asked(BaseModel):
    """Which findings are asked for."""

    status: Status | None = None
    severity: Severity | None = None
    rule: RuleName | None = None
    limit: Annotated[int, Field(ge=1, le=FINDINGS_MAX)] = FINDINGS_DEFAULT
    cursor: Annotated[str | None, Field(max_length=200)] = None


async def noting(request: Request) -> Viewer:
    """Return who may take note; a browser's cookie counts only for what comes from our page."""
    viewer = await require(ACKNOWLEDGE)(request)
    insist_on_intent(request)
    return viewer


Noting = Annotated[Viewer, Depends(noting)]


@router.get("/v1/findings")
async def listed(
    viewer: Reading,
    services: Serving,
    asked: Annotated[Asked, Query()],
) -> Response:
    """Return a page of findings, the latest first; ``next`` is the cursor of the one behind it."""
    acknowledged = None if asked.status is None else asked.status == "acknowledged"
    wanted = Wanted(acknowledged, asked.severity, asked.rule)
    what = asked.model_dump(include={"status", "severity", "rule"}, exclude_none=True)
    found, following = await look(
        services, viewer, wanted, what=what, limit=asked.limit, cursor=asked.cursor
    )
    return _json({"findings": [shown(each) for each in found], "next": following})


@router.get("/v1/findings/{finding_id}", responses=MISSING)
async def finding(viewer: Reading, services: Serving, finding_id: UUID) -> Response:
    """Return one finding with its evidence: sequence numbers of the log, endpoint reports."""
    kept = await one(services, viewer, finding_id)
    reports = await findings.reports(services.reader, kept.finding)
    return _json(shown(kept) | {"reports": reports})


@router.post("/v1/findings/{finding_id}/acknowledge", responses=MISSING)
async def acknowledge(
    viewer: Noting,
    services: Serving,
    finding_id: UUID,
    evidence: Annotated[int | None, Query(ge=1, le=EVIDENCE_MAX)] = None,
) -> Response:
    """Take note of a finding as it is now; when it grows it is open again.

    With ``evidence``, how many entries and reports of it were seen, it stays open when it has
    grown meanwhile. It is itself an entry of the log.
    """
    return _json(shown(await noted(services, viewer, finding_id, evidence)))


async def look(
    services: Services,
    viewer: Viewer,
    wanted: Wanted,
    *,
    what: dict[str, str],
    limit: int,
    cursor: str | None,
) -> tuple[list[Kept], str | None]:
    """Return a page of findings and the cursor of the next page; the look is told of.

    ``what`` is what was chosen, in words that stay the same from page to page.
    """
    text = "findings " + repr(sorted(what.items()))
    if cursor:
        key = services.cursors.read(viewer.org_id, text, cursor)
        wanted = wanted._replace(before=(key.occurred_at, key.entry_id))
    found = await findings.listed(services.reader, viewer.org_id, wanted, limit=limit + 1)
    await services.self_audit.looked_at_findings(viewer, what, min(len(found), limit))
    if len(found) <= limit:
        return found, None
    last = found[limit - 1].finding
    place = Key(datetime.fromisoformat(last["last_at"]), UUID(last["finding_id"]))
    return found[:limit], services.cursors.made(viewer.org_id, text, place)


async def one(services: Services, viewer: Viewer, finding_id: UUID) -> Kept:
    """Return a finding; the look is told of. Raises Problem when there is none."""
    kept = await findings.one(services.reader, viewer.org_id, finding_id)
    await services.self_audit.looked_at_findings(viewer, {"id": str(finding_id)}, int(bool(kept)))
    if kept is None:
        raise Problem("not_found", "Your organization has no finding of this id.")
    return kept


async def noted(services: Services, viewer: Viewer, finding_id: UUID, evidence: int | None) -> Kept:
    """Take note of a finding, or of so much of it, once that is in the log.

    Raises Problem when there is none.
    """
    kept = await findings.one(services.reader, viewer.org_id, finding_id)
    if kept is None:
        raise Problem("not_found", "Your organization has no finding of this id.")
    if kept.finding["status"] == "acknowledged":
        return kept
    await services.self_audit.acknowledged(viewer, str(finding_id), kept.finding["rule"])
    who = viewer.email or viewer.name or viewer.subject
    now_kept = await findings.acknowledge(
        services.control, viewer.org_id, finding_id, who, evidence
    )
    return now_kept or kept


def shown(kept: Kept) -> dict[str, Any]:
    """Return a finding as the API shows it."""
    return {
        **kept.finding,
        "acknowledged_at": kept.acknowledged_at and kept.acknowledged_at.astimezone(UTC),
        "acknowledged_by": kept.acknowledged_by,
    }


def _json(answer: Mapping[str, Any]) -> Response:
    body = orjson.dumps(answer, option=orjson.OPT_UTC_Z)
    return Response(body, headers={"Cache-Control": "no-store"}, media_type="application/json")
