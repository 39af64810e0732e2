"""Why normalize rejects or discards, and in which order it decides."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from processor.normalize import Limits
from processor.normalize.event_types import NAMES
from schemas.raw import audit, billing, identity, permission
from schemas.rejection import Discard, Reason, Rejection, Rule
from tests.unit.normalized import (
    ACTOR,
    DATA,
    DAY_MS,
    LIMITS,
    RECORDED_MS,
    encoded,
    end,
    end_of,
    reason,
)

LOGIN = "identity.login.succeeded"
NOT_AUDITED = (
    *("identity.token.refreshed", "permission.check.evaluated"),
    *("billing.invoice.created", "billing.usage.reported"),
)
ODD_TYPES: list[Any] = ["robot", "User", "", 7, ["user"], {}]
ODD_OUTCOMES: list[Any] = ["unknown", "Success", "", 1, True, ["success"]]
NO_TEXTS: list[Any] = [0, 7, False, [], {}, 1.5]
NO_OBJECTS: list[Any] = ["1.2.3.4", [], 7]
ORIGINAL = [
    ("x-original-topic", b"raw.identity"),
    ("x-original-partition", b"1"),
    ("x-original-offset", b"7"),
    ("x-original-timestamp", str(RECORDED_MS - 10 * DAY_MS).encode()),
]


def test_every_type_is_known() -> None:
    """The 23 that become entries and the four that never do."""
    assert frozenset((*DATA, *NOT_AUDITED)) == NAMES


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("identity.login.exploded.v1", "unknown_type"),
        ("identity.login.v1", "unknown_type"),
        ("login", "unknown_type"),
        ("IDENTITY.login.succeeded.v1", "unknown_type"),
        ("identity.login.succeeded.v1.v1", "unknown_type"),
        ("identity.login.succeeded.v2", "unsupported_version"),
        ("identity.login.succeeded.v0", "unsupported_version"),
        ("identity.login.succeeded.v10", "unsupported_version"),
        ("identity.login.succeeded", "unsupported_version"),
        ("identity.token.refreshed.v2", "unsupported_version"),
    ],
)
def test_types_and_versions_are_known_or_not(name: str, expected: str) -> None:
    """Both can be redriven after a deploy, so they are told apart from events that are wrong."""
    assert end_of(encoded("", {}, type=name), "raw.identity").reason == expected


@pytest.mark.parametrize("topic", ["raw.billing", "raw.redrive", "identity", "raw.identity2"])
def test_a_type_belongs_on_its_topic(topic: str) -> None:
    """Each raw topic is a family's own, under the name that it is configured with."""
    value = encoded(LOGIN, {"actor": ACTOR, "method": "x"})
    renamed = Limits(90 * DAY_MS, 0, {"identity": "permission", "raw.billing": "billing"})
    headers = ORIGINAL if topic == "raw.redrive" else []
    assert end_of(value, topic, *headers, limits=renamed).reason == "wrong_topic"


@pytest.mark.parametrize("org_id", [..., None])
def test_an_organization_is_needed(org_id: Any) -> None:
    """Null is absent."""
    assert reason(LOGIN, orgid=org_id) == "missing_org"


@pytest.mark.parametrize(
    "org_id",
    ["", "a.b", "a b", "a/b", "é", "a\n", "a\0", "x" * 129, 7, True, [], ["acme"], {"id": "acme"}],
)
def test_an_organization_has_no_odd_characters(org_id: Any) -> None:
    """1 to 128 of A-Z a-z 0-9 _ -: it becomes part of a topic's name."""
    assert reason(LOGIN, orgid=org_id) == "invalid_org"


@pytest.mark.parametrize("org_id", ["a", "x" * 128, "Az09_-"])
def test_an_organization_may_have_128_characters(org_id: str) -> None:
    """And letters of either case."""
    assert end(LOGIN, orgid=org_id)["org_id"] == org_id


