"""Signals from entries and from endpoints' alerts.

The entry read from the bus and the row read from the store give the same signal.
"""

from typing import Any

from processor.normalize import address, instant
from schemas.entry import Entry
from schemas.signal import Signal, marks_of
from schemas.telemetry import Telemetry

ALERT = "alert"
"""The action of a signal that is an endpoint's alert and no entry."""

LATE_MS_MAX = 24 * instant.HOUR_MS
"""What is told of later than this says nothing about now. It is decided by the entry itself, by
when it happened and when the bus got it, so that everybody decides alike."""


def of_entry(entry: Entry) -> Signal | None:
    """Return the signal of an entry; None when it came too late to say anything about now."""
    at_ms, told_ms = _ms(entry["occurred_at"]), _ms(entry["recorded_at"])
    if told_ms - at_ms > LATE_MS_MAX:
        return None
    actor, target, details = entry["actor"], entry["target"], entry["details"]
    extra = details.get("extra") or {}
    return Signal(
        at_ms=at_ms,
        id=entry["entry_id"],
        seq=entry["seq"],
        action=entry["action"],
        actor=actor.get("email") or actor.get("id") or actor.get("name") or "",
        actor_type=actor["type"],
        account=target.get("email") or target.get("id") or "",
        address=entry.get("ip", ""),
        thing=_thing(target, details),
        marks=marks_of(
            entry["outcome"],
            new_device=extra.get("new_device") is True,
            mfa=extra.get("mfa") is True,
            given=(details.get("new") or {}).get("permissions") not in (None, []),
        ),
    )


def of_alert(report: Telemetry, told_ms: int) -> Signal | None:
    """Return the signal of an endpoint's report; None for a benign one and one that came late.

    Raises ValueError when its time is none.
    """
    at = instant.parse(report["time"])
    if at is None:
        raise ValueError("time")
    if report["verdict"] == "benign" or told_ms - at.ms > LATE_MS_MAX:
        return None
    user, given = report.get("user") or {}, report["host"].get("ip")
    person = user.get("email") or user.get("id") or ""
    return Signal(
        at_ms=at.ms,
        id=report["id"],
        seq=0,
        action=ALERT,
        actor=person.lower() if "@" in person else person,
        actor_type="user",
        account="",
        address=(address.parse(given).ip or "") if given else "",
        thing=report["host"].get("name") or report["host"]["id"],
        marks=frozenset({report["verdict"]}),
    )


def _thing(target: Any, details: Any) -> str:
    """Return what was given or taken: the target, with the role or grantee that it is about."""
    other = details.get("grantee") or details.get("role") or {}
    return f"{target['type']} {target.get('id', '')} {other.get('id', '')}"


def _ms(text: str) -> int:
    at = instant.parse(text)
    assert at is not None  # noqa: S101 - an entry's times are rendered by us
    return at.ms
