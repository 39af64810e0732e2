"""EVENTS BECOME ENTRIES: pure functions, one module per raw topic.

``normalize`` decides in the order in which the rejection reasons are listed: the first that applies
wins. It knows no clock: an event is early or late against the bus's append time of its record.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from processor.normalize import instant
from processor.normalize.assemble import NORMALIZER, assemble
from processor.normalize.draft import Data, Draft
from processor.normalize.event_types import NAMES, TYPES, VERSION, EventType
from processor.normalize.instant import DAY_MS, LATEST_MS, Instant
from schemas.entry import Entry
from schemas.raw.envelope import ORG_ID, Event
from schemas.rejection import Discard, Reason, Rejection, Rule, Stage

__all__ = ["NORMALIZER", "Limits", "known_org", "normalize"]

FUTURE_MS_MAX = DAY_MS
NOT_AUDITED = Discard(Rule.NOT_AUDITED)

_ORG_ID = re.compile(ORG_ID)
_NAMED_ACTORS = ("user", "service", "support")
_VERSION_SUFFIX = re.compile(r"\.v\d+\Z", re.ASCII)


class Limits(NamedTuple):
    """What normalizing has to be told: how old an event may be, and which topic is whose.

    ``oldest_day_ms`` is the beginning of the oldest day that can be stored; ``families`` names for
    every raw topic, as it is called on Kafka, its family: identity, permission, billing or audit.
    """

    retention_ms: int
    oldest_day_ms: int
    families: Mapping[str, str]


def normalize(event: Event, limits: Limits) -> Entry | Discard | Rejection:
    """Return what a raw event becomes. Raises nothing, whatever the event holds."""
    event_type = TYPES.get(event.type)
    if event_type is None:
        return _unknown(event.type)
    at_home = limits.families.get(event.origin.topic) == event_type.family
    if not at_home or known_org(event.org_id) is None:
        return _misplaced(event, event_type, at_home=at_home)
    if event_type.decide is None:
        return NOT_AUDITED
    occurred = _occurred(event, limits)
    if isinstance(occurred, Rejection):
        return occurred
    data = _checked(event.data, event_type)
    if isinstance(data, Rejection):
        return data
    decision = event_type.decide(data)
    if isinstance(decision, Draft):
        return assemble(event, event_type, occurred, data, decision)
    return decision


def _misplaced(event: Event, event_type: EventType, *, at_home: bool) -> Rejection:
    """Return what is wrong with the topic or the organization."""
    if not at_home:
        return _reject(Reason.WRONG_TOPIC, f"topic of the {event_type.family} events expected")
    if event.org_id is None:
        return _reject(Reason.MISSING_ORG, "orgid")
    return _reject(Reason.INVALID_ORG, "orgid: 1 to 128 characters of A-Z a-z 0-9 _ - expected")


def known_org(org_id: object) -> str | None:
    """Return the organization if it is one that can exist, else None."""
    return org_id if isinstance(org_id, str) and _ORG_ID.fullmatch(org_id) else None


def _reject(reason: Reason, detail: str) -> Rejection:
    return Rejection(Stage.NORMALIZE, reason, detail)


def _unknown(name: str) -> Rejection:
    """Tell a type that nobody knows from a version that nobody knows yet."""
    if _VERSION_SUFFIX.sub("", name) in NAMES:
        return _reject(Reason.UNSUPPORTED_VERSION, f"version .v{VERSION} expected")
    return _reject(Reason.UNKNOWN_TYPE, "type")


def _occurred(event: Event, limits: Limits) -> Instant | Rejection:
    """Return when it happened, if that is neither too early nor too late for the log."""
    if event.time is None:
        return _reject(Reason.MISSING_TIME, "time")
    occurred = instant.parse(event.time) if isinstance(event.time, str) else None
    if occurred is None:
        return _reject(Reason.INVALID_TIME, "time: RFC 3339 date and time expected")
    recorded_ms = event.origin.timestamp
    if occurred.ms > min(recorded_ms + FUTURE_MS_MAX, LATEST_MS):
        return _reject(Reason.IN_FUTURE, "time: more than 24 h after the bus took the record")
    if occurred.ms < max(recorded_ms - limits.retention_ms, limits.oldest_day_ms, 0):
        return _reject(Reason.OLDER_THAN_RETENTION, "time: before the oldest that is kept")
    return occurred


def _checked(data: object, event_type: EventType) -> Data | Rejection:
    """Return the data if it names an actor and keeps the contract of its type."""
    if not isinstance(data, dict):
        return _reject(Reason.INVALID_DATA, "$.data: object expected")
    actor = data.get("actor")
    if actor is None:
        return _reject(Reason.MISSING_ACTOR, "$.data.actor")
    if (
        isinstance(actor, dict)
        and actor.get("type") in _NAMED_ACTORS
        and _is_empty(actor.get("id"))
        and _is_empty(actor.get("email"))
    ):
        return _reject(Reason.MISSING_ACTOR, "$.data.actor: id or email expected")
    return event_type.check(data)


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
