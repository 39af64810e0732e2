"""Raw events of every type with the entry each must become, both written by hand from the contract.

A draft is a raw event before it is encoded; its ``template`` is the expected entry without what
only the bus and the store can know (seq, recorded_at, coordinates, hash, normalizer).
"""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

from tests.faults.catalog import ACTIONS, severity

Data = dict[str, Any]


@dataclass
class Draft:
    """A raw event and the end it must have: an entry (``template``) or a discard (``rule``)."""

    topic: str
    attributes: dict[str, Any]
    data: Data
    template: Data | None = None
    rule: str | None = None
    occurred_ms: int = 0


@dataclass
class Outcome:
    """What a type's builder decides: type, topic, its own data and what becomes of it."""

    type: str
    data: Data
    action: str | None = None
    target: Data = field(default_factory=dict)
    details: Data = field(default_factory=dict)
    entry: Data = field(default_factory=dict)
    rule: str | None = None


def entry_id(org: str, source: str, name: str, occurred_ms: int) -> str:
    """Return the UUIDv8 of an identity: 48 bits of time, then its hash."""
    digest = hashlib.sha256(f"{org}\0{source}\0{name}".encode()).digest()
    value = int.from_bytes(occurred_ms.to_bytes(6, "big") + digest[:10], "big")
    value &= ~(0xF << 76) & ~(0x3 << 62)
    return str(uuid.UUID(int=value | 8 << 76 | 2 << 62))


def rfc3339_ms(moment_ms: int) -> str:
    """Return a moment as the entry writes it."""
    moment = datetime.fromtimestamp(moment_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment_ms % 1000:03}Z"


