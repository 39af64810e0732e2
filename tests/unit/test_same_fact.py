"""Repetitions in another form are the same fact; own events say what was searched in any form."""

import json
from typing import Any

import pytest

from processor.store.resolve import same_fact
from schemas.entry import Entry
from tests.unit.normalized import ACTOR, TIME, encoded, end_of

LOGIN = "identity.login.succeeded"
DATA = {"actor": ACTOR, "method": "passkey"}


def in_headers(**extensions: str) -> Entry:
    """Return what the event becomes in binary mode."""
    headers = {"specversion": "1.0", "id": "evt-1", "source": "/hub", "type": f"{LOGIN}.v1"}
    headers |= {"time": TIME, "orgid": "acme", **extensions}
    named = ((f"ce_{name}", text.encode()) for name, text in headers.items())
    entry: Entry = end_of(json.dumps(DATA).encode(), "raw.identity", *named)
    return entry


@pytest.mark.parametrize(
    ("given", "as_text"), [(5, "5"), (-7, "-7"), (True, "true"), (False, "false"), ("x", "x")]
)
def test_attribute_is_the_same_in_a_header(given: Any, as_text: str) -> None:
    """What is a number or true in JSON can only be text in a header."""
    bare = end_of(encoded(LOGIN, DATA, sequence=given), "raw.identity")
    assert same_fact(bare, in_headers(sequence=as_text))
    assert not same_fact(bare, in_headers(sequence=f"{as_text}0"))
    assert not same_fact(bare, in_headers())


def test_a_trace_is_not_what_happened() -> None:
    """A repetition within another trace, with what its vendor keeps of that, is the same fact."""
    parent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    first = end_of(encoded(LOGIN, DATA), "raw.identity")
    again = end_of(encoded(LOGIN, DATA, traceparent=parent, tracestate="hub=1"), "raw.identity")
    other = end_of(encoded(LOGIN, DATA, tracestate="hub=2", sequence=5), "raw.identity")
    assert first["raw_sha256"] != again["raw_sha256"]
    assert same_fact(first, again)
    assert not same_fact(again, other)


@pytest.mark.parametrize("searched", ["action:user.*", {"actor": "ada"}, None, 7])
def test_search_is_told_in_any_form(searched: Any) -> None:
    """The contract has no type for a filter: it is kept as it is told."""
    data = {"actor": ACTOR, "filter": searched, "rows": 7}
    entry = end_of(encoded("audit.viewed", data), "raw.audit")
    assert entry["details"].get("extra", {}).get("filter") == searched
