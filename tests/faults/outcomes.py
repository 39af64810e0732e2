"""What each raw type's own data become, both sides written by hand from the contract."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

Data = dict[str, Any]


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
