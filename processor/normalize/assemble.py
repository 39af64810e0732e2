"""Put an entry together from an event and what its type's rules made of it."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, cast

from processor.normalize import address, instant
from processor.normalize.details import SURELY_FITS_BYTES, cleaned, fitted, normalized_email
from processor.normalize.draft import EMAIL_CHARACTERS_MAX, NAME_CHARACTERS_MAX, Data, Draft
from processor.normalize.entry_id import entry_id
from processor.normalize.event_types import EventType, VERSION
from processor.normalize.instant import Instant
from processor.normalize.redact import redact_text
from schemas.catalogue import CATALOGUE
from schemas.entry import SCHEMA_VERSION, Details, Entry
from schemas.raw.envelope import Event

NORMALIZER = "1"
"""Raised when the mapping changes: entries of another version never conflict with a repeat."""

EXTENSIONS_MAX = 16
USER_AGENT_CHARACTERS_MAX = 1_024
REASON_CHARACTERS_MAX = 256
REFERENCE_CHARACTERS_MAX = 128
"""Of session, request and correlation ids."""

ALWAYS_FAILED = frozenset({"auth.login_failed", "audit.denied"})

_NOTHING: Mapping[str, Any] = {}
_KNOWN = {
    "actor": frozenset({"type", "id", "email", "name", "on_behalf_of"}),
    "client": frozenset({"ip", "user_agent", "session_id", "request_id"}),
    "organization": frozenset({"name"}),
}
_KNOWN_OF_OTHER = frozenset({"id", "email"})
_TEXTS = {"id": NAME_CHARACTERS_MAX, "name": NAME_CHARACTERS_MAX, "email": EMAIL_CHARACTERS_MAX}


def assemble(
    event: Event, event_type: EventType, occurred: Instant, data: Data, draft: Draft
) -> Entry:
    """Return the entry, its keys in canonical order and ``seq`` still to be given."""
    cuts: list[str] = []
    action = CATALOGUE[draft.action]
    failed = draft.action in ALWAYS_FAILED or data.get("outcome") == "failure"
    outcome = "failure" if failed else "success"
    record = event.record
    entry: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "entry_id": _identity(event, occurred.ms),
        "seq": 0,
        "org_id": event.org_id,
    }
    if org_name := (data.get("organization") or _NOTHING).get("name"):
        entry["org_name"] = _cut(org_name, NAME_CHARACTERS_MAX, "$.org_name", cuts)
    entry["occurred_at"] = instant.render(occurred.ms)
    entry["occurred_at_quality"] = occurred.quality
    entry["recorded_at"] = instant.render(record.timestamp)
    entry["category"] = action.category
    entry["action"] = draft.action
    entry["outcome"] = outcome
    if failed and (reason := data.get("reason")):
        entry["outcome_reason"] = _reason(reason, "$.outcome_reason", cuts)
    entry["severity"] = action.severity_of(outcome)
    entry["actor"] = _actor(data["actor"], cuts)
    entry["target"] = _party(draft.target, "$.target", cuts)
    entry["details"] = _NOTHING
    _add_client(entry, data.get("client") or _NOTHING, cuts)
    if draft.session_id:
        entry["session_id"] = _cut(draft.session_id, REFERENCE_CHARACTERS_MAX, "$.session_id", cuts)
    _add_references(entry, data, event, cuts)
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


def _cut(text: str, characters_max: int, path: str, cuts: list[str]) -> str:
    if len(text) <= characters_max:
        return text
    cuts.append(path)
    return text[:characters_max]


def _reason(text: str, path: str, cuts: list[str]) -> str:
    return _cut(redact_text(text), REASON_CHARACTERS_MAX, path, cuts)


def _party(party: Mapping[str, Any], path: str, cuts: list[str]) -> dict[str, Any]:
    """Return an actor's or target's type, id, email and name, as far as there are any."""
    known: dict[str, Any] = {"type": party["type"]}
    for name in ("id", "name", "email") if path == "$.target" else ("id", "email", "name"):
        text = party.get(name)
        if text:
            if name == "email":
                text = normalized_email(text)
            known[name] = _cut(text, _TEXTS[name], f"{path}.{name}", cuts)
    return known


def _actor(actor: Mapping[str, Any], cuts: list[str]) -> dict[str, Any]:
    known = _party(actor, "$.actor", cuts)
    if other := actor.get("on_behalf_of"):
        behalf = _party({"type": "user", **other}, "$.actor.on_behalf_of", cuts)
        if behalf := {name: behalf[name] for name in ("id", "email") if name in behalf}:
            known["on_behalf_of"] = behalf
    return known


def _add_client(entry: dict[str, Any], client: Mapping[str, Any], cuts: list[str]) -> None:
    if text := client.get("ip"):
        found = address.parse(text)
        if found.ip is None:
            entry["ip_raw"] = found.raw
            if found.raw != text:
                cuts.append("$.ip_raw")
        else:
            entry["ip"] = found.ip
            if found.port is not None:
                entry["ip_port"] = found.port
    if text := client.get("user_agent"):
        entry["user_agent"] = _cut(text, USER_AGENT_CHARACTERS_MAX, "$.user_agent", cuts)
    if text := client.get("session_id"):
        entry["session_id"] = _cut(text, REFERENCE_CHARACTERS_MAX, "$.session_id", cuts)


def _add_references(
    entry: dict[str, Any], data: Data, event: Event, cuts: list[str]
) -> None:
    if text := (data.get("client") or _NOTHING).get("request_id"):
        entry["request_id"] = _cut(text, REFERENCE_CHARACTERS_MAX, "$.request_id", cuts)
    if text := data.get("correlation_id"):
        entry["correlation_id"] = _cut(text, REFERENCE_CHARACTERS_MAX, "$.correlation_id", cuts)
    if event.traceparent:
        _, entry["trace_id"], entry["span_id"], *_ = event.traceparent.split("-")


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
) -> Details:
    """Return the details in canonical order, clean and within their bound."""
    details: dict[str, Any] = {}
    reason = None if failed else data.get("reason")
    extra = _extra(event_type, data, draft)
    if draft.reason is not None and reason:
        extra["reason"] = reason  # the event's own cause stands in its place
    if draft.old is not None:
        details["old"] = cleaned(draft.old, "$.details.old", cuts)
    if draft.new is not None:
        details["new"] = cleaned(draft.new, "$.details.new", cuts)
    if reason := draft.reason or reason:
        details["reason"] = _reason(reason, "$.details.reason", cuts)
    if draft.role is not None:
        details["role"] = cleaned(draft.role, "$.details.role", cuts)
    if draft.grantee is not None:
        details["grantee"] = cleaned(draft.grantee, "$.details.grantee", cuts)
    if extra and (extra := cleaned(extra, "$.details.extra", cuts)):
        details["extra"] = extra
    if event.extensions or event.subject:
        details["attributes"] = _attributes(event, cuts)
    small = len(event.record.value or b"") <= SURELY_FITS_BYTES
    if cuts or event.sanitized or not small:
        return fitted(cast("Details", details), cuts, event.sanitized)
    return cast("Details", details)


def _extra(event_type: EventType, data: Data, draft: Draft) -> dict[str, Any]:
    """Gather what has no place of its own: known fields, then unknown ones, also nested."""
    extra = {name: value for name, value in (draft.extra or _NOTHING).items() if value != {}}
    if unknown := data.keys() - event_type.known:
        # In the sender's order: a set's own is another in every process.
        extra |= {name: data[name] for name in data if name in unknown}
    for name, known in _KNOWN.items():
        part = data.get(name)
        if part and not part.keys() <= known:
            extra[name] = {key: part[key] for key in part if key not in known}
    other = data["actor"].get("on_behalf_of")
    if other and not other.keys() <= _KNOWN_OF_OTHER:
        beyond = {key: other[key] for key in other if key not in _KNOWN_OF_OTHER}
        extra["actor"] = {**extra.get("actor", {}), "on_behalf_of": beyond}
    return extra


def _attributes(event: Event, cuts: list[str]) -> dict[str, Any]:
    """Return the subject and the first extensions by name."""
    names = sorted(event.extensions)
    if len(names) > EXTENSIONS_MAX:
        cuts.append("$.details.attributes")
    attributes = {name: event.extensions[name] for name in names[:EXTENSIONS_MAX]}
    if event.subject:
        attributes["subject"] = event.subject
    return cleaned(attributes, "$.details.attributes", cuts)