@pytest.mark.parametrize("name", NOT_AUDITED)
@pytest.mark.parametrize("changed", [{}, {"time": ...}, {"time": 7}, {"data": ...}, {"data": 7}])
def test_what_is_not_audited_is_discarded(name: str, changed: Any) -> None:
    """Whatever it holds, as long as it has an organization and its right topic."""
    topic = f"raw.{name.partition('.')[0]}"
    assert end_of(encoded(name, {}, **changed), topic) == Discard(Rule.NOT_AUDITED)
    assert end_of(encoded(name, {}, orgid=""), topic).reason == "invalid_org"
    assert end_of(encoded(name, {}), "raw.audit").reason == "wrong_topic"


@pytest.mark.parametrize("time", [..., None])
def test_a_time_is_needed(time: Any) -> None:
    """Null is absent."""
    assert reason(LOGIN, time=time) == "missing_time"


@pytest.mark.parametrize(
    "time",
    [
        *("", "now", "2026-11-23", "10:00:00Z", "20261123T100000Z", "2026-W48-1T10:00:00Z"),
        *("2026-11-23T10:00Z", "2026-11-23T10:00:00.Z", "2026-11-23T10:00:00,5Z"),
        *("2026-11-23t10:00:00Z", "2026-11-23T10:00:00z", "2026-11-23T10:00:00.123z"),
        *("2026-11-23T10:00:00 Z", " 2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z\n"),
        *("2026-11-23T10:00:00+1", "2026-11-23T10:00:00+0100", "2026-11-23T10:00:00+01"),
        *("2026-11-23T10:00:00+24:00", "2026-11-23T10:00:00+01:60", "2026-11-23T10:00:00Z+01:00"),
        *("2026-11-23T24:00:00Z", "2026-11-23T24:00:00.000Z", "2026-11-23T10:60:00Z"),
        *("2026-11-23T10:00:61Z", "2026-13-23T10:00:00Z", "2026-02-30T10:00:00Z"),
        *("0000-11-23T10:00:00Z", "10000-11-23T10:00:00Z", "26-11-23T10:00:00Z"),
        *("3/24/2026 2:42:35 PM", "1795428000", "1795428000.123", "2026-11-23T10:00:00\u0660"),
        *(
            "\uff12026-11-23T10:00:00Z",
            "2026-11-23T10:00:00.\uff1123Z",
            "2026-11-23T10:00:\uff100.123Z",
        ),
        *(1_795_428_000, 1_795_428_000_123, 1.5, True, ["2026-11-23T10:00:00Z"], {}),
    ],
)
def test_a_time_is_rfc_3339(time: Any) -> None:
    """Epoch numbers, dates alone, local forms and lower-case letters are something else."""
    assert reason(LOGIN, time=time) == "invalid_time"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-11-24T10:00:01.000Z", None),
        ("2026-11-24T10:00:01.0009Z", None),
        ("2026-11-24T10:00:01.001Z", "in_future"),
        ("9999-12-31T23:59:60Z", "in_future"),
        ("9999-12-31T23:59:60.000Z", "in_future"),
        ("9999-12-31 23:59:60.999Z", "in_future"),
        ("2026-08-25T10:00:01.000Z", None),
        ("2026-08-25T10:00:00.9999Z", "older_than_retention"),
        ("1969-12-31T23:59:59Z", "older_than_retention"),
        ("0001-01-01T00:00:00+23:59", "older_than_retention"),
    ],
)
def test_an_event_is_neither_early_nor_late(time: str, expected: str | None) -> None:
    """24 hours, or the retention, from the moment at which the bus took its record."""
    made = end(LOGIN, time=time)
    assert getattr(made, "reason", None) == expected


def test_an_event_is_not_older_than_the_oldest_day() -> None:
    """Its day may be gone before its retention ends."""
    limits = LIMITS._replace(oldest_day_ms=RECORDED_MS - DAY_MS)
    value = {"actor": ACTOR, "method": "x"}
    right = end_of(
        encoded(LOGIN, value, time="2026-11-22T10:00:01Z"), "raw.identity", limits=limits
    )
    late = end_of(encoded(LOGIN, value, time="2026-11-22T10:00:00Z"), "raw.identity", limits=limits)
    assert isinstance(right, dict)
    assert late.reason == "older_than_retention"


