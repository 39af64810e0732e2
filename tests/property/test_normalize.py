"""Normalize on anything: it never raises, decides twice the same, and keeps every promise."""

import json
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from processor.ingest.decode import decode
from processor.normalize import address, normalize
from processor.normalize.details import SAFE_INTEGER_MAX, differences
from processor.normalize.redact import REDACTED, SHORTEST_PLAIN_SECRET, _redact, redact_text
from schemas.entry import render
from schemas.generate import ROOT
from schemas.raw.envelope import Event
from schemas.record import RawRecord
from schemas.rejection import Discard, Reason, Rejection, Stage
from tests.property.test_decode_is_total import TREES
from tests.unit.normalized import ACTOR, DATA, LIMITS, RECORDED_MS, TIME

REASONS = frozenset(list(Reason)[list(Reason).index(Reason.UNKNOWN_TYPE) :]) - {
    Reason.ID_CONFLICT,
    Reason.REFUSED_BY_DATABASE,
}
ENTRY = Draft202012Validator(json.loads((ROOT / "jsonschema" / "entry.json").read_bytes()))
LISTS = ("truncated", "sanitized")

NAMES = [f"{name}.v1" for name in DATA]
KEYS = st.sampled_from(
    ["id", "name", "email", "type", "token", "user_id", "status", "plan", "x", "roles", "\0"]
)
OBJECTS = st.dictionaries(KEYS | st.text(max_size=6), TREES, max_size=5)
ODD = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(TREES, max_size=2)
ODD_OR_OBJECT = ODD | OBJECTS
ENVELOPES = st.fixed_dictionaries(
    {},
    optional={
        "id": st.none() | st.text("ab\u00e9", min_size=1, max_size=4),
        "type": st.sampled_from(
            [*NAMES, "identity.user.updated.v2", "x", "identity.token.refreshed.v1"]
        ),
        "time": st.just(TIME) | ODD_OR_OBJECT | st.datetimes().map(str),
        "orgid": st.just("acme") | ODD_OR_OBJECT,
        "subject": st.text("ab4 ", max_size=30),
        "hubregion": TREES,
        "email": TREES,
    },
)
TOPICS = st.sampled_from([*LIMITS.families, "raw.redrive", "other"])

CARD = "4242424242424242"
SECRETS = st.sampled_from(
    [
        CARD,
        "5105-1051-0510-5100",
        "3782 822463 10005",
        "eyJhbGciOi.eyJzdWIi.c2ln",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "a1B2" * 9,
        "xoxb-12-ab",
        "sk_live_4eC39Hq",
        "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----",
    ]
)
PLAIN_KEYS = st.sampled_from(
    ["note", "x", "email", "method", "status", "name", "list", "permissions"]
)
PLANTED = st.recursive(
    st.tuples(
        st.text("ab .\n\u00e9", max_size=5), SECRETS, st.text("ab .\n\u00e9", max_size=5)
    ).map("".join),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN_KEYS, inner, max_size=3),
    max_leaves=6,
)


ADDRESSES = st.lists(st.integers(0, 300).map(str) | st.just("01"), min_size=3, max_size=5).map(
    ".".join
)


def outcome(event: dict[str, Any], topic: str) -> Any:
    """Normalize twice, hold that it is the same, and return it; None where decode rejects."""
    value = json.dumps(event).encode()
    headers = [("x-original-topic", b"raw.identity")] if topic == "raw.redrive" else []
    headers += [(f"x-original-{name}", b"7") for name in ("partition", "offset", "timestamp")]
    event_or_not = decode(RawRecord(topic, 3, 41, RECORDED_MS, None, value, headers), "raw.redrive")
    if not isinstance(event_or_not, Event):
        return None
    first, second = normalize(event_or_not, LIMITS), normalize(event_or_not, LIMITS)
    assert first == second
    if not isinstance(first, Rejection | Discard):
        assert render(first) == render(second)  # type: ignore[arg-type]
    return first


def raw(name: str, data: Any, **envelope: Any) -> dict[str, Any]:
    """Return a raw event."""
    right = {"specversion": "1.0", "id": "evt-1", "source": "/hub", "type": name}
    return {**right, "time": TIME, "orgid": "acme", "data": data, **envelope}


def assert_right(entry: Any) -> None:
    """Hold what is true of any entry."""
    numbered = {**json.loads(render(entry)), "seq": 1}
    assert list(ENTRY.iter_errors(numbered)) == []
    details = entry["details"]
    assert len(orjson.dumps(details)) <= 16 * 1024
    for value in scalars(details):
        if isinstance(value, str):
            assert len(value) <= 4_096
        elif value is not None and not isinstance(value, bool):
            assert isinstance(value, int)
            assert abs(value) <= SAFE_INTEGER_MAX
    kept = {name: part for name, part in details.items() if name not in LISTS}
    assert redacted(kept) == kept


def scalars(tree: Any) -> list[Any]:
    """Return every value of a tree that is no container."""
    if isinstance(tree, dict):
        assert None not in tree.values()
        return [scalar for member in tree.values() for scalar in scalars(member)]
    if isinstance(tree, list):
        return [scalar for member in tree for scalar in scalars(member)]
    return [tree]


def redacted(tree: Any, key: str = "") -> Any:
    """Return a tree as it is after the texts in it have been redacted once more."""
    if isinstance(tree, dict):
        return {name: redacted(member, name) for name, member in tree.items()}
    if isinstance(tree, list):
        return [redacted(member, key) for member in tree]
    reference = key == "id" or key.endswith(("_id", "Id"))
    if not isinstance(tree, str) or reference or is_number(tree):
        return tree
    return redact_text(tree)


