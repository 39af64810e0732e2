"""Raw events of realistic size and mixture, as a pure function of a seed; fast to produce."""
# ruff: noqa: ARG005 - one signature for the members of every type

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple, TypeAlias

import orjson

Party: TypeAlias = dict[str, str]

ORGANIZATIONS = 2_000
ACTORS_PER_ORGANIZATION_MAX = 40
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.4 Safari/605",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
)
WEIGHTS = {
    "identity.login.succeeded": 30,
    "identity.login.failed": 8,
    "identity.session.ended": 20,
    "identity.user.created": 3,
    "identity.user.updated": 6,
    "identity.user.invited": 2,
    "identity.user.deactivated": 1,
    "permission.role.updated": 2,
    "permission.role_binding.changed": 8,
    "permission.product_access.changed": 8,
    "permission.grants.changed": 7,
    "billing.subscription.updated": 1,
    "billing.payment_method.updated": 1,
    "billing.invoice.finalized": 3,
}


class RawEvent(NamedTuple):
    """A record to be produced; ``topic`` is without prefix."""

    topic: str
    key: bytes
    value: bytes


SPECIFIC: dict[str, Callable[[int, str, int, Party, Party], dict[str, Any]]] = {
    "identity.login.succeeded": lambda n, org, who, user, role: {
        "method": "sso",
        "mfa": True,
        "idp": "okta",
    },
    "identity.login.failed": lambda n, org, who, user, role: {
        "method": "password",
        "reason": "invalid_credentials",
        "identifier": f"Person.{who:04d}@{org}.example.com",
        "attempt": n % 5,
    },
    "identity.session.ended": lambda n, org, who, user, role: {
        "session_id": f"ses_{n:012x}",
        "cause": ("logout", "idle_timeout")[n % 2],
    },
    "identity.user.created": lambda n, org, who, user, role: {
        "user": {**user, "name": "New Person", "role": "member"}
    },
    "identity.user.updated": lambda n, org, who, user, role: {
        "user": user,
        "before": {"email": user["email"], "title": "Engineer", "team": "red"},
        "after": {"email": user["email"], "title": f"Engineer {n}", "team": "red"},
    },
    "identity.user.invited": lambda n, org, who, user, role: {
        "invitation": {"id": f"inv_{n}", "email": user["email"], "role": "member"}
    },
    "identity.user.deactivated": lambda n, org, who, user, role: {
        "user": user,
        "reason": "left the company",
    },
    "permission.role.updated": lambda n, org, who, user, role: {
        "role": role,
        "before": {"permissions": ["a.read", "b.read"], "name": role["name"]},
        "after": {"permissions": ["a.read", f"b.write.{n}"], "name": role["name"]},
    },
    "permission.role_binding.changed": lambda n, org, who, user, role: {
        "user": user,
        "role": role,
        "roles_before": ["member"],
        "roles_after": ["member", role["name"]],
    },
    "permission.product_access.changed": lambda n, org, who, user, role: {
        "product": {"id": f"prd_{n % 9}", "name": f"Product {n % 9}"},
        "grantee": {"type": "user", **user},
        "level_before": None,
        "level_after": "editor",
    },
    "permission.grants.changed": lambda n, org, who, user, role: {
        "target": {"type": "user", **user},
        "added": ["billing.read", "billing.write"],
        "removed": [],
    },
    "billing.subscription.updated": lambda n, org, who, user, role: {
        "subscription": {"id": f"sub_{org}"},
        "previous": {"plan": {"id": "pro", "name": "Pro"}, "seats": 10, "interval": "month"},
        "current": {"plan": {"id": "pro", "name": "Pro"}, "seats": 11, "interval": "month"},
    },
    "billing.payment_method.updated": lambda n, org, who, user, role: {
        "payment_method": {"id": f"pm_{n}", "brand": "visa", "last4": "4242"}
    },
    "billing.invoice.finalized": lambda n, org, who, user, role: {
        "invoice": {
            "id": f"inv_{n}",
            "number": f"2026-{n:06d}",
            "amount_minor": 129_900,
            "currency": "EUR",
            "period_start": "2026-10-01",
            "period_end": "2026-10-31",
        }
    },
}
"""By type, from the event's number, its organization and actor, a user and a role: its own data."""


def events(seed: int, count: int, first_ms: int) -> Iterator[RawEvent]:
    """Yield events of 500 to 800 bytes, ten a millisecond, of organizations by Zipf's law."""
    chance = Random(seed)
    orgs = [f"org-{number:05d}" for number in range(ORGANIZATIONS)]
    org_weights = list(accumulate(1 / (rank + 1) for rank in range(ORGANIZATIONS)))
    kinds = list(WEIGHTS)
    kind_weights = list(accumulate(WEIGHTS.values()))
    drawn_orgs = chance.choices(orgs, cum_weights=org_weights, k=count)
    drawn_kinds = chance.choices(kinds, cum_weights=kind_weights, k=count)
    for number, (org, kind) in enumerate(zip(drawn_orgs, drawn_kinds, strict=True)):
        yield _event(chance, number, org, kind, rendered(first_ms + number // 10))


def rendered(ms: int) -> str:
    """Return milliseconds of today as an RFC 3339 time."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def _event(chance: Random, number: int, org: str, kind: str, time: str) -> RawEvent:
    who = int(chance.random() * ACTORS_PER_ORGANIZATION_MAX)
    other = number % 97
    user = {"id": f"usr_{org}_{other:04d}", "email": f"someone.{other}@{org}.example"}
    role = {"id": f"rol_{number % 12}", "name": f"role-{number % 12}"}
    data = {
        "actor": {
            "type": "user",
            "id": f"usr_{org}_{who:04d}",
            "email": f"person.{who:04d}@{org}.example.com",
            "name": f"Person Number {who}",
        },
        "client": {
            "ip": f"203.0.{who}.{number % 250}",
            "user_agent": AGENTS[who % 3],
            "session_id": f"ses_{number:012x}",
            "request_id": f"req_{number:016x}",
        },
        "organization": {"name": f"Organization {org}"},
        **SPECIFIC[kind](number, org, who, user, role),
    }
    family = kind.partition(".")[0]
    event = {
        "specversion": "1.0",
        "id": f"evt_{number:024x}",
        "source": f"/hub/{family}",
        "type": f"{kind}.v1",
        "time": time,
        "orgid": org,
        "datacontenttype": "application/json",
        "data": data,
    }
    return RawEvent(f"raw.{family}", org.encode(), orjson.dumps(event))
