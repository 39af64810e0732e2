"""Which candidates are new, which are upstream duplicates, which conflict: pure."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from schemas.entry import Entry
from schemas.record import Record
from schemas.rejection import DeadLetter, Reason, Rejection, Stage

Identity = tuple[str, str]

# What says how a fact came in, not what it is.
_NOT_CONTENT = ("seq", "recorded_at", "raw_sha256", "normalizer", "trace_id", "span_id")
_TRACE_STATE = "tracestate"
_COORDINATES = ("topic", "partition", "offset")


class Candidate(NamedTuple):
    """An entry on its way into the store, and the record it was made of.

    ``row`` and ``rendered`` lack its number. They are all that is kept of it: mappings of a whole
    batch would fill the memory, and few are ever looked at again.
    """

    org_id: str
    row: bytes
    rendered: bytes
    record: Record

    @property
    def entry(self) -> Entry:
        """The entry, as it reads after rendering."""
        entry: Entry = orjson.loads(self.rendered)
        return entry


class Resolution(NamedTuple):
    """How the candidates of a batch end, before the database has seen the new ones."""

    fresh: list[Candidate]
    duplicates: list[Record]
    conflicts: list[DeadLetter]


def identity(entry: Entry) -> Identity:
    """Return the key of an entry; the identifier holds ``occurred_at`` already."""
    return entry["org_id"], entry["entry_id"]


def resolve(candidates: Iterable[Candidate], stored: Mapping[Identity, Entry]) -> Resolution:
    """Compare each candidate with what stands under its identity, in the store or before it.

    Raises RuntimeError for a record that is stored already: positions and entries are advanced in
    one transaction, so that cannot be. (The same coordinates at another append time are those of a
    topic that was created anew: another record. `hub-audit recover` lets nothing be read again that
    is stored.)
    """
    standing = dict(stored)
    outcome = Resolution([], [], [])
    for candidate in candidates:
        entry = candidate.entry
        key = identity(entry)
        other = standing.get(key)
        if other is None:
            standing[key] = entry
            outcome.fresh.append(candidate)
        elif is_made_of(other, entry, candidate.record):
            raise RuntimeError(f"record {_coordinates(other)} is stored already, as entry {key[1]}")
        elif same_fact(other, entry):
            outcome.duplicates.append(candidate.record)
        else:
            outcome.conflicts.append(_conflict(candidate, other))
    return outcome


def same_fact(one: Entry, other: Entry) -> bool:
    """Tell a repetition from a second fact that uses the identity of the first.

    Equal bytes prove nothing: in binary mode the type and the attributes stand in the headers, and
    a deactivation and a removal of the same user have the same value.
    """
    return one["normalizer"] != other["normalizer"] or _content(one) == _content(other)


def _content(entry: Entry) -> dict[str, Any]:
    """Return what the entry says, as it reads after rendering."""
    content: dict[str, Any] = orjson.loads(orjson.dumps(entry))
    for name in _NOT_CONTENT:
        content.pop(name, None)
    for name in _COORDINATES:
        del content["source"][name]
    attributes = content["details"].pop("attributes", {})
    # In a header every attribute is text: the canonical one of CloudEvents' types.
    content["attributes"] = {
        name: str(value).lower() if isinstance(value, bool | int) else value
        for name, value in attributes.items()
        if name != _TRACE_STATE
    }
    return content


def is_made_of(other: Entry, entry: Entry, record: Record) -> bool:
    """Tell whether an entry was made of the very record that another one is made of."""
    coordinates = record.topic, record.partition, record.offset
    return _coordinates(other) == coordinates and other["recorded_at"] == entry["recorded_at"]


def _coordinates(entry: Entry) -> tuple[str, int, int]:
    """Return where the record of an entry stands."""
    source = entry["source"]
    return source["topic"], source["partition"], source["offset"]


def _conflict(candidate: Candidate, other: Entry) -> DeadLetter:
    """Reject a candidate whose identity belongs to another fact."""
    topic, partition, offset = _coordinates(other)
    detail = f"identity of entry {other['entry_id']}, made of {topic}/{partition}/{offset}"
    rejection = Rejection(Stage.STORE, Reason.ID_CONFLICT, detail)
    return DeadLetter(candidate.record, rejection, candidate.org_id)
