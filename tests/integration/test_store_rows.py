"""Entries to rows and back, through a real Postgres, whatever is in them."""

import string
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.store.lanes import Range, read_unemitted
from processor.store.pool import Database
from processor.store.rows import CACHED_VALUES_MAX, SEALED_COLUMNS, _Encoded
from schemas.entry import Actor, Entry, Source, Target, render
from tests.integration.store import StoringLane, an_entry, identifier, opened, rendered

# What normalize lets through: everything but surrogates and the C0 controls (tab, CR, LF stay).
CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]) | st.sampled_from(
    "\t\r\n"
)
TEXT = st.text(CHARACTERS, min_size=1, max_size=40)
NUMBER = st.integers(-(2**53) + 1, 2**53 - 1)
HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
ADDRESS = st.one_of(
    st.builds(lambda n: str(IPv4Address(n)), st.integers(0, 2**32 - 1)),
    st.builds(lambda n: str(IPv6Address(n)), st.integers(0, 2**128 - 1)),
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | st.text(CHARACTERS, max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
DETAILS = st.fixed_dictionaries(
    {},
    optional={
        "old": OBJECT,
        "new": OBJECT,
        "reason": TEXT,
        "role": OBJECT,
        "extra": OBJECT,
        "truncated": st.lists(TEXT, max_size=2),
    },
)
ACTOR = st.fixed_dictionaries(
    {"type": st.sampled_from(["user", "service", "system", "anonymous", "support"])},
    optional={
        "id": TEXT,
        "email": TEXT,
        "name": TEXT,
        "on_behalf_of": st.fixed_dictionaries({}, optional={"id": TEXT, "email": TEXT}),
    },
)
TARGET = st.fixed_dictionaries({"type": TEXT}, optional={"id": TEXT, "name": TEXT, "email": TEXT})
REST = st.fixed_dictionaries(
    {
        "occurred_at_quality": st.sampled_from(["exact", "assumed_zone"]),
        "category": TEXT,
        "action": TEXT,
        "outcome": st.sampled_from(["success", "failure"]),
        "severity": st.integers(0, 10),
        "actor": ACTOR,
        "target": TARGET,
        "details": DETAILS,
        "raw_sha256": TEXT,
        "normalizer": TEXT,
    },
    optional={
        "org_name": TEXT,
        "outcome_reason": TEXT,
        "ip": ADDRESS,
        "ip_port": st.integers(0, 65535),
        "ip_raw": TEXT,
        "user_agent": TEXT,
        "session_id": TEXT,
        "request_id": TEXT,
        "correlation_id": TEXT,
        "trace_id": HEX,
        "span_id": HEX,
    },
)
ORG_ID = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=20)
TIME = st.datetimes(datetime(2026, 9, 1), datetime(2026, 9, 3), timezones=st.just(UTC))  # noqa: DTZ001
SOURCE = st.fixed_dictionaries(
    {"service": TEXT, "event_type": TEXT, "event_version": st.integers(1, 9)},
    optional={"event_id": TEXT},
)


def canonical(shape: type, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Put the keys of a drawn object in canonical order; in details any order is kept."""
    return {name: fields[name] for name in shape.__annotations__ if name in fields}


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Draw any entry that normalize can make."""
    org_id, at, recorded_at = draw(ORG_ID), draw(TIME), draw(TIME)
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    entry = an_entry(org_id, "", at=at, **draw(REST))
    actor: Any = canonical(Actor, entry["actor"])
    target: Any = canonical(Target, entry["target"])
    entry["actor"], entry["target"] = actor, target
    entry["entry_id"] = identifier(org_id, draw(TEXT), at)
    entry["recorded_at"] = rendered(recorded_at)
    source: Any = canonical(Source, draw(SOURCE))
    entry["source"] = source
    if draw(st.booleans()):
        entry.pop("ip", None)
    return entry


@pytest.fixture
async def lane(postgres_dsn: str) -> AsyncIterator[StoringLane]:
    """Give a lane of a fresh database."""
    async with opened(postgres_dsn) as db:
        yield await StoringLane.take(db)


async def read_back(db: Database, stored: list[Entry]) -> list[bytes]:
    """Return the renderings of stored entries, from their rows, in the order given."""
    ranges: dict[str, Range] = {}
    for entry in stored:
        org_id, seq = entry["org_id"], entry["seq"]
        ranges[org_id] = Range(ranges.get(org_id, Range(seq, seq)).first, seq)
    rows = await read_unemitted(db, ranges)
    found = {(entry["org_id"], entry["seq"]): render(entry) for entry in rows}
    return [found[entry["org_id"], entry["seq"]] for entry in stored]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batch=st.lists(entries(), min_size=1, max_size=4))
async def test_entry_comes_back_from_its_row_byte_for_byte(
    lane: StoringLane, batch: list[Entry]
) -> None:
    """Every field of every entry survives, and its rendering is the same bytes."""
    stored = await lane.store(*batch)
    assert not [d for d in stored.dead_letters if d.rejection.reason == "refused_by_database"]
    assert await read_back(lane.db, stored.entries) == [render(entry) for entry in stored.entries]


async def test_row_of_the_smallest_entry_has_nulls(lane: StoringLane) -> None:
    """What an entry leaves out is NULL in its column, and left out again when it is read."""
    entry = an_entry("acme", "a", actor={"type": "system"}, target={"type": "audit_log"})
    del entry["ip"]
    stored = await lane.store(entry)
    assert await read_back(lane.db, stored.entries) == [render(stored.entries[0])]
    async with lane.db.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM audit_entries")
    empty = {name for name, value in row.items() if value is None}
    assert empty == {
        "actor_id", "actor_email", "target_id", "ip", "session_id", "request_id", "correlation_id",
        *SEALED_COLUMNS,
    }  # fmt: skip


def test_cache_of_encoded_values_is_bounded() -> None:
    """A full cache starts afresh, so that identifiers of a year do not pile up."""
    encoded = _Encoded(lambda value: str(value).encode())
    for number in range(CACHED_VALUES_MAX + 10):
        assert encoded[number] == str(number).encode()
    assert len(encoded) == 10
