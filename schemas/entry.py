"""The audit entry, version 1, and its one canonical rendering.

An entry is a plain mapping whose keys stand in canonical order and in which a key without a value
is absent: what is built once by ``normalize`` is what Postgres stores and what subscribers get,
and rendering is nothing but serializing it. A typed mapping instead of a model costs nothing to
build and nothing to render, and is checked by mypy and by the generated JSON Schema alike.
"""

from typing import Any, Literal, NotRequired
from uuid import UUID

import orjson
from typing_extensions import TypedDict  # pydantic wants it before Python 3.12

SCHEMA_VERSION = 1
SCHEMA_ID = f"urn:hub:audit:entry:{SCHEMA_VERSION}"
"""``$id`` of the generated JSON Schema and ``ce_dataschema`` of every canonical event."""


class OnBehalfOf(TypedDict):
    """For whom a support agent or service acted."""

    id: NotRequired[str]
    email: NotRequired[str]


class Actor(TypedDict):
    """Who performed the action."""

    type: Literal["user", "service", "system", "anonymous", "support"]
    id: NotRequired[str]
    email: NotRequired[str]
    name: NotRequired[str]
    on_behalf_of: NotRequired[OnBehalfOf]


class Target(TypedDict):
    """What was affected."""

    type: str
    id: NotRequired[str]
    name: NotRequired[str]
    email: NotRequired[str]


class Details(TypedDict):
    """Additional context; ``old`` and ``new`` carry only the keys that differ."""

    old: NotRequired[dict[str, Any]]
    new: NotRequired[dict[str, Any]]
    reason: NotRequired[str]
    role: NotRequired[dict[str, Any]]
    grantee: NotRequired[dict[str, Any]]
    extra: NotRequired[dict[str, Any]]
    attributes: NotRequired[dict[str, Any]]
    truncated: NotRequired[list[str]]
    sanitized: NotRequired[list[str]]


class Source(TypedDict):
    """Which raw event the entry was made of, and where that record stands on Kafka."""

    service: str
    event_type: str
    event_version: int
    event_id: NotRequired[str]
    topic: str
    partition: int
    offset: int


class Entry(TypedDict):
    """The audit entry. Times are ``YYYY-MM-DDTHH:MM:SS.mmmZ``; keys stand in this order."""

    schema_version: int
    entry_id: str
    seq: int
    org_id: str
    org_name: NotRequired[str]
    occurred_at: str
    occurred_at_quality: Literal["exact", "assumed_zone"]
    recorded_at: str
    category: str
    action: str
    outcome: Literal["success", "failure"]
    outcome_reason: NotRequired[str]
    severity: int
    actor: Actor
    target: Target
    details: Details
    ip: NotRequired[str]
    ip_port: NotRequired[int]
    ip_raw: NotRequired[str]
    user_agent: NotRequired[str]
    session_id: NotRequired[str]
    request_id: NotRequired[str]
    correlation_id: NotRequired[str]
    trace_id: NotRequired[str]
    span_id: NotRequired[str]
    source: Source
    raw_sha256: str
    normalizer: str


def render(entry: Entry) -> bytes:
    """Return the entry's canonical JSON: compact UTF-8, keys in canonical order.

    The same bytes serve the canonical topics, the API, NDJSON exports and settling after a crash.
    """
    return orjson.dumps(entry)


# An identifier has always as many characters, so that the number begins at the same place.
_SEQ_AT = len(f'{{"schema_version":{SCHEMA_VERSION},"entry_id":"{UUID(int=0)}","seq":')


def numbered(rendered: bytes, seq: int) -> bytes:
    """Return the rendering of an entry with its number, from that with 0 in its place."""
    return b"%b%d%b" % (rendered[:_SEQ_AT], seq, rendered[_SEQ_AT + 1 :])
