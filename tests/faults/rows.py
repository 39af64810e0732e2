"""What a row of ``audit_entries`` says, put together into an entry by hand."""

import json
from datetime import UTC, datetime
from typing import Any

from tests.faults.catalog import ENTRY_KEYS
from tests.faults.world import Spot

Entry = dict[str, Any]
Row = dict[str, Any]

PLAIN = ("ip_port", "ip_raw", "user_agent", "trace_id", "span_id", "outcome_reason", "org_name")


def milliseconds(moment: datetime) -> int:
    """Return a moment in whole milliseconds, cut."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def rfc3339(moment: datetime) -> str:
    """Return a moment as the entry writes it."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def rendered(entry: Entry) -> bytes:
    """Return compact JSON in UTF-8, keys as they stand."""
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()


def spot_of(row: Row) -> Spot:
    """Return the coordinates of the raw record that a row was made of."""
    return row["source_topic"], row["source_partition"], row["source_offset"]


def entry_of(row: Row) -> Entry:
    """Return the entry that a row holds, its keys in canonical order."""
    context = row["context"] if isinstance(row["context"], dict) else json.loads(row["context"])
    topic, partition, offset = spot_of(row)
    source = {
        "service": context["service"],
        "event_type": context["event_type"],
        "event_version": context["event_version"],
        "event_id": context.get("event_id"),
        "topic": topic,
        "partition": partition,
        "offset": offset,
    }
    actor = {
        "type": row["actor_type"],
        "id": row["actor_id"],
        "email": row["actor_email"],
        "name": context.get("actor_name"),
        "on_behalf_of": context.get("actor_on_behalf_of"),
    }
    target = {
        "type": row["target_type"],
        "id": row["target_id"],
        "name": context.get("target_name"),
        "email": context.get("target_email"),
    }
    entry = {
        **{name: row[name] for name in ("seq", "org_id", "category", "action", "outcome")},
        **{name: row[name] for name in ("severity", "session_id", "request_id", "correlation_id")},
        **{name: context.get(name) for name in PLAIN},
        "schema_version": context["schema_version"],
        "entry_id": str(row["entry_id"]),
        "occurred_at": rfc3339(row["occurred_at"]),
        "occurred_at_quality": context["occurred_at_quality"],
        "recorded_at": rfc3339(row["recorded_at"]),
        "actor": _present(actor),
        "target": _present(target),
        "details": json.loads(row["details"]),
        "ip": None if row["ip"] is None else str(row["ip"]).split("/")[0],
        "source": _present(source),
        "raw_sha256": context["raw_sha256"],
        "normalizer": context["normalizer"],
    }
    return {key: entry[key] for key in ENTRY_KEYS if entry.get(key) is not None}


def _present(fields: Entry) -> Entry:
    return {name: value for name, value in fields.items() if value is not None}
