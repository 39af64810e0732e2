"""Raw events for the tests of normalize: data of every type, and what becomes of an event."""

import json
from typing import Any

from processor.ingest.decode import decode
from processor.normalize import Limits, normalize
from schemas.raw.envelope import Event
from schemas.record import RawRecord
from schemas.rejection import Discard, Rejection, Rule

DAY_MS = 86_400_000
RECORDED_MS = 1_795_428_001_000  # 2026-11-23T10:00:01Z
TIME = "2026-11-23T10:00:00.123Z"
ACTOR = {"type": "user", "id": "u-1", "email": "ann@acme.example", "name": "Ann"}

FAMILIES = ("identity", "permission", "billing", "audit")
LIMITS = Limits(90 * DAY_MS, 0, {f"raw.{family}": family for family in FAMILIES})

Json = dict[str, Any]
Headers = list[tuple[str, bytes | None]]

USER = {"id": "u-2", "email": "bob@acme.example"}
ROLE = {"id": "r-1", "name": "Editor"}
PRODUCT = {"id": "p-1", "name": "Vault"}
INVOICE = {
    "id": "in-1",
    "number": "A-1",
    "amount_minor": 1_200,
    "currency": "EUR",
    "period_start": "2026-10-01",
    "period_end": "2026-10-31",
}

DATA: dict[str, Json] = {
    "identity.login.succeeded": {"method": "sso"},
    "identity.login.failed": {"method": "password", "reason": "invalid_credentials"},
    "identity.session.ended": {"session_id": "s-1", "cause": "logout"},
    "identity.user.created": {"user": USER},
    "identity.user.updated": {"user": USER, "before": {"a": 1}, "after": {"a": 2}},
    "identity.user.invited": {"invitation": {"id": "i-1", "email": "new@acme.example"}},
    "identity.user.deactivated": {"user": USER},
    "identity.user.removed": {"user": USER},
    "permission.role.created": {"role": {**ROLE, "permissions": ["read"]}},
    "permission.role.updated": {"role": ROLE, "before": {"a": 1}, "after": {"a": 2}},
    "permission.role.deleted": {"role": ROLE},
    "permission.role_binding.changed": {
        "user": USER,
        "role": ROLE,
        "roles_before": ["Member"],
        "roles_after": ["Member", "Editor"],
    },
    "permission.product_access.changed": {
        "product": PRODUCT,
        "grantee": {"type": "user", "id": "u-2"},
        "level_after": "read",
    },
    "permission.grants.changed": {
        "target": {"type": "role", "id": "r-1"},
        "added": ["read"],
        "removed": [],
    },
    "billing.subscription.updated": {
        "subscription": {"id": "sub-1"},
        "previous": {"plan": {"id": "team", "name": "Team"}, "seats": 5, "interval": "month"},
        "current": {"plan": {"id": "pro", "name": "Pro"}, "seats": 5, "interval": "month"},
    },
    "billing.payment_method.updated": {"payment_method": {"id": "pm-1", "last4": "4242"}},
    "billing.invoice.finalized": {"invoice": INVOICE},
    "audit.viewed": {"filter": {"category": "users"}, "rows": 7},
    "audit.exported": {"filter": {}, "format": "csv", "rows": 7},
    "audit.denied": {"asked": "export", "reason": "no permission"},
    "audit.subscription.changed": {"subscription": {"id": "siem-1"}, "before": {}, "after": {}},
    "audit.finding.acknowledged": {"finding": {"id": "f-1", "rule": "spraying"}},
    "audit.retention.purged": {"day": "2026-08-24", "rows": 9, "first_seq": 1, "last_seq": 9},
}
"""By type, the least that makes it an entry: beside it an actor is needed."""


def encoded(name: str, data: Any, /, **envelope: Any) -> bytes:
    """Return a bare raw event; ``...`` takes an attribute out."""
    attributes = {
        "specversion": "1.0",
        "id": "evt-1",
        "source": "/hub",
        "type": f"{name}.v1",
        "time": TIME,
        "orgid": "acme",
        "data": data,
        **envelope,
    }
    return json.dumps({k: v for k, v in attributes.items() if v is not ...}).encode()


def end_of(
    value: bytes, topic: str, *headers: tuple[str, bytes | None], limits: Limits = LIMITS
) -> Any:
    """Return what becomes of a record's value."""
    event = decode(RawRecord(topic, 3, 41, RECORDED_MS, None, value, headers), "raw.redrive")
    assert isinstance(event, Event), event
    return normalize(event, limits)


def end(name: str, changed: Json | None = None, /, **envelope: Any) -> Any:
    """Return what becomes of the type's data with some members changed; ``...`` takes one out."""
    data = {"actor": ACTOR, **DATA[name], **(changed or {})}
    data = {k: v for k, v in data.items() if v is not ...}
    return end_of(encoded(name, data, **envelope), f"raw.{name.partition('.')[0]}")


def entry(name: str, changed: Json | None = None, /, **envelope: Any) -> Any:
    """Return the entry that an event becomes."""
    made = end(name, changed, **envelope)
    assert isinstance(made, dict), made
    return made


def details(name: str, changed: Json | None = None, /, **envelope: Any) -> Any:
    """Return the details of the entry that an event becomes."""
    return entry(name, changed, **envelope)["details"]


def reason(name: str, changed: Json | None = None, /, **envelope: Any) -> str:
    """Return why an event is rejected."""
    rejection = end(name, changed, **envelope)
    assert isinstance(rejection, Rejection), rejection
    assert rejection.stage == "normalize"
    return rejection.reason


def unchanged(name: str, changed: Json | None = None) -> bool:
    """Tell whether an event is discarded because nothing changed; otherwise it is an entry."""
    made = end(name, changed)
    assert isinstance(made, dict | Discard), made
    return made == Discard(Rule.NO_CHANGE)
