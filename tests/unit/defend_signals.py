"""Entries and reports as the tests of Defend tell them: a story is a list of what happened when."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, cast

from processor.defend.rules import Found, Hours, Signal, hours_of
from processor.defend.rules.signals import ALERT
from processor.defend.rules.table import WINDOW_MS_MAX
from processor.normalize.entry_id import entry_id
from processor.normalize.instant import render
from schemas.catalogue import CATALOGUE
from schemas.entry import Entry

ORG = "acme"
NOON = 1_780_315_200_000
"""2026-06-01T12:00:00Z, a Monday: the beginning of an hour."""
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000


class Log:
    """Numbers entries as an organization's log does."""

    def __init__(self, org_id: str = ORG) -> None:
        """Begin with no entry."""
        self.org_id = org_id
        self.entries: list[Entry] = []

    def add(self, at_ms: int, action: str, who: str, *, late_ms: int = 200, **fields: Any) -> Entry:
        """Add what happened; ``who`` is an account, ``fields`` go into the entry."""
        number = len(self.entries) + 1
        failed = action == "auth.login_failed"
        target = {"type": "user", "id": f"id of {who}", "email": who}
        entry: dict[str, Any] = {
            "schema_version": 1,
            "entry_id": entry_id(at_ms, self.org_id, "/hub", f"evt-{number}"),
            "seq": number,
            "org_id": self.org_id,
            "occurred_at": render(at_ms),
            "occurred_at_quality": "exact",
            "recorded_at": render(at_ms + late_ms),
            "category": CATALOGUE[action].category,
            "action": action,
            "outcome": "failure" if failed else "success",
            "severity": 5,
            "actor": {"type": "user", "id": f"id of {who}", "email": who},
            "target": target,
            "details": {},
            "ip": "192.0.2.1",
            "source": {"service": "/hub", "event_type": "x", "event_version": 1, "topic": "raw.x",
                       "partition": 0, "offset": number},
            "raw_sha256": sha256(b"%d" % number).hexdigest(),
            "normalizer": "1",
        }  # fmt: skip
        entry |= fields
        self.entries.append(cast("Entry", entry))
        return self.entries[-1]

    def failures(self, at_ms: int, who: str, count: int, every_ms: int, ip: str) -> None:
        """Add failed logins of one account."""
        for number in range(count):
            self.add(at_ms + number * every_ms, "auth.login_failed", who, ip=ip)

    def login(self, at_ms: int, who: str, ip: str, **extra: bool) -> None:
        """Add a login."""
        self.add(at_ms, "auth.login_success", who, ip=ip, details={"extra": extra})


def signal(at_ms: int, number: int, action: str, **fields: Any) -> Signal:
    """Return a signal of which only some things matter."""
    known: dict[str, Any] = {
        "actor": "ada@acme.example", "actor_type": "user", "account": "ada@acme.example",
        "address": "192.0.2.1", "thing": "", "marks": frozenset({"success"}),
    }  # fmt: skip
    return Signal(at_ms=at_ms, id=f"id-{number:04d}", seq=number, action=action, **(known | fields))


class Reading:
    """Reads signals as a worker does: from the bus, with a store that has them before."""

    def __init__(self, signals_max: int = 1_000_000) -> None:
        """Begin with an empty store."""
        self.stored: list[Signal] = []
        self.kept: dict[str, Found] = {}
        self._signals_max = signals_max
        self.hours = Hours(signals_max)

    def store(self, signals: Iterable[Signal]) -> None:
        """Let the store have signals."""
        self.stored += signals

    def read(self, batch: Iterable[Signal]) -> None:
        """Take a batch from the bus; what is read is stored already."""
        signals, hours = list(batch), self.hours
        for org_id, hour_ms in {each for one in signals for each in hours.missing(ORG, one)}:
            alerted = any(each.action == ALERT for each in self._of(hour_ms))
            hours.begin(org_id, hour_ms, alerted=alerted)
            hours.fill(org_id, hour_ms, self._of(hour_ms))
        found = hours.judged([key for one in signals for key in hours.add(ORG, one)])
        for each in found:
            self.kept[each.finding_id] = merged(self.kept.get(each.finding_id), each)
        hours.told(found)
        hours.trim()

    def restart(self) -> None:
        """Forget everything that is not stored."""
        self.hours = Hours(self._signals_max)

    def _of(self, hour_ms: int) -> Iterator[Signal]:
        return (each for each in self.stored if hour_ms in hours_of(each.at_ms, WINDOW_MS_MAX))


def merged(known: Found | None, new: Found) -> Found:
    """Return what the store makes of a finding that is found again, or less or more of it."""
    if known is None:
        return new
    severities = ("low", "medium", "high", "critical")
    return new._replace(
        severity=max(known.severity, new.severity, key=severities.index),
        first_ms=min(known.first_ms, new.first_ms),
        last_ms=max(known.last_ms, new.last_ms),
        actors=tuple(sorted({*known.actors, *new.actors})[:20]),
        addresses=tuple(sorted({*known.addresses, *new.addresses})[:20]),
        seqs=tuple(sorted({*known.seqs, *new.seqs})),
        alerts=tuple(sorted({*known.alerts, *new.alerts})),
    )


def found_in(signals: Iterable[Signal]) -> dict[str, Found]:
    """Return what is found when everything is stored and read at once."""
    reading, every = Reading(), list(signals)
    reading.store(every)
    reading.read(every)
    return reading.kept
