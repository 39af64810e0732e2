"""Entries of any action with anything in them, and the barest and fullest of each."""

from typing import Any, cast

from hypothesis import strategies as st

from schemas.catalogue import CATALOGUE
from schemas.entry import Entry

HOSTILE = "|\\=\"]' \t\r\n\x0b\x7f\x85\u2028{}[]<>,;é∑😀\ufeff"
EMAILS = ("ada@example.com", "zoë@exämple.de", "no address", "a|b=c\\d@x.y", "@", "a@b")
IPS = ("203.0.113.9", "2001:db8::7", "::1", "10.0.0.1")

texts = st.one_of(
    st.text(alphabet=HOSTILE, min_size=1, max_size=12),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    st.sampled_from(["x" * 10_000, "é" * 5_000, "😀" * 2_500, "=|" * 3_000, "a b=c\\"]),
)
parties = st.fixed_dictionaries(
    {}, optional={"id": texts, "email": texts | st.sampled_from(EMAILS), "name": texts}
)
values = st.one_of(texts, st.integers(-5, 5), st.booleans(), st.none(), st.lists(texts, max_size=3))
objects = st.dictionaries(
    st.sampled_from(["roles", "permissions", "level", "email", "name", "state", "mfa", "method"]),
    values,
    max_size=4,
)
details = st.fixed_dictionaries(
    {},
    optional={
        "old": objects,
        "new": objects,
        "reason": texts,
        "role": st.fixed_dictionaries({}, optional={"id": texts, "name": texts}),
        "grantee": st.builds(
            lambda kind, party: {"type": kind} | party, st.sampled_from(["user", "role"]), parties
        ),
        "extra": objects,
    },
)


def entry_of(action: str, target_type: str, **fields: Any) -> Entry:
    """Return the barest entry of an action, with what else is given."""
    row = CATALOGUE[action]
    outcome = fields.get("outcome", "success")
    entry = {
        "schema_version": 1,
        "entry_id": "01a207d9-217b-828a-a137-81caa759c1be",
        "seq": 42,
        "org_id": "acme",
        "occurred_at": "2026-11-23T10:00:00.123Z",
        "occurred_at_quality": "exact",
        "recorded_at": "2026-11-23T10:00:01.000Z",
        "category": row.category,
        "action": action,
        "outcome": outcome,
        "severity": row.severity_of(outcome),
        "actor": {"type": "anonymous"},
        "target": {"type": target_type},
        "details": {},
        "source": {
            "service": "/hub/identity",
            "event_type": "identity.user.created",
            "event_version": 1,
            "topic": "raw.identity",
            "partition": 3,
            "offset": 41,
        },
        "raw_sha256": "ab" * 32,
        "normalizer": "1",
    }
    entry |= fields
    order = {name: entry[name] for name in Entry.__annotations__ if name in entry}
    return cast("Entry", order)


def full(action: str, target_type: str, outcome: str = "success") -> Entry:
    """Return an entry of an action in which everything has a value."""
    who = {"id": "u-1", "email": "ada@example.com", "name": "Ada"}
    return entry_of(
        action,
        target_type,
        org_name="Acme",
        outcome=outcome,
        outcome_reason="seat_limit",
        actor={"type": "support", **who, "on_behalf_of": {"id": "u-9", "email": "max@example.com"}},
        target={"type": target_type, "id": "t-1", "name": "Target", "email": "t@example.com"},
        details={
            "old": {"roles": ["A"], "permissions": ["p.read"], "level": "viewer", "name": "B"},
            "new": {
                "roles": ["B"],
                "permissions": ["p.write"],
                "level": "editor",
                "name": "C",
                "email": "c@x.y",
                "state": "paused",
            },
            "reason": "idle_timeout",
            "role": {"id": "r-1", "name": "B"},
            "grantee": {"type": "user", **who},
            "extra": {"mfa": True, "method": "password"},
            "attributes": {"region": "eu"},
            "truncated": ["$.details.old"],
            "sanitized": ["$.details.new"],
        },
        ip="203.0.113.9",
        ip_port=443,
        ip_raw="203.0.113.9:443",
        user_agent="curl/8.5.0",
        session_id="s-1",
        request_id="r-1",
        correlation_id="c-1",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        span_id="00f067aa0ba902b7",
        source={
            "service": "/hub/identity",
            "event_type": "identity.user.created",
            "event_version": 1,
            "event_id": "evt-1",
            "topic": "raw.identity",
            "partition": 3,
            "offset": 41,
        },
    )


WAYS = [(row.name, target) for row in CATALOGUE.values() for target in row.targets]
"""Every action with every type of target that it may have."""


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Draw an entry of any action with anything in it that an entry may hold."""
    action, target = draw(st.sampled_from(WAYS))
    kinds = st.sampled_from(["user", "service", "system", "anonymous", "support"])
    optional = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "org_name": texts,
                "outcome_reason": texts,
                "ip": st.sampled_from(IPS),
                "ip_port": st.integers(0, 65535),
                "ip_raw": texts,
                "user_agent": texts,
                "session_id": texts,
                "request_id": texts,
                "correlation_id": texts,
            },
        )
    )
    return entry_of(
        action,
        target,
        outcome=draw(st.sampled_from(["success", "failure"])),
        actor={"type": draw(kinds)} | draw(parties),
        target={"type": target} | draw(parties),
        details=draw(details),
        **optional,
    )
