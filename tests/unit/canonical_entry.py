"""Entries for the tests of what goes out."""

from typing import Any, cast

from schemas.entry import Entry


def entry(**changed: Any) -> Entry:
    """Return a right entry with some keys changed; ``...`` takes one out."""
    whole: dict[str, Any] = {
        "schema_version": 1,
        "entry_id": "01a207d9-217b-828a-a137-81caa759c1be",
        "seq": 42,
        "org_id": "acme",
        "occurred_at": "2026-11-23T10:00:00.123Z",
        "occurred_at_quality": "exact",
        "recorded_at": "2026-11-23T10:00:01.000Z",
        "category": "users",
        "action": "user.created",
        "outcome": "success",
        "severity": 4,
        "actor": {"type": "user", "id": "u-1", "name": "Zoë"},
        "target": {"type": "user", "id": "u-2"},
        "details": {"new": {"id": "u-2"}},
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
        "source": {
            "service": "/hub/identity",
            "event_type": "identity.user.created",
            "event_version": 1,
            "event_id": "evt-1",
            "topic": "raw.identity",
            "partition": 3,
            "offset": 41,
        },
        "raw_sha256": "ab" * 32,
        "normalizer": "1",
    }
    return cast("Entry", {k: v for k, v in {**whole, **changed}.items() if v is not ...})
