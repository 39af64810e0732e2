"""Put an entry together from an event and what its type's rules made of it.

What is cut is noted by its path in the entry; the list in ``details.truncated`` says where that
stood in the raw event (``$.data.actor.name``), as the list of what was sanitized does.
"""

from functools import lru_cache
from hashlib import sha256
from typing import Any, cast

from processor.normalize import address, instant
from processor.normalize.details import cleaned, normalized_email
from processor.normalize.draft import Data, Draft, Places
from processor.normalize.entry_id import entry_id
from processor.normalize.event_types import VERSION, EventType
from processor.normalize.extra import extra_of
from processor.normalize.fit import PATH_CHARACTERS_MAX, SURELY_FITS_BYTES, fitted
from processor.normalize.instant import LATEST_MS, Instant
from processor.normalize.redact import redact_text
from schemas.catalogue import CATALOGUE
from schemas.entry import SCHEMA_VERSION, Entry
from schemas.raw.envelope import Event

NORMALIZER = "1"
"""Raised when the mapping changes from one release to the next.

Entries of another version never conflict with a repeat.
"""

EXTENSIONS_MAX = 16
NAME_CHARACTERS_MAX = 256
EMAIL_CHARACTERS_MAX = 320
USER_AGENT_CHARACTERS_MAX = 1_024
REASON_CHARACTERS_MAX = 256
REFERENCE_CHARACTERS_MAX = 128
"""Of session, request and correlation ids."""

ALWAYS_FAILED = frozenset({"auth.login_failed", "audit.denied"})

RECORDED_CACHED_MAX = 1_024
"""The records that the bus took together have one append time."""

_NOTHING: Data = {}
_TEXTS = (
    ("id", NAME_CHARACTERS_MAX),
    ("name", NAME_CHARACTERS_MAX),
    ("email", EMAIL_CHARACTERS_MAX),
)
_SESSION_TEXTS = (("id", REFERENCE_CHARACTERS_MAX),)

_ATTRIBUTES = "$.details.attributes"
_PLACES: Places = {
    "$.org_name": "$.data.organization.name",
    "$.outcome_reason": "$.data.reason",
    "$.actor": "$.data.actor",
    "$.user_agent": "$.data.client.user_agent",
    "$.ip_raw": "$.data.client.ip",
    "$.session_id": "$.data.client.session_id",
    "$.request_id": "$.data.client.request_id",
    "$.correlation_id": "$.data.correlation_id",
    "$.details.reason": "$.data.reason",
    "$.details.role": "$.data.role",
    "$.details.grantee": "$.data.grantee",
    "$.details.extra": "$.data",
    _ATTRIBUTES: "$",
}

_GRADES = {
    (name, outcome): (action.category, action.severity_of(outcome))
    for name, action in CATALOGUE.items()
    for outcome in ("success", "failure")
}


def assemble(
    event: Event, event_type: EventType, occurred: Instant, data: Data, draft: Draft
) -> Entry:
    """Return the entry, its keys in canonical order and ``seq`` still to be given."""
    cuts: list[str] = []
    record, action = event.record, draft.action
    failed = action in ALWAYS_FAILED or data.get("outcome") == "failure"
    outcome = "failure" if failed else "success"
    category, severity = _GRADES[action, outcome]
    entry: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "entry_id": _identity(event, occurred.ms),
        "seq": 0,
        "org_id": event.org_id,
    }
    if org_name := (data.get("organization") or _NOTHING).get("name"):
        entry["org_name"] = _cut(org_name, NAME_CHARACTERS_MAX, "$.org_name", cuts)
    entry["occurred_at"] = occurred.text
    entry["occurred_at_quality"] = occurred.quality
    entry["recorded_at"] = _recorded(record.timestamp)
    entry["category"] = category
    entry["action"] = action
    entry["outcome"] = outcome
    if failed and (reason := data.get("reason")):
        entry["outcome_reason"] = _reason(reason, "$.outcome_reason", cuts)
    entry["severity"] = severity
    entry["actor"] = _actor(data["actor"], cuts)
    entry["target"] = _target(draft, cuts)
    entry["details"] = _NOTHING  # its place; what it holds comes when all cuts are known
    _add_client(entry, data, draft, cuts)
    if event.traceparent:
        _, entry["trace_id"], entry["span_id"], *_ = event.traceparent.split("-")
    entry["source"] = _source(event, event_type)
    entry["raw_sha256"] = sha256(record.value or b"").hexdigest()
    entry["normalizer"] = NORMALIZER
    entry["details"] = _details(event, event_type, data, draft, cuts=cuts, failed=failed)
    return cast("Entry", entry)


