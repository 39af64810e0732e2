"""What every entry has, whatever the type of its event: identity, times, addresses, bounds."""

import json
from hashlib import sha256
from typing import Any

import pytest

from schemas.entry import Entry
from tests.unit.normalized import ACTOR, TIME, encoded, end_of, entry

LOGIN = "identity.login.succeeded"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

WHOLE: dict[str, Any] = {
    "schema_version": 1,
    "entry_id": "01a207d9-217b-838d-8931-4d247d353f59",
    "seq": 0,
    "org_id": "acme",
    "org_name": "Acme",
    "occurred_at": TIME,
    "occurred_at_quality": "exact",
    "recorded_at": "2026-11-23T10:00:01.000Z",
    "category": "authentication",
    "action": "auth.login_success",
    "outcome": "success",
    "severity": 2,
    "actor": {**ACTOR, "on_behalf_of": {"id": "u-9", "email": "zoe@acme.example"}},
    "target": {"type": "user", "id": "u-1", "name": "Ann", "email": "ann@acme.example"},
    "details": {
        "reason": "because",
        "extra": {"method": "sso"},
        "attributes": {"hubregion": "eu", "subject": "sub"},
    },
    "ip": "203.0.113.9",
    "ip_port": 443,
    "user_agent": "UA",
    "session_id": "s",
    "request_id": "r",
    "correlation_id": "c",
    "trace_id": TRACE[3:35],
    "span_id": TRACE[36:52],
    "source": {
        "service": "/hub/x",
        "event_type": LOGIN,
        "event_version": 1,
        "event_id": "evt-1",
        "topic": "raw.identity",
        "partition": 3,
        "offset": 41,
    },
    "raw_sha256": "",
    "normalizer": "1",
}


def test_a_whole_entry() -> None:
    """Every key in canonical order, each with its value."""
    data = {
        "actor": {**ACTOR, "on_behalf_of": {"id": "u-9", "email": " Zoe@ACME.example"}},
        "client": {
            "ip": "203.0.113.9:443",
            "user_agent": "UA",
            "session_id": "s",
            "request_id": "r",
        },
        "organization": {"name": "Acme"},
        "correlation_id": "c",
        "reason": "because",
        "method": "sso",
    }
    value = encoded(LOGIN, data, traceparent=TRACE, subject="sub", hubregion="eu", source="/hub/x")
    made = end_of(value, "raw.identity")
    expected = {**WHOLE, "raw_sha256": sha256(value).hexdigest()}
    assert json.dumps(made) == json.dumps(expected)
    assert set(WHOLE) | {"ip_raw", "outcome_reason"} == set(Entry.__annotations__)


def test_what_has_no_value_is_left_out() -> None:
    """Null and absent are the same, also inside; details are always there."""
    nulls: Any = {
        "client": None,
        "organization": {"name": None},
        "reason": None,
        "correlation_id": None,
    }
    nulls |= {"before": {"x": None}, "after": {"y": {"z": None}}}
    made = entry("audit.denied", {**nulls, "asked": None, "reason": None, "before": None})
    assert made["details"] == {"extra": {"after": {"y": {}}}}
    bare = entry("audit.denied", {"asked": ..., "reason": ...}, id=None, subject=None, hubx=None)
    assert bare["details"] == {}
    left_out = {"org_name", "outcome_reason", "ip", "ip_port", "ip_raw", "user_agent", "session_id"}
    left_out |= {"request_id", "correlation_id", "trace_id", "span_id"}
    assert set(Entry.__annotations__) - set(bare) == left_out
    assert "event_id" not in bare["source"]


@pytest.mark.parametrize(
    ("changed", "entry_id"),
    [
        (
            {"time": "2026-11-23T10:00:00.123Z", "source": "/hub/identity", "id": "evt-1"},
            "01a207d9-217b-828a-a137-81caa759c1be",
        ),
        (
            {
                "time": "2026-11-23T10:00:00Z",
                "orgid": "org_42",
                "source": "/hub/billing",
                "id": "Rechnung №7",
            },
            "01a207d9-2100-8b9a-b622-b3704ef923c9",
        ),
        ({"id": ...}, "01a207d9-217b-8a94-93a0-e913ce1d4e6e"),
    ],
)
def test_identity_is_organization_source_id_and_time(changed: Any, entry_id: str) -> None:
    """The vectors of the contract; without an id it is the place on the bus."""
    assert entry(LOGIN, **changed)["entry_id"] == entry_id