def spell_time(rng: Random, moment_ms: int) -> tuple[str, int, str]:
    """Spell a moment in one of the accepted ways; return text, milliseconds kept, quality."""
    whole = datetime.fromtimestamp(moment_ms // 1000, UTC)
    fraction = f"{moment_ms % 1000:03}"
    form = rng.randrange(6)
    if form == 0:
        return f"{whole:%Y-%m-%dT%H:%M:%S}Z", moment_ms // 1000 * 1000, "exact"
    if form == 1:
        return f"{whole:%Y-%m-%dT%H:%M:%S}.{fraction}999987Z", moment_ms, "exact"
    if form == 2:
        there = whole.astimezone(timezone(timedelta(hours=5, minutes=30)))
        return f"{there:%Y-%m-%dT%H:%M:%S}.{fraction}+05:30", moment_ms, "exact"
    if form == 3:
        return f"{whole:%Y-%m-%d %H:%M:%S}.{fraction}", moment_ms, "assumed_zone"
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{fraction}Z", moment_ms, "exact"


# What a service may send as the client's address, and what the entry then says.
ADDRESSES: tuple[tuple[str, Data], ...] = (
    ("203.0.113.9", {"ip": "203.0.113.9"}),
    ("198.51.100.7:5678", {"ip": "198.51.100.7", "ip_port": 5678}),
    ("[2001:db8::1]:443", {"ip": "2001:db8::1", "ip_port": 443}),
    ("::ffff:192.0.2.33", {"ip": "192.0.2.33"}),
    ("fe80::1%eth0", {"ip": "fe80::1"}),
    ("AWS Internal", {"ip_raw": "AWS Internal"}),
    ("10.0.0.0/8", {"ip_raw": "10.0.0.0/8"}),
)


def login_succeeded(rng: Random, who: Data, name: str) -> Outcome:
    """Build a login; the target is the actor."""
    extra = {"method": rng.choice(("password", "sso", "smoke_signal")), "mfa": rng.random() < 0.5}
    target = {"type": "user", **{k: v for k, v in who.items() if k in ("id", "name", "email")}}
    return Outcome(
        "identity.login.succeeded.v1", dict(extra), "auth.login_success", target, {"extra": extra}
    )


def login_failed(rng: Random, who: Data, name: str) -> Outcome:
    """Build a failed login, sometimes of an unknown account."""
    reason = rng.choice(("invalid_credentials", "unknown_account", "locked"))
    extra = {"method": "password", "attempt": rng.randrange(1, 9)}
    target = {"type": "user", "id": who["id"], "email": f"typed.{name}@example.org"}
    data = {**extra, "reason": reason, "identifier": f"Typed.{name}@Example.ORG"}
    entry = {"outcome": "failure", "outcome_reason": reason}
    return Outcome(
        "identity.login.failed.v1", data, "auth.login_failed", target, {"extra": extra}, entry
    )


def session_ended(rng: Random, who: Data, name: str) -> Outcome:
    """Build the end of a session: a log-out or an expiry, by its cause."""
    cause = rng.choice(("logout", "admin_logout", "idle_timeout", "absolute_timeout", "revoked"))
    action = "auth.logout" if "logout" in cause else "auth.session_expired"
    session = f"s-{name}"
    return Outcome(
        "identity.session.ended.v1",
        {"session_id": session, "cause": cause},
        action,
        {"type": "session", "id": session},
        {"reason": cause},
        {"session_id": session},
    )


def user_created(rng: Random, who: Data, name: str) -> Outcome:
    """Build a new user; one in four attempts fails."""
    user = {"id": f"u-{name}", "email": f"{name}@example.org", "name": f"N {name}", "role": "admin"}
    data: Data = {"user": {**user, "email": f" {name}@Example.ORG "}}
    entry: Data = {}
    if rng.random() < 0.25:
        data |= {"outcome": "failure", "reason": "seat_limit"}
        entry = {"outcome": "failure", "outcome_reason": "seat_limit"}
    target = {"type": "user", "id": user["id"], "name": user["name"], "email": user["email"]}
    return Outcome("identity.user.created.v1", data, "user.created", target, {"new": user}, entry)


def user_updated(rng: Random, who: Data, name: str) -> Outcome:
    """Build an update: nothing differs, only the status does, or something else does."""
    before = {"email": f"{name}@example.org", "status": "active", "team": ["a", "b"]}
    user = {"id": f"u-{name}", "email": f"{name}@example.org"}
    target = {"type": "user", **user}
    kind = rng.randrange(3)
    if kind == 0:
        data = {"user": user, "before": before, "after": dict(before)}
        return Outcome("identity.user.updated.v1", data, rule="no_change")
    if kind == 1:
        data = {"user": user, "before": before, "after": {**before, "status": "deactivated"}}
        details: Data = {"old": {"status": "active"}, "new": {"status": "deactivated"}}
        return Outcome("identity.user.updated.v1", data, "user.deactivated", target, details)
    after = {**before, "email": f"NEW.{name}@example.org", "team": ["b", "a"]}
    details = {
        "old": {"email": before["email"], "team": ["a", "b"]},
        "new": {"email": f"new.{name}@example.org", "team": ["b", "a"]},
    }
    data = {"user": user, "before": before, "after": after}
    return Outcome("identity.user.updated.v1", data, "user.updated", target, details)


def user_invited(rng: Random, who: Data, name: str) -> Outcome:
    """Build an invitation; its id stands for the user until accepted."""
    new = {"email": f"{name}@example.org", "role": "member", "expires_at": "2030-01-01T00:00:00Z"}
    target = {"type": "user", "id": f"inv-{name}", "email": new["email"]}
    data = {"invitation": {"id": f"inv-{name}", **new}}
    return Outcome("identity.user.invited.v1", data, "user.invited", target, {"new": new})


def user_left(rng: Random, who: Data, name: str) -> Outcome:
    """Build a deactivation or a removal."""
    user = {"id": f"u-{name}", "email": f"{name}@example.org"}
    target = {"type": "user", **user}
    if rng.random() < 0.5:
        details = {
            "old": {"status": "active"},
            "new": {"status": "deactivated"},
            "reason": "left the company",
        }
        data = {"user": user, "reason": "left the company"}
        return Outcome("identity.user.deactivated.v1", data, "user.deactivated", target, details)
    return Outcome(
        "identity.user.removed.v1", {"user": user}, "user.removed", target, {"old": user}
    )


def role_changed(rng: Random, who: Data, name: str) -> Outcome:
    """Build a role's creation, update, non-update or deletion."""
    role = {"id": f"r-{name}", "name": f"Role {name}"}
    target = {"type": "role", **role}
    whole = {**role, "permissions": ["read", "write"]}
    kind = rng.randrange(4)
    if kind == 0:
        return Outcome(
            "permission.role.created.v1", {"role": whole}, "role.created", target, {"new": whole}
        )
    if kind == 1:
        return Outcome(
            "permission.role.deleted.v1", {"role": whole}, "role.deleted", target, {"old": whole}
        )
    before = {"permissions": ["read"], "name": role["name"]}
    after = {"permissions": ["read", "admin"], "name": role["name"]} if kind == 2 else before
    data = {"role": role, "before": before, "after": dict(after)}
    if kind == 3:
        return Outcome("permission.role.updated.v1", data, rule="no_change")
    details = {"old": {"permissions": ["read"]}, "new": {"permissions": ["read", "admin"]}}
    return Outcome("permission.role.updated.v1", data, "role.updated", target, details)


def role_binding(rng: Random, who: Data, name: str) -> Outcome:
    """Build a role given to or taken from a user, or neither."""
    user = {"id": f"u-{name}", "email": f"{name}@example.org"}
    role = {"id": "r-1", "name": "Owner"}
    with_role, without = ["Reader", "Owner"], ["Reader"]
    kind = rng.randrange(3)
    before, after = ((without, with_role), (with_role, without), (with_role, with_role))[kind]
    data = {"user": user, "role": role, "roles_before": before, "roles_after": after}
    if kind == 2:
        return Outcome("permission.role_binding.changed.v1", data, rule="no_change")
    details = {"role": role, "old": {"roles": before}, "new": {"roles": after}}
    action = ("role.assigned", "role.unassigned")[kind]
    target = {"type": "user", **user}
    return Outcome("permission.role_binding.changed.v1", data, action, target, details)


def product_access(rng: Random, who: Data, name: str) -> Outcome:
    """Build product access given, taken, or left as it is."""
    product = {"id": f"p-{name}", "name": "Hub Vault"}
    grantee = {"type": "user", "id": f"u-{name}", "email": f"{name}@example.org"}
    data: Data = {"product": product, "grantee": grantee}
    target = {"type": "product", **product}
    kind = rng.randrange(4)
    if kind == 0:
        data |= {"level_before": None, "level_after": "admin", "expires_at": "2030-01-01T00:00:00Z"}
        new = {"level": "admin", "expires_at": "2030-01-01T00:00:00Z"}
        details: Data = {"grantee": grantee, "new": new}
        action: str | None = "product_access.granted"
    elif kind == 1:
        data |= {"level_before": "admin"}
        details = {"grantee": grantee, "old": {"level": "admin"}}
        action = "product_access.revoked"
    elif kind == 2:
        data |= {"level_before": "read", "level_after": "admin"}
        details = {"grantee": grantee, "old": {"level": "read"}, "new": {"level": "admin"}}
        action = "product_access.granted"
    else:
        data |= {"level_before": "read", "level_after": "read"}
        return Outcome("permission.product_access.changed.v1", data, rule="no_change")
    return Outcome("permission.product_access.changed.v1", data, action, target, details)


def grants(rng: Random, who: Data, name: str) -> Outcome:
    """Build permissions granted, revoked, both at once, or neither."""
    target = {"type": rng.choice(("user", "role")), "id": f"x-{name}", "name": f"X {name}"}
    added, removed = [(["a.read"], []), ([], ["b.write"]), (["c"], ["d"]), ([], [])][
        kind := rng.randrange(4)
    ]
    data = {"target": target, "added": added, "removed": removed}
    if kind == 3:
        return Outcome("permission.grants.changed.v1", data, rule="no_change")
    action = ("permission.granted", "permission.revoked", "permission.bulk_updated")[kind]
    details = {"old": {"permissions": removed}, "new": {"permissions": added}}
    return Outcome("permission.grants.changed.v1", data, action, target, details)


def subscription(rng: Random, who: Data, name: str) -> Outcome:
    """Build a changed subscription, which is a plan change only when the plan's terms change."""
    previous: Data = {"plan": {"id": "p1", "name": "Team"}, "seats": 5, "status": "trial"}
    data: Data = {"subscription": {"id": f"sub-{name}"}, "previous": previous}
    if rng.random() < 0.3:
        data["current"] = {**previous, "status": "active"}
        return Outcome("billing.subscription.updated.v1", data, rule="no_change")
    plan = {"id": "p2", "name": "Business"}
    data["current"] = {"plan": plan, "seats": 50, "status": "active"}
    details = {
        "old": {"plan": previous["plan"], "seats": 5},
        "new": {"plan": plan, "seats": 50},
        "extra": {"subscription": data["subscription"]},
    }
    target = {"type": "plan", **plan}
    return Outcome("billing.subscription.updated.v1", data, "billing.plan_changed", target, details)


def payment_method(rng: Random, who: Data, name: str) -> Outcome:
    """Build a changed card; only four of its fields may reach the log."""
    shown = {"brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2031}
    old = {**shown, "exp_year": 2027}
    data: Data = {"payment_method": {"id": f"pm-{name}", **shown, "fingerprint": "f" * 16}}
    details: Data = {"new": shown}
    kind = rng.randrange(3)
    if kind == 1:
        data["previous"] = {**old, "fingerprint": "e" * 16}
        details = {"old": {"exp_year": 2027}, "new": {"exp_year": 2031}}
    if kind == 2:
        data["previous"] = shown
        return Outcome("billing.payment_method.updated.v1", data, rule="no_change")
    target = {"type": "payment_method", "id": f"pm-{name}"}
    action = "billing.payment_method_updated"
    return Outcome("billing.payment_method.updated.v1", data, action, target, details)


def invoice(rng: Random, who: Data, name: str) -> Outcome:
    """Build a finalized invoice."""
    bill = {
        "id": f"in-{name}",
        "number": f"HUB-{name}",
        "amount_minor": rng.randrange(100, 99999),
        "currency": "EUR",
        "period_start": "2026-01-01T00:00:00Z",
        "period_end": "2026-02-01T00:00:00Z",
    }
    target = {"type": "invoice", "id": bill["id"], "name": bill["number"]}
    action = "billing.invoice_generated"
    return Outcome("billing.invoice.finalized.v1", {"invoice": bill}, action, target, {"new": bill})


def viewed(rng: Random, who: Data, name: str) -> Outcome:
    """Build the log's own record of having been read."""
    data = {"filter": {"action": "user.created"}, "rows": rng.randrange(500)}
    return Outcome(
        "audit.viewed.v1", data, "audit.viewed", {"type": "audit_log"}, {"extra": dict(data)}
    )


def not_audited(rng: Random, who: Data, name: str) -> Outcome:
    """Build an event that is, on purpose, no audit event."""
    kind = rng.choice(
        (
            "identity.token.refreshed.v1",
            "permission.check.evaluated.v1",
            "billing.invoice.created.v1",
            "billing.usage.reported.v1",
        )
    )
    return Outcome(kind, {"anything": name}, rule="not_audited")


BUILDERS: tuple[tuple[Callable[[Random, Data, str], Outcome], int], ...] = (
    (login_succeeded, 20),
    (login_failed, 8),
    (session_ended, 10),
    (user_created, 4),
    (user_updated, 6),
    (user_invited, 3),
    (user_left, 3),
    (role_changed, 6),
    (role_binding, 6),
    (product_access, 6),
    (grants, 6),
    (subscription, 4),
    (payment_method, 3),
    (invoice, 3),
    (viewed, 3),
    (not_audited, 5),
)


def draft(rng: Random, org: str, marker: str, name: str, now_ms: int) -> Draft:
    """Return the event number ``name`` of an organization, its marker in several places."""
    build = rng.choices([b for b, _ in BUILDERS], [w for _, w in BUILDERS])[0]
    who = {
        "type": rng.choice(("user", "user", "service", "support")),
        "id": f"u{rng.randrange(200)}",
        "email": f"u@{marker}.example",
        "name": f"Ann {marker}",
    }
    address, stored_address = rng.choice(ADDRESSES)
    text, occurred_ms, quality = spell_time(rng, now_ms - int(rng.expovariate(1 / 7_200_000)))
    made = build(rng, who, name)
    session = {} if "session_id" in made.data else {"session_id": f"s{name}"}
    client = {"ip": address, "user_agent": "Mozilla/5.0 (é)", "request_id": f"{marker}-{name}"}
    data = {
        "actor": {**who, "email": str(who["email"]).upper()},
        "client": {**client, **session},
        "organization": {"name": f"Org {marker}"},
        "correlation_id": f"c-{name}",
        **made.data,
    }
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"evt-{name}",
        "source": f"/hub/{made.type.split('.')[0]}",
        "type": made.type,
        "time": text,
        "orgid": org,
    }
    raw = f"raw.{made.type.split('.')[0]}"
    result = Draft(raw, attributes, data, rule=made.rule, occurred_ms=occurred_ms)
    if made.action is not None:
        details = _decorate(rng, result, made.details, marker)
        found = {"occurred_at_quality": quality, **stored_address, **session, **made.entry}
        found |= {"actor": who, "target": made.target, "details": details}
        result.template = _template(result, made.action, found)
    return result


def _decorate(rng: Random, event: Draft, details: Data, marker: str) -> Data:
    """Add what is optional: a subject, an extension, unknown fields, one of them secret."""
    details = dict(details)
    if rng.random() < 0.2:
        event.attributes["subject"] = f"subject {marker}"
        event.attributes["hubregion"] = "eu-west-1"
        details["attributes"] = {"hubregion": "eu-west-1", "subject": f"subject {marker}"}
    if rng.random() < 0.2:
        event.data |= {"later_field": {"note": marker}, "api_key": "hunter2"}
        more = {"later_field": {"note": marker}, "api_key": "[redacted]"}
        details["extra"] = {**details.get("extra", {}), **more}
    if rng.random() < 0.03:
        # Postgres takes no NUL: unless it is replaced, the whole batch fails.
        event.data["odd"] = "nul\0here"
        details["extra"] = {**details.get("extra", {}), "odd": "nul\ufffdhere"}
        details["sanitized"] = ["$.data.odd"]
    if rng.random() < 0.2:
        event.attributes["traceparent"] = f"00-{rng.getrandbits(127) + 1:032x}-{'ab' * 8}-01"
    return details


def _template(event: Draft, action: str, found: Data) -> Data:
    """Return the expected entry, without the keys that only bus and store know."""
    name, version = event.attributes["type"].rsplit(".v", 1)
    outcome = found.get("outcome", "success")
    template: Data = {
        "schema_version": 1,
        "org_id": event.attributes["orgid"],
        "org_name": event.data["organization"]["name"],
        "occurred_at": rfc3339_ms(event.occurred_ms),
        "category": ACTIONS[action][1],
        "action": action,
        "severity": severity(action, outcome),
        "user_agent": event.data["client"]["user_agent"],
        "request_id": event.data["client"]["request_id"],
        "correlation_id": event.data["correlation_id"],
        "source": {
            "service": event.attributes["source"],
            "event_type": name,
            "event_version": int(version),
            "event_id": event.attributes["id"],
        },
        **found,
        "outcome": outcome,
    }
    if "traceparent" in event.attributes:
        _, template["trace_id"], template["span_id"], _ = event.attributes["traceparent"].split("-")
    return template
