"""The log of the log: who read, searched, exported or was refused is an event on ``raw.audit``.

It is acknowledged by the bus before the answer leaves: what cannot be written down is not done.
Free text is hashed, so that the log does not tell what somebody searched for. Looking at the same
thing again is one event a minute, polling one an hour, unless it begins further back or comes from
another address: a token in the wrong hands is seen by that.
"""

from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4  # noqa: TID251 - an act has no identity before it happens

from processor.api.access import Viewer
from processor.api.cursor import Cursors
from processor.emit.own_events import OwnEvent, OwnEvents
from processor.query import render
from schemas.query import Field, Query, Term, Word

VIEW_SECONDS, POLL_SECONDS = 60, 3_600
REMEMBERED_MAX = 50_000


class SelfAudit:
    """Tells the bus what is done here."""

    def __init__(self, events: OwnEvents, cursors: Cursors) -> None:
        """Keep where to tell it, and the secret for search terms."""
        self._events, self._cursors = events, cursors
        # By what was told: in which period, and after which number the first of it was read.
        self._told: OrderedDict[tuple[str, ...], tuple[int, int]] = OrderedDict()

    async def viewed(self, viewer: Viewer, query: Query, rows: int) -> None:
        """Tell of a look at the log; raises BusOutage."""
        shown = self._shown(viewer.org_id, query)
        await self._once(viewer, "audit.viewed.v1", VIEW_SECONDS, {"filter": shown, "rows": rows})

    async def counted(self, viewer: Viewer, query: Query) -> None:
        """Tell of what was counted or summed up, of which no entry is shown; raises BusOutage."""
        shown = {"counted": True, **self._shown(viewer.org_id, query)}
        await self._once(viewer, "audit.viewed.v1", VIEW_SECONDS, {"filter": shown})

    async def followed(self, viewer: Viewer, query: Query, after: int) -> None:
        """Tell of a reader that is sent what comes after a number; raises BusOutage."""
        shown = {"tail": True, **self._shown(viewer.org_id, query)}
        await self._once(viewer, "audit.viewed.v1", POLL_SECONDS, {"filter": shown}, after)

    async def fed(self, viewer: Viewer, after: int, rows: int) -> None:
        """Tell of a reader that comes again and again for what follows a number."""
        data = {"filter": {"feed": True}, "rows": rows}
        await self._once(viewer, "audit.viewed.v1", POLL_SECONDS, data, after)

    async def compared(self, viewer: Viewer) -> None:
        """Tell of a reader that counts what there is."""
        await self._once(viewer, "audit.viewed.v1", POLL_SECONDS, {"filter": {"ranges": True}})

    async def looked_at_findings(self, viewer: Viewer, what: dict[str, str], rows: int) -> None:
        """Tell of a look at what Defend found; raises BusOutage.

        Lists are polled, by programs and by each page that is left open; one finding is looked at.
        """
        data = {"filter": {"findings": what}, "rows": rows}
        seconds = VIEW_SECONDS if "id" in what else POLL_SECONDS
        await self._once(viewer, "audit.viewed.v1", seconds, data)

    async def acknowledged(self, viewer: Viewer, finding_id: str, rule: str) -> None:
        """Tell that somebody took note of a finding, every time, before it is noted."""
        finding = {"id": finding_id, "rule": rule}
        await self._tell(viewer, "audit.finding.acknowledged.v1", {"finding": finding})

    async def exported(self, viewer: Viewer, query: Query, form: str) -> None:
        """Tell of an export, every time, before its first byte: nobody knows yet how many rows."""
        shown = self._shown(viewer.org_id, query)
        await self._tell(viewer, "audit.exported.v1", {"filter": shown, "format": form})

    async def denied(self, viewer: Viewer, permission: str, path: str) -> None:
        """Tell of somebody who was refused."""
        asked = {"asked": path[:256], "reason": f"{permission} is missing"}
        await self._once(viewer, "audit.denied.v1", VIEW_SECONDS, asked)

    async def _once(
        self,
        viewer: Viewer,
        name: str,
        seconds: int,
        data: dict[str, Any],
        after: int | None = None,
    ) -> None:
        now = datetime.now(UTC)  # noqa: TID251 - when it is done
        period, place = int(now.timestamp()) // seconds, after or 0
        what = {key: value for key, value in data.items() if key != "rows"}
        who = viewer.org_id, viewer.subject, viewer.client.get("ip", "")
        key = (*who, name, repr(sorted(what.items())))
        told_in, told_after = self._told.get(key, (None, 0))
        if told_in == period and told_after <= place:
            return
        await self._tell(viewer, name, data if after is None else data | {"after_seq": after})
        self._told[key] = period, place
        self._told.move_to_end(key)
        if len(self._told) > REMEMBERED_MAX:
            self._told.popitem(last=False)

    async def _tell(self, viewer: Viewer, name: str, data: dict[str, Any]) -> None:
        now = datetime.now(UTC)  # noqa: TID251 - when it is done
        told = {"actor": viewer.actor, "client": dict(viewer.client), **data}
        await self._events.publish([OwnEvent(str(uuid4()), name, now, viewer.org_id, told)])

    def _shown(self, org_id: str, query: Query) -> dict[str, str]:
        """Return a filter as the log shows it."""
        hidden = Query(tuple(self._hidden(org_id, term) for term in query.terms))
        return {"query": render(hidden)}

    def _hidden(self, org_id: str, term: Term) -> Term:
        if term.field is not Field.TEXT:
            return term
        words = tuple(
            Word(f"sha256-{self._cursors.digest(org_id, value.text)}")
            for value in term.values
            if isinstance(value, Word)
        )
        return Term(term.field, words, term.negated)