def test_another_identity_is_another_entry() -> None:
    """Each of the four counts; nothing else does."""
    first = entry(LOGIN)["entry_id"]
    for changed in (
        {"id": "e"},
        {"source": "/x"},
        {"orgid": "b"},
        {"time": "2026-11-23T10:00:00Z"},
    ):
        assert entry(LOGIN, **changed)["entry_id"] != first
    assert entry(LOGIN, {"method": "other"}, subject="x")["entry_id"] == first
    assert entry(LOGIN, time="2026-11-23T11:00:00.1239+01:00")["entry_id"] == first


@pytest.mark.parametrize(
    ("time", "occurred_at", "quality"),
    [
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00.000Z", "exact"),
        ("2026-11-23 10:00:00.5Z", "2026-11-23T10:00:00.500Z", "exact"),
        ("2026-11-23 10:00:00.123Z", "2026-11-23T10:00:00.123Z", "exact"),
        ("2026-11-23T10:00:00.1239999999Z", "2026-11-23T10:00:00.123Z", "exact"),
        ("2026-11-23T10:00:00.04Z", "2026-11-23T10:00:00.040Z", "exact"),
        ("2026-11-23T15:30:00.5+05:30", "2026-11-23T10:00:00.500Z", "exact"),
        ("2026-11-22T20:00:00-14:00", "2026-11-23T10:00:00.000Z", "exact"),
        ("2026-11-23T10:00:00-00:00", "2026-11-23T10:00:00.000Z", "exact"),
        ("2026-11-23T10:00:00", "2026-11-23T10:00:00.000Z", "assumed_zone"),
        ("2026-11-23 10:00:00.123456", "2026-11-23T10:00:00.123Z", "assumed_zone"),
        ("2026-11-22T23:59:60Z", "2026-11-23T00:00:00.000Z", "exact"),
        ("2026-11-22T23:59:60.250Z", "2026-11-23T00:00:00.250Z", "exact"),
        ("2026-11-23T09:59:60", "2026-11-23T10:00:00.000Z", "assumed_zone"),
    ],
)
def test_times_are_cut_to_milliseconds(time: str, occurred_at: str, quality: str) -> None:
    """A leap second is the next one; without a zone it is UTC, and says so."""
    made = entry(LOGIN, time=time)
    assert (made["occurred_at"], made["occurred_at_quality"]) == (occurred_at, quality)


@pytest.mark.parametrize(
    ("text", "ip", "port"),
    [
        ("1.2.3.4", "1.2.3.4", None),
        ("1.2.3.4:5678", "1.2.3.4", 5678),
        ("1.2.3.4:0", "1.2.3.4", 0),
        ("1.2.3.4:65535", "1.2.3.4", 65535),
        ("2001:DB8:0::1", "2001:db8::1", None),
        ("[2001:db8::1]:443", "2001:db8::1", 443),
        ("::ffff:1.2.3.4", "1.2.3.4", None),
        ("[::ffff:102:304]:80", "1.2.3.4", 80),
        ("fe80::1%eth0", "fe80::1", None),
        ("[fe80::1%25]:80", "fe80::1", 80),
        ("::", "::", None),
    ],
)
def test_addresses_are_read(text: str, ip: str, port: int | None) -> None:
    """Ports are split off, mapped addresses are of version 4, zones dropped."""
    made = entry(LOGIN, {"client": {"ip": text}})
    assert (made["ip"], made.get("ip_port")) == (ip, port)
    assert "ip_raw" not in made


@pytest.mark.parametrize(
    "text",
    [
        *("10.0.0.0/8", "1.2.3.4:65536", "1.2.3.4:", "1.2.3.4:a", "1.2.3", "1.2.3.4.", "256.1.1.1"),
        *(
            "06.237.252.245",
            "AWS Internal",
            "<null>",
            "-",
            "...",
            "localhost",
            " 1.2.3.4",
            "1.2.3.4\n",
        ),
        *("[1.2.3.4]:80", "[::1", "[::1]:65536", "::1]:80", "2001:db8::/32", "1::2::3", "%eth0"),
        *("\u0661.2.3.4", "1.2.3.4:\u0668", "0x7f.1", "16909060", "1.2.3.4%eth0"),
    ],
)
def test_what_is_no_address_is_kept_as_it_came(text: str) -> None:
    """It is no reason to reject an event."""
    made = entry(LOGIN, {"client": {"ip": text}})
    assert (made["ip_raw"], "ip" in made, "ip_port" in made) == (text, False, False)


