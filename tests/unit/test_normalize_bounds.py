"""Events made to hurt: the details stay in bounds, and no event holds up a lane."""

import json
from typing import Any

import orjson
import pytest

from processor.ingest.decode import decode
from processor.normalize import Limits, normalize
from processor.normalize.redact import redact_text
from schemas.entry import Entry
from schemas.record import RawRecord
from tests.unit.normalized import end_of
from tests.unit.normalized import entry as entry_of

pytestmark = pytest.mark.timeout(20)

LIMITS = Limits(90 * 86_400_000, 0, {"raw.identity": "identity"})
HOSTILE = {
    "many values": {f"k{n}": "v" * 30 for n in range(5_000)},
    "many keys": {f"k{n}": 1 for n in range(20_000)},
    "one huge key": {"k" * 100_000: 1},
    "bad characters everywhere": {f"k{n}" * 20: "\0" for n in range(1_000)},
    "digits in groups": {"a": "4 " * 60_000},
    "one run of digits": {"a": "4" * 200_000},
    "beginnings of tokens": {"a": "eyJ" * 80_000},
    "pieces of tokens": {"a": "eyJa." * 45_000},
    "beginnings of keys": {"a": "-----BEGIN " * 20_000},
    "words without end": {"aA" * 50_000: 2},
}


def made(name: str, changed: dict[str, Any] | None = None, /, **envelope: Any) -> Any:
    """Return the entry that an event becomes, of a user or role who did it without an address."""
    actor = {"actor": {"type": "system"}}
    return entry_of(name, {**actor, **(changed or {})}, **envelope)


def updated(after: dict[str, Any], raw: str | None = None, **more: Any) -> Entry:
    """Return the entry of a user who was changed so."""
    event = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/s",
        "type": "identity.user.updated.v1",
        "time": "2026-11-23T10:00:00Z",
        "orgid": "acme",
        "data": {
            "actor": {"type": "system"},
            "user": {"id": "u-1"},
            "before": {},
            "after": after,
            **more,
        },
    }
    text = json.dumps(event)
    value = (text if raw is None else text.replace(json.dumps(after), raw)).encode()
    decoded = decode(RawRecord("raw.identity", 0, 1, 1_795_428_001_000, None, value), "raw.redrive")
    entry = normalize(decoded, LIMITS)  # type: ignore[arg-type]
    assert isinstance(entry, dict), entry
    return entry


@pytest.mark.parametrize("after", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_event_is_cut_to_size_in_no_time(after: dict[str, Any]) -> None:
    """Whatever an event of 256 KiB holds, its details fit, and say that they were cut."""
    details = updated(after)["details"]
    assert len(orjson.dumps(details)) <= 16 * 1024
    assert details.get("truncated") or details["new"] == {"a": "[redacted]"}


def test_the_unknown_goes_before_what_changed() -> None:
    """Extra is dropped first, whole, and said so; then the largest values of old and new."""
    details = updated({"small": 1, "large": ["x" * 4_000] * 5}, more=["y" * 4_000] * 3)["details"]
    assert "extra" not in details
    assert details["new"] == {"small": 1, "large": "[truncated]"}
    assert details["truncated"] == ["$.details.extra", "$.details.new.large"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("card 4242 4242 4242 4242 12/27", "card [redacted] 12/27"),
        ("5105-1051-0510-5100", "[redacted]"),
        ("4242424242424241", "4242424242424241"),
        ("order 12345678901234567890", "order 12345678901234567890"),
        ("Bearer eyJhbGciOi.eyJzdWIi.c2ln", "Bearer [redacted]"),
        ("key AKIAABCDEFGHIJKLMNOP!", "key [redacted]!"),
        ("xoxb-1234-abcd", "[redacted]"),
        ("ghp_" + "a" * 36, "[redacted]"),
    ],
)
def test_secrets_are_known_by_their_shape(text: str, shown: str) -> None:
    """What has the shape of a secret is replaced inside its text, and nothing around it."""
    assert redact_text(text) == shown
    assert redact_text(shown) == shown


LIMITED = [
    ("client", {"user_agent": "x" * 1_025}, ("user_agent",), 1_024, "$.data.client.user_agent"),
    ("client", {"session_id": "x" * 129}, ("session_id",), 128, "$.data.client.session_id"),
    ("client", {"request_id": "x" * 129}, ("request_id",), 128, "$.data.client.request_id"),
    ("client", {"ip": "x" * 257}, ("ip_raw",), 256, "$.data.client.ip"),
    ("correlation_id", "x" * 129, ("correlation_id",), 128, "$.data.correlation_id"),
    ("organization", {"name": "x" * 257}, ("org_name",), 256, "$.data.organization.name"),
    ("reason", "x" * 257, ("details", "reason"), 256, "$.data.reason"),
    ("user", {"id": "x" * 257}, ("target", "id"), 256, "$.data.user.id"),
    ("user", {"id": "u", "name": "x" * 257}, ("target", "name"), 256, "$.data.user.name"),
    ("user", {"id": "u", "email": "x" * 321}, ("target", "email"), 320, "$.data.user.email"),
    ("actor", {"type": "user", "id": "x" * 257}, ("actor", "id"), 256, "$.data.actor.id"),
    ("after", {"a": "x" * 4_097}, ("details", "new", "a"), 4_096, "$.data.after.a"),
    ("before", {"a": ["x" * 4_097]}, ("details", "old", "a", 0), 4_096, "$.data.before.a[0]"),
    ("x", {"a": "x" * 4_097}, ("details", "extra", "x", "a"), 4_096, "$.data.x.a"),
]


