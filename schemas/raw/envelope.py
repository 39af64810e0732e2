"""The envelope of a raw event: CloudEvents 1.0 in structured, binary or bare form."""

from typing import Any, NamedTuple

from schemas.record import Record

ORG_ID = "[A-Za-z0-9_-]{1,128}"
"""What an organization may be called, as a regular expression for the whole of it."""


class Origin(NamedTuple):
    """Where and when an event first came in: its record's coordinates, unless it is redriven."""

    topic: str
    partition: int
    offset: int
    timestamp: int


class Event(NamedTuple):
    """A decoded raw event; ``data`` is not yet checked against its type's contract.

    ``org_id`` and ``time`` are as sent (any JSON value, None when absent): the rules for them are
    decided after the type is known. ``sanitized`` lists the JSON paths (``$.data.actor.name``,
    the same for every content mode) where a character had to be replaced by U+FFFD.
    """

    record: Record
    origin: Origin
    type: str
    source: str
    id: str | None
    org_id: Any
    time: Any
    data: Any
    subject: str | None
    traceparent: str | None
    extensions: dict[str, Any]
    sanitized: tuple[str, ...]
