"""Raw events of every type with the entry each must become, both written by hand from the contract.

A draft is a raw event before it is encoded; its ``template`` is the expected entry without what
only the bus and the store can know (seq, recorded_at, coordinates, hash, normalizer).
"""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any, NamedTuple

from tests.faults.catalog import ACTIONS, severity
from tests.faults.outcomes import BUILDERS, Data, Outcome


@dataclass
class Draft:
    """A raw event and the end it must have: an entry (``template``) or a discard (``rule``)."""

    topic: str
    attributes: dict[str, Any]
    data: Data
    template: Data | None = None
    rule: str | None = None
    occurred_ms: int = 0


class Scene(NamedTuple):
    """What is around an outcome: whose event of which name, by whom, from where, and when.

    Address and moment stand here as they are sent and as they are kept.
    """

    org: str
    marker: str
    name: str
    who: Data
    address: tuple[str, Data]
    told: tuple[str, int, str]


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


def draft(rng: Random, org: str, marker: str, name: str, now_ms: int) -> Draft:
    """Return the event number ``name`` of an organization, its marker in several places."""
    build = rng.choices([b for b, _ in BUILDERS], [w for _, w in BUILDERS])[0]
    kind, number = rng.choice(("user", "user", "service", "support")), rng.randrange(200)
    who = {
        "type": kind,
        "id": f"u{number}",
        "email": f"u{number}@{marker}.example",
        "name": f"Ann {marker}",
    }
    address = rng.choice(ADDRESSES)
    told = spell_time(rng, now_ms - int(rng.expovariate(1 / 7_200_000)))
    scene = Scene(org, marker, name, who, address, told)
    return assembled(rng, scene, build(rng, who, name))


def assembled(rng: Random, scene: Scene, made: Outcome) -> Draft:
    """Return the event of an outcome."""
    org, marker, name, who = scene[:4]
    (address, stored_address), (text, occurred_ms, quality) = scene.address, scene.told
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