@pytest.mark.parametrize("kind", ["system", "anonymous"])
def test_some_actors_have_no_name(kind: str) -> None:
    """Nobody knows who did it, or nobody did."""
    made = entry("audit.viewed", {"actor": {"type": kind, "id": "", "email": " "}})
    assert made["actor"] == {"type": kind}


def test_e_mail_addresses_are_normalized_everywhere() -> None:
    """Wherever a field of that name stands; they are trimmed and lower-cased, not validated."""
    odd = "  Not An@Address "
    clean = "not an@address"
    data = {
        "actor": {"type": "user", "email": odd, "on_behalf_of": {"email": odd}},
        "user": {"id": "u-2", "email": odd},
        "before": {"email": "x", "deep": [{"email": odd, "a": 1}]},
        "after": {"email": odd, "deep": [{"email": odd, "a": 2}]},
        "more": {"email": [odd, {"email": odd}], "Email": odd},
    }
    made = entry("identity.user.updated", data, email=odd)
    assert made["actor"] == {"type": "user", "email": clean, "on_behalf_of": {"email": clean}}
    assert made["target"]["email"] == clean
    assert made["details"] == {
        "old": {"email": "x", "deep": [{"email": clean, "a": 1}]},
        "new": {"email": clean, "deep": [{"email": clean, "a": 2}]},
        "extra": {"more": {"email": [clean, {"email": clean}], "Email": odd}},
        "attributes": {"email": clean},
    }


def test_unknown_fields_of_known_objects_go_to_extra() -> None:
    """Under the name of their object, in the sender's order, secrets redacted."""
    data = {
        "zebra": 1,
        "actor": {**ACTOR, "team": "red", "on_behalf_of": {"id": "u-9", "why": "asked", "pin": 1}},
        "client": {"ip": "1.2.3.4", "device": {"os": "x"}, "cookie": "c"},
        "organization": {"name": "Acme", "plan": "pro"},
        "api_key": "k",
        "alpha": {"b": [None, 1]},
    }
    extra = {
        "method": "sso",
        "zebra": 1,
        "api_key": "[redacted]",
        "alpha": {"b": [None, 1]},
        "actor": {"team": "red", "on_behalf_of": {"why": "asked", "pin": "[redacted]"}},
        "client": {"device": {"os": "x"}, "cookie": "[redacted]"},
        "organization": {"plan": "pro"},
    }
    assert json.dumps(entry(LOGIN, data)["details"]) == json.dumps({"extra": extra})


def test_extensions_are_attributes() -> None:
    """The first 16 by name, and the subject beside them; that there were more is marked."""
    names = [f"x{n:02d}" for n in range(18)]
    sixteen = {name: name for name in names[:16]}
    given = dict(reversed(sixteen.items()))
    told = entry(LOGIN, subject="s", **given)["details"]
    assert told["attributes"] == {**sixteen, "subject": "s"}
    assert "truncated" not in told
    more = entry(LOGIN, **{name: name for name in names})["details"]
    assert (more["attributes"], more["truncated"]) == (sixteen, ["$.details.attributes"])


def test_every_mode_gives_the_same_entry() -> None:
    """Bare and binary; but for the hash of their values, which differ."""
    data = {"actor": ACTOR, "method": "a\0b", "client": {"user_agent": "x" * 2_000}}
    bare = end_of(encoded(LOGIN, data, hubregion="eu", subject="s"), "raw.identity")
    headers = {
        "id": "evt-1",
        "source": "/hub",
        "type": f"{LOGIN}.v1",
        "time": TIME,
        "orgid": "acme",
    }
    headers |= {"specversion": "1.0", "hubregion": "eu", "subject": "s"}
    binary = end_of(
        json.dumps(data).encode(),
        "raw.identity",
        *((f"ce_{name}", text.encode()) for name, text in headers.items()),
    )
    assert bare["raw_sha256"] != binary["raw_sha256"]
    assert {**bare, "raw_sha256": ""} == {**binary, "raw_sha256": ""}
    assert bare["details"]["sanitized"] == ["$.data.method"]
    assert bare["details"]["truncated"] == ["$.data.client.user_agent"]
