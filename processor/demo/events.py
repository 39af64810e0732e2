"""What happens in the demo's organizations: the data of one raw event of every type.

Each function draws one event's ``data`` beyond the common part; ``KINDS`` says how often each
happens. They follow the upstream contract, as an upstream service would.
"""

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from processor.demo.world import Organization, Person

Data = dict[str, Any]

METHODS = ("password", "password", "sso", "passkey", "magic_link", "api_key")
FAILURES = ("invalid_credentials", "invalid_credentials", "unknown_account", "mfa_failed", "locked")
CAUSES = ("logout", "logout", "idle_timeout", "absolute_timeout", "revoked", "admin_logout")
ROLE_NAMES = ("Owner", "Admin", "Member", "Viewer", "Billing", "Auditor")
PRODUCTS = (("prd-atlas", "Atlas"), ("prd-beacon", "Beacon"), ("prd-courier", "Courier"))
LEVELS = ("read", "write", "admin")
PERMISSIONS = ("billing.view", "members.invite", "members.remove", "reports.export", "keys.rotate")
PLANS = (("pln-team", "Team"), ("pln-business", "Business"), ("pln-enterprise", "Enterprise"))
BRANDS = ("visa", "mastercard", "amex")
# One change in twelve changes nothing: a form that was saved as it was.
NO_CHANGE = 1 / 12


class Kind(NamedTuple):
    """One raw type: its topic, how often it happens, and its data."""

    type: str
    topic: str
    weight: int
    draw: Callable[[Random, Organization, Person], Data]


def login_succeeded(chance: Random, _org: Organization, _who: Person) -> Data:
    """Draw a login."""
    mfa = chance.random() < 2 / 3
    return {"method": chance.choice(METHODS), "mfa": mfa, "new_device": chance.random() < 1 / 20}


def login_failed(chance: Random, _org: Organization, who: Person) -> Data:
    """Draw a failed login; the identifier is what was typed."""
    typed = who.email.upper() if chance.random() < 1 / 10 else who.email
    reason, attempt = chance.choice(FAILURES), chance.randint(1, 5)
    return {"method": "password", "reason": reason, "identifier": typed, "attempt": attempt}


def session_ended(chance: Random, _org: Organization, who: Person) -> Data:
    """Draw the end of a session."""
    return {
        "session_id": f"ses-{who.id}-{chance.getrandbits(24):06x}",
        "cause": chance.choice(CAUSES),
    }


def token_refreshed(chance: Random, _org: Organization, _who: Person) -> Data:
    """Draw what happens all the time and is no audit event."""
    return {"expires_in_seconds": chance.choice((900, 3600))}


def user_created(chance: Random, org: Organization, _who: Person) -> Data:
    """Draw a new user."""
    return {"user": account(chance.choice(org.people))}


def user_updated(chance: Random, org: Organization, _who: Person) -> Data:
    """Draw an edit of a user: the role or the status, or nothing at all."""
    user = chance.choice(org.people)
    before, after = account(user), account(user)
    if chance.random() > NO_CHANGE:
        if chance.random() < 1 / 6:
            after["status"] = "deactivated"
        else:
            after["role"] = other(chance, ROLE_NAMES, user.role)
    return {"user": {"id": user.id, "email": user.email}, "before": before, "after": after}


def user_invited(chance: Random, org: Organization, _who: Person) -> Data:
    """Draw an invitation."""
    number = chance.getrandbits(32)
    email = f"guest.{number:08x}@{org.people[0].email.partition('@')[2]}"
    invitation = {"id": f"inv-{number:08x}", "email": email, "role": "Member"}
    return {"invitation": invitation | {"expires_at": "2031-01-01T00:00:00Z"}}


def user_deactivated(chance: Random, org: Organization, _who: Person) -> Data:
    """Draw a deactivation."""
    return {"user": account(chance.choice(org.people)), "reason": "left the company"}


def user_removed(chance: Random, org: Organization, _who: Person) -> Data:
    """Draw a removal."""
    return {"user": account(chance.choice(org.people)), "reason": "requested by the user"}


def role_created(chance: Random, _org: Organization, _who: Person) -> Data:
    """Draw a new role."""
    return {"role": role(chance) | {"permissions": some(chance, PERMISSIONS)}}


def role_updated(chance: Random, _org: Organization, _who: Person) -> Data:
    """Draw an edit of a role's permissions, which may come out as they were."""
    before, after = some(chance, PERMISSIONS), some(chance, PERMISSIONS)
    return {
        "role": role(chance),
        "before": {"permissions": before},
        "after": {"permissions": after},
    }


def role_deleted(chance: Random, _org: Organization, _who: Person) -> Data:
    """Draw the end of a role."""
    return {"role": role(chance) | {"permissions": some(chance, PERMISSIONS)}}


def role_binding_changed(chance: Random, org: Organization, _who: Person) -> Data:
    """Draw a role given to a user or taken away."""
    user, bound = chance.choice(org.people), role(chance)
    lists = [["Member"], ["Member", bound["name"]]]
    if chance.random() < 1 / 3:
        lists.reverse()
    target = {"id": user.id, "email": user.email}
    return {"user": target, "role": bound, "roles_before": lists[0], "roles_after": lists[1]}


def product_access_changed(chance: Random, org: Organization, _who: Person) -> Data:
    """Draw access to a product granted, changed or revoked."""
    product, user = chance.choice(PRODUCTS), chance.choice(org.people)
    data: Data = {
        "product": {"id": product[0], "name": product[1]},
        "grantee": {"type": "user", "id": user.id, "email": user.email, "name": user.name},
    }
    before, after = chance.choice((None, *LEVELS)), chance.choice((None, *LEVELS))
    return data | {"level_before": before, "level_after": after}