def _identity(event: Event, occurred_ms: int) -> str:
    if event.id is not None:
        return entry_id(occurred_ms, event.org_id, event.source, event.id)
    origin = event.origin
    return entry_id(occurred_ms, event.org_id, origin.topic, f"{origin.partition}:{origin.offset}")


@lru_cache(RECORDED_CACHED_MAX)
def _recorded(ms: int) -> str:
    # A topic may let producers set the time of a record, to anything.
    return instant.render(min(max(ms, 0), LATEST_MS))


def _cut(text: str, characters_max: int, path: str, cuts: list[str]) -> str:
    if len(text) <= characters_max:
        return text
    cuts.append(path)
    return text[:characters_max]


def _reason(text: str, path: str, cuts: list[str]) -> str:
    return _cut(redact_text(text), REASON_CHARACTERS_MAX, path, cuts)


def _actor(actor: Data, cuts: list[str]) -> dict[str, Any]:
    known = {"type": actor["type"]}
    if text := actor.get("id"):
        known["id"] = _cut(text, NAME_CHARACTERS_MAX, "$.actor.id", cuts)
    if (text := actor.get("email")) and (email := normalized_email(text)):
        known["email"] = _cut(email, EMAIL_CHARACTERS_MAX, "$.actor.email", cuts)
    if text := actor.get("name"):
        known["name"] = _cut(text, NAME_CHARACTERS_MAX, "$.actor.name", cuts)
    if (other := actor.get("on_behalf_of")) and (behalf := _other(other, cuts)):
        known["on_behalf_of"] = behalf
    return known


def _other(other: Data, cuts: list[str]) -> dict[str, Any]:
    """Return for whom the actor acted."""
    path, known = "$.actor.on_behalf_of", {}
    if text := other.get("id"):
        known["id"] = _cut(text, NAME_CHARACTERS_MAX, f"{path}.id", cuts)
    if (text := other.get("email")) and (email := normalized_email(text)):
        known["email"] = _cut(email, EMAIL_CHARACTERS_MAX, f"{path}.email", cuts)
    return known


def _target(draft: Draft, cuts: list[str]) -> Data:
    """Return the target within its bounds; it is nearly always."""
    texts = _TEXTS if draft.session_id is None else _SESSION_TEXTS
    return _bounded(cast("Data", draft.target), texts, "$.target", cuts)


def _bounded(
    reference: Data, texts: tuple[tuple[str, int], ...], path: str, cuts: list[str]
) -> Data:
    for name, characters_max in texts:
        text = reference.get(name)
        if text is not None and len(text) > characters_max:
            cut = _cut(text, characters_max, f"{path}.{name}", cuts)
            reference = {**reference, name: cut}
    return reference


def _add_client(entry: dict[str, Any], data: Data, draft: Draft, cuts: list[str]) -> None:
    """Add where it came from, and the references to session, request and correlation."""
    client = data.get("client") or _NOTHING
    if text := client.get("ip"):
        _add_address(entry, text, cuts)
    if text := client.get("user_agent"):
        entry["user_agent"] = _cut(text, USER_AGENT_CHARACTERS_MAX, "$.user_agent", cuts)
    own = draft.session_id
    if text := client.get("session_id") if own is None else own:
        entry["session_id"] = _cut(text, REFERENCE_CHARACTERS_MAX, "$.session_id", cuts)
    if text := client.get("request_id"):
        entry["request_id"] = _cut(text, REFERENCE_CHARACTERS_MAX, "$.request_id", cuts)
    if text := data.get("correlation_id"):
        entry["correlation_id"] = _cut(text, REFERENCE_CHARACTERS_MAX, "$.correlation_id", cuts)