@pytest.mark.parametrize(
    "actor",
    [
        *(..., None),
        *({"type": kind} for kind in ("user", "service", "support")),
        {"type": "user", "id": None, "email": None, "name": "Ann"},
        {"type": "service", "id": "", "email": " "},
    ],
)
def test_an_actor_is_needed(actor: Any) -> None:
    """Of users, services and support an id or an e-mail address."""
    assert reason(LOGIN, {"actor": actor}) == "missing_actor"


@pytest.mark.parametrize(
    "actor",
    [
        *(7, "ann", [], True, {}, {"id": "u-1"}, {"type": None, "id": "u-1"}),
        *({"type": kind, "id": "u-1"} for kind in ODD_TYPES),
        *({"type": "user", "id": odd} for odd in NO_TEXTS),
        {"type": "system", "email": 7},
        {"type": "system", "name": []},
        {"type": "system", "on_behalf_of": "bob"},
        {"type": "system", "on_behalf_of": {"id": 7}},
    ],
)
def test_an_actor_is_of_a_known_type(actor: Any) -> None:
    """The types are closed, and ids, addresses and names are texts."""
    assert reason(LOGIN, {"actor": actor}) == "invalid_data"


@pytest.mark.parametrize("data", [..., None, 7, "text", [], True])
def test_data_is_an_object(data: Any) -> None:
    """Otherwise it holds no actor either, but that is not what is wrong with it."""
    assert end_of(encoded(LOGIN, data), "raw.identity").reason == "invalid_data"


@pytest.mark.parametrize(
    "changed",
    [
        *({"outcome": odd} for odd in ODD_OUTCOMES),
        *({"client": odd} for odd in NO_OBJECTS),
        *({"client": {name: 7}} for name in ("ip", "user_agent", "session_id", "request_id")),
        *({"organization": odd} for odd in (*NO_OBJECTS, {"name": 7})),
        *({"correlation_id": odd} for odd in NO_TEXTS),
        *({"reason": odd} for odd in NO_TEXTS),
    ],
)
def test_the_common_part_has_its_types(changed: Any) -> None:
    """The outcome is closed; where a field that is known is something else, it is said where."""
    rejection = end(LOGIN, changed)
    assert isinstance(rejection, Rejection)
    assert rejection.reason == "invalid_data"
    assert rejection.detail.startswith(f"$.data.{next(iter(changed))}")


def test_a_detail_never_holds_the_value() -> None:
    """What was sent in the wrong place may be a secret; the path and the expectation are not."""
    secret = "hunter2-hunter2"
    for changed in ({"method": [secret]}, {"outcome": secret}, {"actor": {"type": secret}}):
        rejection = end(LOGIN, changed)
        assert secret not in rejection.detail
        assert rejection.detail.startswith("$.data.")
        assert len(rejection.detail) < 1_024


