"""What a query means, in plain Python over whole entries: the judge of its translation to SQL."""

from collections.abc import Callable, Iterator
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from schemas.entry import Entry
from schemas.query import OWN_CATEGORY, Field, Numbers, Period, Query, Term, Value, Word


def lowered(text: str) -> str:
    """Return a text character by character in lower case; a dotted capital I is an i."""
    return "".join("i" if c == "\u0130" else c.lower() for c in text)


def matches(entry: Entry, query: Query) -> bool:
    """Tell whether a query asks for an entry."""
    if entry["category"] == OWN_CATEGORY and not query.shows_own:
        return False
    return all(_holds(entry, term) for term in query.terms)


def _holds(entry: Entry, term: Term) -> bool:
    return term.negated != any(_matches(entry, term.field, value) for value in term.values)


def _matches(entry: Entry, field: Field, value: Value) -> bool:
    if isinstance(value, Word):
        if field is Field.TEXT:
            return _occurs(entry, lowered(value.text))
        return any(_is(value, found, fold) for found, fold in _words(entry, field))
    if isinstance(value, Numbers):
        first, last = value.first, value.last
        return (first is None or first <= entry["seq"]) and (last is None or entry["seq"] <= last)
    if isinstance(value, Period):
        rendered = entry["occurred_at" if field is Field.CREATED else "recorded_at"]
        return _within(datetime.fromisoformat(rendered), value)
    return _from(entry, value)


def _within(instant: datetime, period: Period) -> bool:
    since, until = period.since, period.until
    assert not isinstance(since, str | int)
    return (since is None or since <= instant) and (until is None or instant < until)  # type: ignore[operator]


def _from(entry: Entry, network: IPv4Network | IPv6Network) -> bool:
    return "ip" in entry and ip_address(entry["ip"]) in network


def _is(word: Word, found: str, fold: Callable[[str], str]) -> bool:
    wanted, found = fold(word.text), fold(found)
    return found.startswith(wanted) if word.prefix else found == wanted


def _words(entry: Entry, field: Field) -> Iterator[tuple[str, Callable[[str], str]]]:
    """Yield what a word of the field is compared with, and what makes both of one letter case.

    Of an e-mail address that is what it is stored by: a last Greek sigma is one of its own there.
    """
    plain: Any = entry
    path: dict[Field, list[tuple[str, Callable[[str], str]]]] = {
        Field.ACTION: [("action", lowered)],
        Field.CATEGORY: [("category", lowered)],
        Field.OUTCOME: [("outcome", lowered)],
        Field.ID: [("entry_id", str)],
        Field.SESSION: [("session_id", str)],
        Field.REQUEST: [("request_id", str)],
        Field.CORRELATION: [("correlation_id", str)],
        Field.TARGET_TYPE: [("target.type", lowered)],
        Field.TARGET: [("target.id", str), ("target.email", str.lower), ("target.name", lowered)],
        Field.ACTOR: [
            ("actor.id", str),
            ("actor.email", str.lower),
            ("actor.on_behalf_of.id", str),
            ("actor.on_behalf_of.email", str.lower),
        ],
    }
    for names, fold in path[field]:
        found = plain
        for name in names.split("."):
            found = found.get(name, {})
        if found != {}:
            yield found, fold


_UNSEARCHED = ("schema_version", "entry_id", "seq", "severity", "ip_port", "raw_sha256")
_UNSEARCHED_OF_SOURCE = ("event_version", "partition", "offset")


def _occurs(entry: Entry, word: str) -> bool:
    """Tell whether a word occurs in a field that people read, or begins one of our own keys."""
    shown: dict[str, Any] = {k: v for k, v in entry.items() if k not in _UNSEARCHED}
    shown["source"] = {k: v for k, v in entry["source"].items() if k not in _UNSEARCHED_OF_SOURCE}
    if any(word in lowered(text) for text in _texts(shown)):
        return True
    own = (entry["entry_id"], entry["raw_sha256"])
    return len(word) >= 8 and any(text.startswith(word) for text in own)


def _texts(value: Any) -> Iterator[str]:
    """Yield every value that is no container, as JSON writes it."""
    if isinstance(value, dict):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif value is not None:
        yield str(value)