def is_number(text: str) -> bool:
    """Tell whether a text is what a number with a point becomes: its digits are no card's."""
    try:
        return "." in text and repr(float(text)) == text
    except ValueError:
        return False


@given(st.sampled_from(NAMES), ODD_OR_OBJECT, ENVELOPES, TOPICS)
@settings(max_examples=300, deadline=None)
def test_anything_ends_somewhere(name: str, data: Any, envelope: Any, topic: str) -> None:
    """Whatever the envelope and the data hold, of every type, on every topic."""
    end = outcome(raw(name, data, **envelope), topic)
    if isinstance(end, Rejection):
        assert end.stage is Stage.NORMALIZE
        assert end.reason in REASONS
        assert len(end.detail.encode("ascii", "backslashreplace")) <= 1_024
    elif isinstance(end, dict):
        assert_right(end)


@st.composite
def spoiled(draw: Any) -> tuple[str, Any]:
    """Return a type and its data with members replaced, taken away and added, at any depth."""
    name = draw(st.sampled_from(list(DATA)))
    data = json.loads(json.dumps({"actor": ACTOR, **DATA[name]}))
    for _ in range(draw(st.integers(0, 2))):
        members = data
        while True:
            key = draw(st.sampled_from(sorted(members)) | KEYS)
            inner = members.get(key)
            if isinstance(inner, dict) and inner and draw(st.booleans()):
                members = inner
                continue
            members[key] = draw(ODD_OR_OBJECT)
            break
    return name, data


@given(spoiled(), ENVELOPES)
@settings(max_examples=400, deadline=None)
def test_what_is_nearly_right_ends_somewhere(given_data: tuple[str, Any], envelope: Any) -> None:
    """An event of which a member or two are odd is an entry in order, discarded or rejected."""
    name, data = given_data
    topic = f"raw.{name.partition('.')[0]}"
    end = outcome(
        raw(f"{name}.v1", data, **{k: envelope[k] for k in envelope if k != "type"}), topic
    )
    if isinstance(end, dict):
        assert_right(end)


@given(PLANTED, st.sampled_from(["more", "reason", "after", "before", "user", "subject", "hubx"]))
@settings(max_examples=300, deadline=None)
def test_no_planted_secret_survives(planted: Any, place: str) -> None:
    """Not in either side, in extra, in a reason or in an attribute; wherever it is nested."""
    data: dict[str, Any] = {"actor": ACTOR, **DATA["identity.user.updated"]}
    envelope: dict[str, Any] = {}
    if place in {"after", "before"}:
        data[place] = {"note": planted, "status": "x"}
    elif place == "user":
        data["user"] = {"id": "u-2", "more": planted}
    elif place == "more":
        data["more"] = planted
    elif place == "hubx":
        envelope["hubx"] = planted
    else:
        text = json.dumps(planted, ensure_ascii=False)
        (data if place == "reason" else envelope)[place] = text
    end = outcome(raw("identity.user.updated.v1", data, **envelope), "raw.identity")
    if isinstance(end, dict):
        rendered = render(end).decode()  # type: ignore[arg-type]
        assert_right(end)
        for secret in (CARD, "5105-1051", "3782 82", "eyJhbG", "AKIAIO", "ghp_a1", "xoxb-1"):
            assert secret not in rendered
        for secret in ("sk_live_4", "PRIVATE KEY"):
            assert secret not in rendered
        texts = list(filter(None, scalars(planted)))
        assert not texts or REDACTED in rendered


@given(OBJECTS, OBJECTS)
@settings(max_examples=300, deadline=None)
def test_differences_are_of_differing_keys_only(before: Any, after: Any) -> None:
    """What is told on either side differs, what is not told is the same, and nothing is made up."""
    old, new = differences(before, after)
    assert differences(before, before) == ({}, {})
    assert old.keys() <= before.keys()
    assert new.keys() <= after.keys()
    assert None not in (*old.values(), *new.values())
    for name in before.keys() | after.keys():
        if name in old or name in new:
            assert json.dumps(old.get(name)) != json.dumps(new.get(name))
        elif name in before and name in after:
            assert differences({name: before[name]}, {name: after[name]}) == ({}, {})
    assert differences(old, new) == (old, new)


@given(st.lists(st.sampled_from("24-  eyJ.a_x") | SECRETS, max_size=40).map("".join))
@settings(max_examples=500, deadline=None)
def test_redaction_leaves_nothing_behind(text: str) -> None:
    """Done twice it is what it was once, however secrets stand beside one another."""
    once = redact_text(text)
    assert redact_text(once) == once


@given(st.text("0245eyJAKIzaxob\u00e9\u0664", max_size=SHORTEST_PLAIN_SECRET - 1))
def test_short_words_hold_no_secret(text: str) -> None:
    """Those that are not looked into are as they would be if they were."""
    assert redact_text(text) == text == _redact(text)


@given(st.from_regex(r"[0-9.:%/ ]{1,20}", fullmatch=True) | st.text(max_size=20) | ADDRESSES)
def test_the_quick_way_to_an_address_is_the_plain_one(text: str) -> None:
    """Whatever passes for a usual IPv4 address is one that the plain way reads just so."""
    assert address.parse(text) == address._parse_unusual(text)