def _add_address(entry: dict[str, Any], text: str, cuts: list[str]) -> None:
    ip, port, raw = address.parse(text)
    if ip is None:
        entry["ip_raw"] = raw
        if raw != text:
            cuts.append("$.ip_raw")
        return
    entry["ip"] = ip
    if port is not None:
        entry["ip_port"] = port


def _source(event: Event, event_type: EventType) -> dict[str, Any]:
    record = event.record
    source: dict[str, Any] = {
        "service": event.source,
        "event_type": event_type.name,
        "event_version": VERSION,
    }
    if event.id is not None:
        source["event_id"] = event.id
    source["topic"] = record.topic
    source["partition"] = record.partition
    source["offset"] = record.offset
    return source


def _details(
    event: Event, event_type: EventType, data: Data, draft: Draft, *, cuts: list[str], failed: bool
) -> dict[str, Any]:
    """Return the details in canonical order, clean and within their bound."""
    given = None if failed else data.get("reason")
    details = _told(draft, draft.reason or given, cuts)
    extra = extra_of(event_type, data)
    if draft.session_id is not None:
        _add_other_session(extra, data, draft.session_id, cuts)
    if draft.reason and given:  # the event's own cause stands in its place
        extra["reason"] = _reason(given, "$.details.extra.reason", cuts)
    if extra:
        details["extra"] = cleaned(extra, "$.details.extra", cuts)
    if event.extensions or event.subject:
        details["attributes"] = _attributes(event, cuts)
    if cuts or event.sanitized or not _surely_fits(event):
        places = {**_PLACES, **draft.places}
        return fitted(details, [_sent_at(path, places) for path in cuts], event.sanitized)
    return details


def _add_other_session(extra: dict[str, Any], data: Data, session_id: str, cuts: list[str]) -> None:
    """Add the session in which another one was ended, within the bound it has elsewhere."""
    other = (data.get("client") or _NOTHING).get("session_id")
    if other and other != session_id:
        path = "$.details.extra.client.session_id"
        text = _cut(other, REFERENCE_CHARACTERS_MAX, path, cuts)
        extra["client"] = {**extra.get("client", {}), "session_id": text}


def _told(draft: Draft, reason: str | None, cuts: list[str]) -> dict[str, Any]:
    """Return the parts of the details that have names of their own."""
    details: dict[str, Any] = {}
    if draft.old is not None:
        details["old"] = cleaned(draft.old, "$.details.old", cuts)
    if draft.new is not None:
        details["new"] = cleaned(draft.new, "$.details.new", cuts)
    if reason:
        details["reason"] = _reason(reason, "$.details.reason", cuts)
    if draft.role is not None:
        details["role"] = _reference(draft.role, "$.details.role", cuts)
    if draft.grantee is not None:
        details["grantee"] = _reference(draft.grantee, "$.details.grantee", cuts)
    return details


def _reference(reference: Data, path: str, cuts: list[str]) -> Data:
    """Return a role or grantee within the bounds of ids and names."""
    return _bounded(cleaned(reference, path, cuts), _TEXTS, path, cuts)


def _attributes(event: Event, cuts: list[str]) -> dict[str, Any]:
    """Return the subject and the first extensions by name."""
    names = sorted(event.extensions)
    if len(names) > EXTENSIONS_MAX:
        cuts.append(_ATTRIBUTES)
    attributes = {name: event.extensions[name] for name in names[:EXTENSIONS_MAX]}
    if event.subject:
        attributes["subject"] = event.subject
    return cleaned(attributes, _ATTRIBUTES, cuts)


def _surely_fits(event: Event) -> bool:
    """Tell whether the record is so small that its details are; headers count as well."""
    if event.record.headers and (event.extensions or event.subject):
        return False
    return len(event.record.value or b"") <= SURELY_FITS_BYTES


def _sent_at(path: str, places: Places) -> str:
    """Return where that which stands in the entry at ``path`` stood in the raw event."""
    path = path[:PATH_CHARACTERS_MAX]
    if path == _ATTRIBUTES:
        return path
    end = len(path)
    while end > 0:
        if (place := places.get(path[:end])) is not None:
            return place + path[end:]
        end = max(path.rfind(mark, 0, end) for mark in ".[")
    return path