@pytest.mark.parametrize(("field", "value", "place", "bound", "path"), LIMITED)
def test_what_is_too_long_is_cut_and_said_so(
    field: str, value: Any, place: tuple[Any, ...], bound: int, path: str
) -> None:
    """Listed by where it stood in the raw event; what just fits is neither cut nor listed."""
    entry: Any = made("identity.user.updated", {field: value})
    assert entry["details"]["truncated"] == [path]
    for step in place:
        entry = entry[step]
    assert entry == "x" * bound
    right = json.loads(json.dumps(value).replace("x" * (bound + 1), "x" * bound))
    assert "truncated" not in made("identity.user.updated", {field: right})["details"]


def test_a_session_s_id_stays_one_reference() -> None:
    """Cut alike as the target's and as the entry's own."""
    entry = made("identity.session.ended", {"session_id": "x" * 200})
    assert entry["target"]["id"] == entry["session_id"] == "x" * 128


@pytest.mark.parametrize("session_id", ["s-1", ""])
def test_what_gives_way_to_the_event_s_own_has_its_bound_all_the_same(session_id: str) -> None:
    """A reason beside the cause and the session of whoever ended it stand in extra, as bounded."""
    told = {"session_id": session_id, "client": {"session_id": "x" * 129, "x": 1}}
    details = made("identity.session.ended", {**told, "reason": "y" * 257})["details"]
    assert details == {
        "reason": "logout",
        "extra": {"client": {"x": 1, "session_id": "x" * 128}, "reason": "y" * 256},
        "truncated": ["$.data.client.session_id", "$.data.reason"],
    }
    fits = {**told, "client": {"session_id": "x" * 128}, "reason": "y" * 256}
    assert "truncated" not in made("identity.session.ended", fits)["details"]
    secret = made("identity.session.ended", {"reason": "4242424242424242" + "y" * 250})["details"]
    assert secret["extra"]["reason"] == "[redacted]" + "y" * 246


def test_an_extension_is_cut_where_it_stands() -> None:
    """Attributes stand at the root of the raw event."""
    details = made("identity.login.succeeded", subject="x" * 5_000, hubx="x" * 5_000)["details"]
    assert details["truncated"] == ["$.hubx", "$.subject"]


def test_only_as_much_goes_as_has_to() -> None:
    """Details that just fit are whole; of two large values the larger goes, of equal ones old's."""
    before, after = {"a": ["x" * 1_000] * 9}, {"a": ["y" * 1_000] * 8}
    assert updated(after, before=before)["details"] == {
        "old": {"a": "[truncated]"},
        "new": after,
        "truncated": ["$.details.old.a"],
    }
    same = {"a": ["y" * 1_000] * 9}
    assert updated(same, before=before)["details"]["truncated"] == ["$.details.old.a"]
    room = 16 * 1024 - len('{"old":{},"new":{"a":["",1]}}') - 4_096 * 3 - len('"",') * 3
    fits = ["z" * 4_096] * 3 + ["z" * room, 1]
    assert len(orjson.dumps(updated({"a": fits})["details"])) == 16 * 1024
    over = ["z" * 4_096] * 3 + ["z" * (room + 1), 1]
    assert updated({"a": over})["details"]["new"] == {"a": "[truncated]"}


def test_only_as_many_members_go_as_have_to() -> None:
    """Those with the longest keys, where values that are as small as can be still do not fit."""
    members = {"x" * 9_000: 1, "y" * 8_000: 2, "z": 3}
    details = updated(members)["details"]
    assert details["new"] == {"y" * 8_000: 2, "z": 3}
    assert details["truncated"] == ["$.details.new"]


def test_attributes_go_after_extra() -> None:
    """Both whole, in this order, before anything of old and new."""
    kept = {"large": ["x" * 4_000] * 3}
    extensions = {f"x{n}": "y" * 2_000 for n in range(4)}
    details = made("identity.user.updated", {"after": kept, "more": ["z" * 4_000]}, **extensions)[
        "details"
    ]
    assert details["truncated"] == ["$.details.extra", "$.details.attributes"]
    assert details["new"] == kept


def test_headers_count_against_the_bound() -> None:
    """In binary mode attributes are no part of the value, however small that is."""
    data = {"actor": {"type": "system"}, "method": "sso"}
    names = {"specversion": "1.0", "source": "/s", "type": "identity.login.succeeded.v1"}
    names |= {"time": "2026-11-23T10:00:00Z", "orgid": "acme"}
    names |= {f"x{n}": "\N{GRINNING FACE}" * 4_000 for n in range(16)}
    headers = [(f"ce_{name}", text.encode()) for name, text in names.items()]
    details = end_of(json.dumps(data).encode(), "raw.identity", *headers)["details"]
    gone = ["$.details.extra", "$.details.attributes"]
    assert details == {"truncated": gone}


def test_values_that_grow_are_counted() -> None:
    """A number of four bytes may become a text of twenty."""
    text = json.dumps({"l": ["@"]}).replace('"@"', ",".join(["1e15"] * 800))
    details = updated({"@": 1}, raw=text)["details"]
    assert details["truncated"] == ["$.details.new.l"]


def test_lists_of_paths_are_bounded() -> None:
    """However many texts are cut, and however long the keys above them are."""
    many = updated({f"k{n}": "x" * 4_097 for n in range(60)})["details"]
    assert len(many["truncated"]) <= 64
    long = updated({f"{n}" + "\u00e9" * 250: "x" * 4_097 for n in range(40)})["details"]
    assert len(orjson.dumps(long["truncated"])) <= 4_100
    assert 5 < len(long["truncated"]) < 40
    assert long["truncated"][0] == "$.details.new"
    assert max(map(len, long["truncated"])) <= 256
