"""Brings signals together and keeps what is found; knows the store, and nothing of the bus.

The sets that the rules judge are a cache over Postgres: an hour that is not held is loaded, with
all that is stored of it. An entry is stored before the bus has it, so whoever reads an entry finds
in the store all that came before it, whoever read that. What is found is kept before anything is
acknowledged to the bus, and keeping it twice changes nothing. So no restart, no rebalance and no
second worker can lose a finding or make another one of it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from processor import metrics
from processor.defend.rules import (
    ACTIONS,
    LATE_MS_MAX,
    WINDOW_MS_MAX,
    Hours,
    OrgHour,
    Signal,
    of_alert,
)
from processor.errors import DatabaseOutage
from processor.store import findings
from processor.store.findings import Alert, NewFinding, Span
from processor.store.pool import Database
from schemas.finding import HOUR_MS

HOURS_LOADED_AT_ONCE = 50
"""By one query after the other; a page of what they answer is held at a time."""


class Observation(NamedTuple):
    """A signal of an organization; ``alert`` is the report if it came from an endpoint."""

    org_id: str
    signal: Signal
    alert: Alert | None = None


class Detector:
    """Takes observations in batches; what is found in them is kept when ``take`` returns."""

    def __init__(self, db: Database, signals_max: int) -> None:
        """Hold no hour yet, and never more than so many signals in all of them."""
        self._db = db
        self._hours = Hours(signals_max)
        self._stale = False

    def forget(self) -> None:
        """Trust nothing that is held from the next batch on: partitions changed hands."""
        self._stale = True

    async def take(self, observations: Sequence[Observation]) -> int:
        """Judge what the observations make different; return how many findings that changed.

        Raises DatabaseOutage; then the batch is to be taken again, which changes no set.
        """
        if self._stale:
            self._stale = False
            self._hours.clear()
        alerts = [each.alert for each in observations if each.alert]
        if alerts:
            await findings.keep_alerts(self._db, alerts)
        hours = self._hours
        missing = dict.fromkeys(
            hour for each in observations for hour in hours.missing(each.org_id, each.signal)
        )
        if missing:
            await self._load(list(missing))
        found = hours.judged(
            [key for each in observations for key in hours.add(each.org_id, each.signal)]
        )
        if found:
            await findings.keep(self._db, [NewFinding(*each) for each in found])
            hours.told(found)
            for each in found:
                metrics.found(each.rule)
        hours.trim()
        return len(found)

    async def _load(self, missing: Sequence[OrgHour]) -> None:
        """Begin hours with what the store has of them; hold none that has only a part of it."""
        try:
            await self._fill(missing)
        except DatabaseOutage:
            self._hours.drop(missing)
            raise
        metrics.hours_loaded(len(missing))

    async def _fill(self, missing: Sequence[OrgHour]) -> None:
        for first in range(0, len(missing), HOURS_LOADED_AT_ONCE):
            some = missing[first : first + HOURS_LOADED_AT_ONCE]
            spans = [_span(*each) for each in some]
            alerts = await findings.alerts(self._db, spans)
            for hour, reports in zip(some, alerts, strict=True):
                given = (of_alert(report, told_ms) for report, told_ms in reports)
                signals = [signal for signal in given if signal is not None]
                self._hours.begin(*hour, alerted=bool(signals))
                self._hours.fill(*hour, signals)
            async for number, told in findings.told(self._db, spans, ACTIONS, LATE_MS_MAX):
                self._hours.fill(*some[number], told)


def _span(org_id: str, hour_ms: int) -> Span:
    return Span(org_id, hour_ms - WINDOW_MS_MAX, hour_ms + HOUR_MS + WINDOW_MS_MAX)
