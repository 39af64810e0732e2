"""Entries to and from table rows: hand-encoded binary COPY out, canonical key order back.

A generic encoder costs 7 us per row. Here the fixed columns are one struct, repeated texts are
kept length-prefixed in bounded caches, and ``seq``, the one value that is known only under the
lock of the organization's head, stands first, so that the rest is encoded before any lock is taken.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address
from socket import AF_INET, inet_pton
from struct import Struct
from typing import Any, cast

import orjson

from schemas.entry import Entry

COLUMNS = (
    "seq",
    "occurred_at",
    "recorded_at",
    "source_offset",
    "entry_id",
    "source_partition",
    "severity",
    "org_id",
    "category",
    "action",
    "outcome",
    "actor_type",
    "target_type",
    "source_topic",
    "actor_id",
    "actor_email",
    "target_id",
    "ip",
    "session_id",
    "request_id",
    "correlation_id",
    "details",
    "context",
)

SEALED_COLUMNS = (
    "search_text",
    "search_behalf_id",
    "search_behalf_email",
    "search_target_email",
    "search_target_name",
)
"""What sealing adds to a row; the entry is whole without."""

# The binary COPY format: signature, flags, length of the header's extension; -1 ends the rows.
COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_TRAILER = b"\xff\xff"

_NULL = b"\xff\xff\xff\xff"
_LENGTH = Struct("!i").pack
# Each value is preceded by its length in bytes; the row by the number of its columns.
_SEQ = Struct("!hiq").pack
_FIXED = Struct("!iqi8siqi16siiih").pack
_INET = Struct("!iBBBB").pack
# What stands before an address: its family, the bits of its mask, no network, its length.
_V4, _V6 = _INET(8, 2, 32, 0, 4), _INET(20, 3, 128, 0, 16)

# Postgres counts microseconds from the year 2000.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_MS = int(_EPOCH.timestamp()) * 1000

# Enough for organizations and all that repeats. What has many values, like actors and addresses, is
# not looked up: finding one in a cache of many takes longer than encoding it.
CACHED_VALUES_MAX = 16_384


class _Encoded(dict[Any, bytes]):
    """A bounded cache of encoded column values; full, it starts afresh."""

    def __init__(self, encode: Callable[[Any], bytes]) -> None:
        """Keep the function that encodes what is not yet known."""
        super().__init__()
        self._encode = encode

    def __missing__(self, value: Any) -> bytes:
        """Encode a value that is seen for the first time."""
        if len(self) >= CACHED_VALUES_MAX:
            self.clear()
        encoded = self[value] = self._encode(value)
        return encoded


def _text(value: str | None) -> bytes:
    """Encode a text column."""
    if value is None:
        return _NULL
    encoded = value.encode()
    return _LENGTH(len(encoded)) + encoded


def _inet(value: str | None) -> bytes:
    """Encode an address column."""
    if value is None:
        return _NULL
    try:
        return _V4 + inet_pton(AF_INET, value)
    except OSError:
        return _V6 + IPv6Address(value).packed


def _instant(value: str) -> bytes:
    """Encode a rendered time as Postgres counts."""
    elapsed = (datetime.fromisoformat(value) - _EPOCH) // timedelta(microseconds=1)
    return elapsed.to_bytes(8, "big", signed=True)


def _origin_json(origin: tuple[Any, ...]) -> bytes:
    """Render the part of the context that repeats from entry to entry, left open at its end."""
    names = ("schema_version", "normalizer", "occurred_at_quality", *_SOURCE_CONTEXT, "org_name")
    known = {name: value for name, value in zip(names, origin, strict=True) if value is not None}
    return orjson.dumps(known)[:-1] + b","


_SOURCE_CONTEXT = ("service", "event_type", "event_version")
_ENTRY_CONTEXT = ("outcome_reason", "ip_port", "ip_raw", "user_agent", "trace_id", "span_id")

_texts = _Encoded(_text)
_instants = _Encoded(_instant)
_origins = _Encoded(_origin_json)


def _context(entry: Entry) -> bytes:
    """Render the fields of the entry that have no column of their own."""
    actor, target, source = entry["actor"], entry["target"], entry["source"]
    context: dict[str, Any] = {"raw_sha256": entry["raw_sha256"]}
    if "event_id" in source:
        context["event_id"] = source["event_id"]
    fields = cast("dict[str, Any]", entry)
    for name in _ENTRY_CONTEXT:
        if name in fields:
            context[name] = fields[name]
    if "name" in actor:
        context["actor_name"] = actor["name"]
    if "on_behalf_of" in actor:
        context["actor_on_behalf_of"] = actor["on_behalf_of"]
    if "name" in target:
        context["target_name"] = target["name"]
    if "email" in target:
        context["target_email"] = target["email"]
    origin = _origins[
        entry["schema_version"],
        entry["normalizer"],
        entry["occurred_at_quality"],
        source["service"],
        source["event_type"],
        source["event_version"],
        entry.get("org_name"),
    ]
    return origin + orjson.dumps(context)[1:]


def encode(entry: Entry) -> bytes:
    """Encode every column but ``seq``.

    Raises ValueError, TypeError, KeyError or struct.error for what no row can hold.
    """
    actor, target, source = entry["actor"], entry["target"], entry["source"]
    texts = _texts
    entry_id = bytes.fromhex(entry["entry_id"].replace("-", ""))
    details = orjson.dumps(entry["details"])
    context = _context(entry)
    return b"".join(
        (
            _FIXED(
                8,
                # The identifier begins with the milliseconds of occurred_at.
                (int.from_bytes(entry_id[:6]) - _EPOCH_MS) * 1000,
                8,
                _instants[entry["recorded_at"]],
                8,
                source["offset"],
                16,
                entry_id,
                4,
                source["partition"],
                2,
                entry["severity"],
            ),
            texts[entry["org_id"]],
            texts[entry["category"]],
            texts[entry["action"]],
            texts[entry["outcome"]],
            texts[actor["type"]],
            texts[target["type"]],
            texts[source["topic"]],
            _text(actor.get("id")),
            _text(actor.get("email")),
            _text(target.get("id")),
            _inet(entry.get("ip")),
            _text(entry.get("session_id")),
            _text(entry.get("request_id")),
            _text(entry.get("correlation_id")),
            _LENGTH(len(details)),
            details,
            _LENGTH(len(context)),
            context,
        )
    )


def numbered(row: bytes, seq: int) -> bytes:
    """Complete an encoded row by its sequence number."""
    return _SEQ(len(COLUMNS), 8, seq) + row


def occurred_at(entry: Entry) -> datetime:
    """Return when it happened, from the identifier, which begins with it."""
    return _EPOCH + timedelta(milliseconds=_occurred_ms(entry) - _EPOCH_MS)


def _occurred_ms(entry: Entry) -> int:
    """Return the first 48 bits of the identifier."""
    return int(entry["entry_id"][:8] + entry["entry_id"][9:13], 16)


def _rendered(instant: datetime) -> str:
    """Render a time as entries do."""
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}Z"


def decode(row: Mapping[str, Any]) -> Entry:
    """Return the entry of a row that has all COLUMNS, its keys in canonical order."""
    context = orjson.loads(row["context"])
    entry = {
        "schema_version": context["schema_version"],
        "entry_id": str(row["entry_id"]),
        "seq": row["seq"],
        "org_id": row["org_id"],
        "org_name": context.get("org_name"),
        "occurred_at": _rendered(row["occurred_at"]),
        "occurred_at_quality": context["occurred_at_quality"],
        "recorded_at": _rendered(row["recorded_at"]),
        "category": row["category"],
        "action": row["action"],
        "outcome": row["outcome"],
        "outcome_reason": context.get("outcome_reason"),
        "severity": row["severity"],
        "actor": _present(
            type=row["actor_type"],
            id=row["actor_id"],
            email=row["actor_email"],
            name=context.get("actor_name"),
            on_behalf_of=context.get("actor_on_behalf_of"),
        ),
        "target": _present(
            type=row["target_type"],
            id=row["target_id"],
            name=context.get("target_name"),
            email=context.get("target_email"),
        ),
        "details": orjson.loads(row["details"]),
        "ip": None if row["ip"] is None else str(row["ip"]),
        "ip_port": context.get("ip_port"),
        "ip_raw": context.get("ip_raw"),
        "user_agent": context.get("user_agent"),
        "session_id": row["session_id"],
        "request_id": row["request_id"],
        "correlation_id": row["correlation_id"],
        "trace_id": context.get("trace_id"),
        "span_id": context.get("span_id"),
        "source": _source(row, context),
        "raw_sha256": context["raw_sha256"],
        "normalizer": context["normalizer"],
    }
    return cast("Entry", _present(**entry))


def _present(**fields: Any) -> dict[str, Any]:
    """Return the fields that have a value, in order."""
    return {name: value for name, value in fields.items() if value is not None}


def _source(row: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Return where the entry came from."""
    return _present(
        service=context["service"],
        event_type=context["event_type"],
        event_version=context["event_version"],
        event_id=context.get("event_id"),
        topic=row["source_topic"],
        partition=row["source_partition"],
        offset=row["source_offset"],
    )