def unions(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield what pydantic takes for a choice of types, at any depth; nullable is none."""
    for part in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(part, dict | list | tuple):
            yield from unions(part)
    if isinstance(schema, dict) and schema.get("type") == "union":
        yield schema


def test_a_choice_of_types_says_itself_what_is_expected() -> None:
    """Otherwise the name of each type would stand in a path, as if it were a member's."""
    contracts = [family.CONTRACTS for family in (audit, billing, identity, permission)]
    found = [
        union
        for family in contracts
        for adapter in family.values()
        for union in unions(adapter.core_schema)
    ]
    assert len(found) >= 4
    assert [union for union in found if "custom_error_message" not in union] == []


def spoiled(*steps: Callable[[dict[str, Any]], Any]) -> Any:
    """Return the end of a login that is spoiled in every one of the given ways."""
    event: dict[str, Any] = {"type": f"{LOGIN}.v1", "topic": "raw.identity", "orgid": "acme"}
    event |= {"time": "2026-11-23T10:00:00Z", "data": {"actor": dict(ACTOR), "method": "x"}}
    for step in steps:
        step(event)
    topic = event.pop("topic")
    return end_of(encoded("", event.pop("data"), **event), topic)


WRONG: dict[Reason, Callable[[dict[str, Any]], Any]] = {
    Reason.UNKNOWN_TYPE: lambda event: event.update(type="nothing.v1"),
    Reason.UNSUPPORTED_VERSION: lambda event: event.update(type=f"{LOGIN}.v2"),
    Reason.WRONG_TOPIC: lambda event: event.update(topic="raw.billing"),
    Reason.MISSING_ORG: lambda event: event.update(orgid=None),
    Reason.INVALID_ORG: lambda event: event.update(orgid="a.b"),
    Reason.MISSING_TIME: lambda event: event.update(time=None),
    Reason.INVALID_TIME: lambda event: event.update(time="noon"),
    Reason.IN_FUTURE: lambda event: event.update(time="2027-11-23T10:00:00Z"),
    Reason.OLDER_THAN_RETENTION: lambda event: event.update(time="2025-11-23T10:00:00Z"),
    Reason.MISSING_ACTOR: lambda event: event["data"].update(actor=None),
    Reason.INVALID_DATA: lambda event: event["data"].update(method=None),
}
EITHER = [
    {Reason.UNKNOWN_TYPE, Reason.UNSUPPORTED_VERSION},
    {Reason.MISSING_ORG, Reason.INVALID_ORG},
    {Reason.MISSING_TIME, Reason.INVALID_TIME, Reason.IN_FUTURE, Reason.OLDER_THAN_RETENTION},
]
"""An event cannot be wrong in both of these ways at once."""


def test_every_reason_of_normalize_is_tried() -> None:
    """They stand together in the closed set, in the order in which they are decided."""
    reasons = list(Reason)
    first = reasons.index(Reason.UNKNOWN_TYPE)
    assert list(WRONG) == reasons[first : first + len(WRONG)]
    assert reasons[first + len(WRONG)] is Reason.ID_CONFLICT


@pytest.mark.parametrize("earlier", WRONG)
def test_the_first_reason_wins(earlier: Reason) -> None:
    """Of all pairs of reasons, in whichever order the event was spoiled."""
    assert spoiled(WRONG[earlier]).reason is earlier
    later = list(WRONG)[list(WRONG).index(earlier) + 1 :]
    for other in later:
        if not any({earlier, other} <= pair for pair in EITHER):
            assert spoiled(WRONG[other], WRONG[earlier]).reason is earlier


def test_data_is_judged_before_its_change() -> None:
    """An event that changes nothing is still rejected when it is wrong."""
    same = {"before": {"a": 1}, "after": {"a": 1}}
    assert end("identity.user.updated", same) == Discard(Rule.NO_CHANGE)
    assert reason("identity.user.updated", {**same, "user": {}}) == "invalid_data"
    assert reason("identity.user.updated", {**same, "actor": None}) == "missing_actor"
    assert reason("identity.user.updated", same, time=None) == "missing_time"


def test_a_redriven_record_is_judged_by_where_it_came_from() -> None:
    """Topic and times are those of the original; the books and the hash are the new record's."""
    value = encoded(LOGIN, {"actor": ACTOR, "method": "x"}, time="2026-11-13T10:00:00Z", id=...)
    made = end_of(value, "raw.redrive", *ORIGINAL)
    assert made["source"]["topic"] == "raw.redrive"
    assert (made["source"]["partition"], made["source"]["offset"]) == (3, 41)
    assert made["recorded_at"] == "2026-11-23T10:00:01.000Z"
    again = [(name, b"8" if name.endswith("offset") else value) for name, value in ORIGINAL]
    assert made["entry_id"] != end_of(value, "raw.redrive", *again)["entry_id"]
    assert made["entry_id"] == end_of(value, "raw.redrive", *ORIGINAL)["entry_id"]
    now = encoded(LOGIN, {"actor": ACTOR, "method": "x"})
    assert end_of(now, "raw.redrive", *ORIGINAL).reason == "in_future"


def test_any_append_time_is_survived() -> None:
    """A topic may let producers set the time, and an operator may set any original one."""
    late = [(n, b"253402300799999" if n.endswith("timestamp") else v) for n, v in ORIGINAL]
    value = encoded(LOGIN, {"actor": ACTOR, "method": "x"}, time="9999-12-31T23:59:59-10:00")
    assert end_of(value, "raw.redrive", *late).reason == "in_future"
