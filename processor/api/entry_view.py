"""One entry as its page shows it: every field in words, what changed, and where to go on. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson

from processor.api.view import Link, pivot, visible
from schemas.catalogue import CATEGORY_LABELS
from schemas.entry import Entry
from schemas.query import OWN_CATEGORY, Field, Period, Query, Term, Word

AROUND = timedelta(hours=1)
"""How far a timeline reaches before and after the entry that it is about."""

Given = tuple[str, object, Field | None]
"""A field's name, its value, and what it can be searched by."""


class Fact(NamedTuple):
    """A field of an entry, with the links that search for its value, or for all but it."""

    name: str
    value: str
    only: str | None
    out: str | None


class Change(NamedTuple):
    """A member that differs: as it was, as it is."""

    name: str
    old: str | None
    new: str | None


def changes(entry: Entry) -> list[Change]:
    """Return the members that differ between old and new."""
    old, new = entry["details"].get("old", {}), entry["details"].get("new", {})
    names = dict.fromkeys([*old, *new])
    return [
        Change(
            visible(name),
            _shown(old[name]) if name in old else None,
            _shown(new[name]) if name in new else None,
        )
        for name in names
    ]


def around(entry: Entry, retention_days: int) -> list[Link]:
    """Return where an investigation goes on from an entry: who, in what, from where."""
    actor, at = entry["actor"], datetime.fromisoformat(entry["occurred_at"])
    near = Term(Field.CREATED, (Period(at - AROUND, at + AROUND),))
    kept, *named = among(entry, retention_days).terms
    pivots: list[tuple[str, Field, str | None, Term]] = [
        ("What this actor did an hour before and after", Field.ACTOR,
         actor.get("id") or actor.get("email"), near),
        ("What came from this address in that time", Field.IP, entry.get("ip"), near),
        ("The whole session", Field.SESSION, entry.get("session_id"), kept),
        ("The whole request", Field.REQUEST, entry.get("request_id"), kept),
        ("Everything correlated with it", Field.CORRELATION, entry.get("correlation_id"), kept),
    ]  # fmt: skip
    return [
        Link(text, pivot(Query((period, *named)), field, value) + f"#e-{entry['entry_id']}")
        for text, field, value, period in pivots
        if value
    ]


def among(entry: Entry, retention_days: int) -> Query:
    """Return the widest search, of all that is kept, in which the entry is found itself."""
    kept = Term(Field.CREATED, (Period(timedelta(days=retention_days), None),))
    # Of these entries a search finds none unless it names their category.
    every = Term(Field.CATEGORY, tuple(map(Word, CATEGORY_LABELS)))
    return Query((kept, every) if entry["category"] == OWN_CATEGORY else (kept,))


def facts(query: Query, entry: Entry) -> list[Fact]:
    """Return an entry's fields with their names, and the links that pivot on each, if any do."""
    given = (*_happening(entry), *_people(entry), *_details(entry), *_origin(entry))
    return [
        Fact(
            name,
            _shown(value),
            pivot(query, field, str(value)) if field else None,
            pivot(query, field, str(value), negated=True) if field else None,
        )
        for name, value, field in given
        if value not in (None, "")
    ]


def _happening(entry: Entry) -> Iterator[Given]:
    """Yield what happened, when, and how it ended."""
    yield "Happened", entry["occurred_at"], None
    yield "Time as sent", _QUALITIES[entry["occurred_at_quality"]], None
    yield "Arrived", entry["recorded_at"], None
    yield "Action", entry["action"], Field.ACTION
    yield "Category", entry["category"], Field.CATEGORY
    yield "Outcome", entry["outcome"], Field.OUTCOME
    yield "Reason", entry.get("outcome_reason") or entry["details"].get("reason"), None
    yield "Severity", entry["severity"], None
    yield "Organization", entry["org_id"], None
    yield "Organization name", entry.get("org_name"), None


_QUALITIES = {"exact": "with its zone", "assumed_zone": "without a zone: UTC was taken"}


def _people(entry: Entry) -> Iterator[Given]:
    """Yield who did it and for whom, what was affected, and to whom something was given."""
    actor, target, details = entry["actor"], entry["target"], entry["details"]
    behalf, grantee = actor.get("on_behalf_of", {}), details.get("grantee", {})
    yield "Actor", actor.get("email"), Field.ACTOR
    yield "Actor ID", actor.get("id"), Field.ACTOR
    yield "Actor name", actor.get("name"), None
    yield "Actor type", actor["type"], None
    yield "On behalf of", behalf.get("email"), Field.ACTOR
    yield "On behalf of ID", behalf.get("id"), Field.ACTOR
    yield "Target type", target["type"], Field.TARGET_TYPE
    yield "Target ID", target.get("id"), Field.TARGET
    yield "Target name", target.get("name"), Field.TARGET
    yield "Target email", target.get("email"), Field.TARGET
    yield "Grantee", grantee.get("email"), None
    yield "Grantee ID", grantee.get("id"), None
    yield "Grantee name", grantee.get("name"), None
    yield "Grantee type", grantee.get("type"), None
    yield "Role", details.get("role", {}).get("name"), None
    yield "Role ID", details.get("role", {}).get("id"), None


def _details(entry: Entry) -> Iterator[Given]:
    """Yield what else the event said, and what of it was changed for the log."""
    details = entry["details"]
    for name, value in details.get("extra", {}).items():
        yield f"Extra: {visible(name)}", value, None
    for name, value in details.get("attributes", {}).items():
        yield f"Attribute: {visible(name)}", value, None
    yield "Truncated", ", ".join(details.get("truncated", ())), None
    yield "Sanitized", ", ".join(details.get("sanitized", ())), None


def _origin(entry: Entry) -> Iterator[Given]:
    """Yield where it came from, what it belongs to, and the record that it was made of."""
    source = entry["source"]
    yield "IP address", entry.get("ip"), Field.IP
    yield "IP port", entry.get("ip_port"), None
    yield "IP address as sent", entry.get("ip_raw"), None
    yield "User agent", entry.get("user_agent"), None
    yield "Session", entry.get("session_id"), Field.SESSION
    yield "Request", entry.get("request_id"), Field.REQUEST
    yield "Correlation", entry.get("correlation_id"), Field.CORRELATION
    yield "Trace", entry.get("trace_id"), None
    yield "Span", entry.get("span_id"), None
    yield "Source", source["service"], None
    yield "Event type", f"{source['event_type']}, version {source['event_version']}", None
    yield "Event ID", source.get("event_id"), None
    yield "Record", f"{source['topic']}/{source['partition']}/{source['offset']}", None
    yield "Record's SHA-256", entry["raw_sha256"], None
    yield "Normalizer", entry["normalizer"], None
    yield "Sequence number", entry["seq"], None
    yield "Entry ID", entry["entry_id"], None


def _shown(value: object) -> str:
    """Return a value as a text: what is none as JSON."""
    if isinstance(value, str):
        return visible(value)
    return visible(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