def grants_changed(chance: Random, org: Organization, _who: Person) -> Data:
    """Draw permissions granted, revoked, or both."""
    user = chance.choice(org.people)
    target = {"type": "user", "id": user.id, "email": user.email, "name": user.name}
    added, removed = some(chance, PERMISSIONS), some(chance, PERMISSIONS)
    if chance.random() < 2 / 3:
        chance.choice((added, removed)).clear()
    return {"target": target, "added": added, "removed": removed}


def check_evaluated(chance: Random, _org: Organization, _who: Person) -> Data:
    """Draw a permission check, which is no audit event."""
    return {"permission": chance.choice(PERMISSIONS), "allowed": chance.random() < 9 / 10}


def subscription_updated(chance: Random, org: Organization, _who: Person) -> Data:
    """Draw another plan or another number of seats; a mere new status is no change of plan."""
    plan = chance.choice(PLANS)
    previous = {"plan": {"id": plan[0], "name": plan[1]}, "seats": 25, "interval": "month"}
    current = previous | {"status": "active"}
    if chance.random() > NO_CHANGE:
        new = other(chance, PLANS, plan)
        current |= {"plan": {"id": new[0], "name": new[1]}, "seats": chance.choice((25, 50, 100))}
    return {"subscription": {"id": f"sub-{org.id}"}, "previous": previous, "current": current}


def payment_method_updated(chance: Random, org: Organization, _who: Person) -> Data:
    """Draw a new card."""
    card: Data = {"id": f"pm-{org.id}", "brand": chance.choice(BRANDS)}
    card |= {"last4": f"{chance.randint(0, 9999):04d}", "exp_month": chance.randint(1, 12)}
    return {
        "payment_method": card | {"exp_year": 2031},
        "previous": {"brand": "visa", "last4": "4242"},
    }


def invoice_finalized(chance: Random, _org: Organization, _who: Person) -> Data:
    """Draw a final invoice."""
    return {"invoice": invoice(chance) | {"amount_minor": chance.randint(1_000, 900_000)}}


def invoice_created(chance: Random, _org: Organization, _who: Person) -> Data:
    """Draw a draft, which is no audit event."""
    return {"invoice": invoice(chance) | {"amount_minor": 0}}


def usage_reported(chance: Random, _org: Organization, _who: Person) -> Data:
    """Draw a meter reading, which is no audit event."""
    return {"meter": "api_calls", "quantity": chance.randint(1, 100_000)}


def account(user: Person) -> Data:
    """Return a user as identity events show it."""
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "status": "active",
    }


def role(chance: Random) -> Data:
    """Draw a role's id and name."""
    name = chance.choice(ROLE_NAMES[1:])
    return {"id": f"rol-{name.lower()}", "name": name}


def invoice(chance: Random) -> Data:
    """Draw an invoice without its amount."""
    number = chance.randint(1, 99_999)
    return {
        "id": f"inv-{number:05d}",
        "number": f"HUB-{number:05d}",
        "currency": "EUR",
        "period_start": "2026-01-01",
        "period_end": "2026-01-31",
    }


def some(chance: Random, choices: tuple[str, ...]) -> list[str]:
    """Draw one to three of the choices, in their order."""
    drawn = set(chance.sample(choices, chance.randint(1, 3)))
    return [choice for choice in choices if choice in drawn]


def other(chance: Random, choices: tuple[Any, ...], current: Any) -> Any:
    """Draw one of the choices that is not the current one."""
    return chance.choice([choice for choice in choices if choice != current])


IDENTITY, PERMISSION, BILLING = "raw.identity", "raw.permission", "raw.billing"
KINDS = (
    Kind("identity.login.succeeded.v1", IDENTITY, 300, login_succeeded),
    Kind("identity.login.failed.v1", IDENTITY, 80, login_failed),
    Kind("identity.session.ended.v1", IDENTITY, 150, session_ended),
    Kind("identity.token.refreshed.v1", IDENTITY, 60, token_refreshed),
    Kind("identity.user.created.v1", IDENTITY, 20, user_created),
    Kind("identity.user.updated.v1", IDENTITY, 60, user_updated),
    Kind("identity.user.invited.v1", IDENTITY, 30, user_invited),
    Kind("identity.user.deactivated.v1", IDENTITY, 8, user_deactivated),
    Kind("identity.user.removed.v1", IDENTITY, 6, user_removed),
    Kind("permission.role.created.v1", PERMISSION, 8, role_created),
    Kind("permission.role.updated.v1", PERMISSION, 14, role_updated),
    Kind("permission.role.deleted.v1", PERMISSION, 5, role_deleted),
    Kind("permission.role_binding.changed.v1", PERMISSION, 40, role_binding_changed),
    Kind("permission.product_access.changed.v1", PERMISSION, 50, product_access_changed),
    Kind("permission.grants.changed.v1", PERMISSION, 50, grants_changed),
    Kind("permission.check.evaluated.v1", PERMISSION, 50, check_evaluated),
    Kind("billing.subscription.updated.v1", BILLING, 20, subscription_updated),
    Kind("billing.payment_method.updated.v1", BILLING, 12, payment_method_updated),
    Kind("billing.invoice.finalized.v1", BILLING, 16, invoice_finalized),
    Kind("billing.invoice.created.v1", BILLING, 10, invoice_created),
    Kind("billing.usage.reported.v1", BILLING, 20, usage_reported),
)
