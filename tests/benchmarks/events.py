"""Raw events of realistic size and mixture, as a pure function of a seed; fast to produce."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple, TypeAlias

import orjson

Data: TypeAlias = dict[str, Any]

ORGANIZATIONS = 2_000
ACTORS = 40
"""Who acts in an organization; as many others are acted upon."""

EVENTS_PER_MS = 10
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/17.4 Safari/605",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
)


class RawEvent(NamedTuple):
    """A record to be produced; ``topic`` is without prefix, ``audited`` whether it is an entry."""

    topic: str
    key: bytes
    value: bytes
    audited: bool


class Cast(NamedTuple):
    """Who and what an event is about, and its number."""

    n: int
    org: str
    user: Data
    role: Data


def _login(cast: Cast) -> Data:
    return {"method": ("sso", "password", "passkey")[cast.n % 3], "mfa": True, "idp": "okta"}


def _login_failed(cast: Cast) -> Data:
    typed = f"Person.{cast.n % ACTORS}@{cast.org}.example.com"
    reason = "invalid_credentials"
    return {"method": "password", "reason": reason, "identifier": typed, "attempt": cast.n % 5}


def _session_ended(cast: Cast) -> Data:
    causes = ("logout", "idle_timeout", "logout", "revoked")
    return {"session_id": f"ses_{cast.n:012x}", "cause": causes[cast.n % 4]}


def _user_updated(cast: Cast) -> Data:
    before = {**cast.user, "title": "Engineer", "team": "red", "locale": "en"}
    return {
        "user": cast.user,
        "before": before,
        "after": {**before, "title": f"Lead {cast.n % 50}"},
    }


def _user_unchanged(cast: Cast) -> Data:
    same = {**cast.user, "title": "Engineer", "team": "red", "locale": "en"}
    return {"user": cast.user, "before": same, "after": same}


def _role_updated(cast: Cast) -> Data:
    name = cast.role["name"]
    before = {"name": name, "permissions": ["audit.view", "users.read"]}
    return {
        "role": cast.role,
        "before": before,
        "after": {"name": name, "permissions": ["audit.view", f"users.write.{cast.n % 20}"]},
    }


def _role_bound(cast: Cast) -> Data:
    one, both = ["member"], ["member", cast.role["name"]]
    before, after = (one, both) if cast.n % 3 else (both, one)
    return {"user": cast.user, "role": cast.role, "roles_before": before, "roles_after": after}


def _access(cast: Cast) -> Data:
    before, after = ((None, "editor"), ("viewer", None))[cast.n % 2]
    return {
        "product": {"id": f"prd_{cast.n % 9}", "name": f"Product {cast.n % 9}"},
        "grantee": {"type": "user", **cast.user},
        "level_before": before,
        "level_after": after,
    }


def _grants(cast: Cast) -> Data:
    added, removed = (["billing.read", "billing.write"], ["users.invite"])
    sides = ((added, []), ([], removed), (added, removed))[cast.n % 3]
    return {"target": {"type": "user", **cast.user}, "added": sides[0], "removed": sides[1]}


def _plan(cast: Cast) -> Data:
    plan = {"id": "pro", "name": "Pro"}
    return {
        "subscription": {"id": f"sub_{cast.org}"},
        "previous": {"plan": plan, "seats": 10, "interval": "month"},
        "current": {"plan": plan, "seats": 11 + cast.n % 90, "interval": "month"},
    }


def _invoice(cast: Cast) -> Data:
    invoice = {
        "id": f"inv_{cast.n}",
        "number": f"2026-{cast.n:06d}",
        "amount_minor": 129_900,
        "currency": "EUR",
        "period_start": "2026-10-01",
        "period_end": "2026-10-31",
    }
    return {"invoice": invoice}


def _invited(cast: Cast) -> Data:
    email, until = cast.user["email"], "2027-01-31T00:00:00Z"
    invitation = {"id": f"inv_{cast.n}", "email": email, "role": "member", "expires_at": until}
    return {"invitation": invitation}


def _filter(cast: Cast) -> Data:
    return {"filter": {"category": "Users", "days": cast.n % 90}, "rows": cast.n % 50}


def _siem(cast: Cast) -> Data:
    return {
        "subscription": {"id": f"sie_{cast.org}"},
        "before": {"on": False},
        "after": {"on": True},
    }


KINDS: dict[str, tuple[int, Callable[[Cast], Data]]] = {
    "identity.login.succeeded": (300, _login),
    "identity.login.failed": (60, _login_failed),
    "identity.session.ended": (200, _session_ended),
    "identity.user.created": (30, lambda cast: {"user": {**cast.user, "role": "member"}}),
    "identity.user.updated": (60, _user_updated),
    "identity.user.invited": (25, _invited),
    "identity.user.deactivated": (10, lambda cast: {"user": cast.user, "reason": "has left"}),
    "identity.user.removed": (8, lambda cast: {"user": cast.user}),
    "permission.role.created": (8, lambda cast: {"role": {**cast.role, "permissions": ["a.b"]}}),
    "permission.role.updated": (20, _role_updated),
    "permission.role.deleted": (7, lambda cast: {"role": cast.role}),
    "permission.role_binding.changed": (80, _role_bound),
    "permission.product_access.changed": (60, _access),
    "permission.grants.changed": (60, _grants),
    "billing.subscription.updated": (10, _plan),
    "billing.payment_method.updated": (
        8,
        lambda cast: {"payment_method": {"id": f"pm_{cast.n}", "brand": "visa", "last4": "4242"}},
    ),
    "billing.invoice.finalized": (20, _invoice),
    "audit.viewed": (14, _filter),
    "audit.exported": (3, lambda cast: {**_filter(cast), "format": "csv"}),
    "audit.denied": (4, lambda _: {"asked": "/v1/audit-entries", "reason": "no audit.view"}),
    "audit.subscription.changed": (1, _siem),
    "audit.finding.acknowledged": (1, lambda cast: {"finding": {"id": f"f_{cast.n}", "rule": "x"}}),
    "audit.retention.purged": (1, lambda cast: {"day": "2026-08-01", "rows": cast.n}),
    # On purpose no audit events: by their type, or because nothing changed.
    "identity.token.refreshed": (10, _login),
    "permission.check.evaluated": (5, _access),
    "billing.usage.reported": (3, _invoice),
    "billing.invoice.created": (2, _invoice),
    "identity.user.updated ": (2, _user_unchanged),
}
"""Of a thousand or so events, how many are of the type, and the data that are its own."""

DISCARDED = frozenset(list(KINDS)[-5:])


def events(seed: int, count: int, first_ms: int) -> Iterator[RawEvent]:
    """Yield events of 450 to 850 bytes, ten a millisecond, of organizations by Zipf's law."""
    chance = Random(seed)
    orgs = [f"org-{number:05d}" for number in range(ORGANIZATIONS)]
    org_weights = list(accumulate(1 / (rank + 1) for rank in range(ORGANIZATIONS)))
    kind_weights = list(accumulate(weight for weight, _ in KINDS.values()))
    drawn_orgs = chance.choices(orgs, cum_weights=org_weights, k=count)
    drawn_kinds = chance.choices(list(KINDS), cum_weights=kind_weights, k=count)
    for number, (org, kind) in enumerate(zip(drawn_orgs, drawn_kinds, strict=True)):
        who = int(chance.random() * ACTORS)
        time = rendered(first_ms + number // EVENTS_PER_MS)
        data = {**_common(org, who, number), **KINDS[kind][1](_cast(number, org, who))}
        family = kind.partition(".")[0]
        event = {
            "specversion": "1.0",
            "id": f"evt_{seed:04x}{number:020x}",
            "source": f"/hub/{family}",
            "type": f"{kind.strip()}.v1",
            "time": time,
            "orgid": org,
            "data": data,
        }
        yield RawEvent(f"raw.{family}", org.encode(), orjson.dumps(event), kind not in DISCARDED)


@lru_cache(64)
def rendered(ms: int) -> str:
    """Return milliseconds since 1970 as an RFC 3339 time."""
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cast(number: int, org: str, who: int) -> Cast:
    return Cast(number, org, _user(org, (who + number) % ACTORS), _role(number % 12))


def _common(org: str, who: int, number: int) -> Data:
    return {
        "actor": _actor(org, who),
        "client": {
            "ip": f"203.0.{who}.{number % 250}",
            "user_agent": AGENTS[who % 3],
            "session_id": f"ses_{org}_{who:04x}{number >> 6:08x}",
            "request_id": f"req_{number:016x}",
        },
    }


@lru_cache(ORGANIZATIONS * ACTORS)
def _actor(org: str, who: int) -> Data:
    email, name = f"Person.{who:04d}@{org}.example.com", f"Person Number {who}"
    return {"type": "user", "id": f"usr_{org}_{who:04d}", "email": email, "name": name}


@lru_cache(ORGANIZATIONS * ACTORS)
def _user(org: str, other: int) -> Data:
    return {"id": f"usr_{org}_{other:04d}", "email": f"Someone.{other}@{org}.example.com"}


@lru_cache(16)
def _role(number: int) -> Data:
    return {"id": f"rol_{number}", "name": f"role-{number}"}
