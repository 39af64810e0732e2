"""Poison, and events of other products, all the way through decode and normalize."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from processor.ingest.decode import decode
from processor.normalize import normalize
from processor.normalize.redact import redact_text
from schemas.entry import render
from schemas.raw.envelope import Event
from schemas.record import RawRecord
from schemas.rejection import Rejection
from tests.unit.normalized import DATA, LIMITS, RECORDED_MS, encoded
from tests.unit.test_realdata import FILES, values

ODD = "@odd@"


def end_with(odd: bytes, *, name: str = "identity.login.succeeded") -> Any:
    """Return what becomes of a right event with these bytes as an unknown value in its data."""
    data = {"actor": {"type": "system"}, **DATA[name], "more": ODD}
    return end_of_bytes(encoded(name, data).replace(json.dumps(ODD).encode(), odd))


def end_of_bytes(value: bytes | None) -> Any:
    """Return what becomes of a record on the identity topic."""
    event = decode(RawRecord("raw.identity", 3, 41, RECORDED_MS, None, value), "raw.redrive")
    return normalize(event, LIMITS) if isinstance(event, Event) else event


@pytest.mark.parametrize(
    ("odd", "kept", "sanitized"),
    [
        (rb'"a\u0000b"', "a\ufffdb", ["$.data.more"]),
        (rb'{"a\u0001":["\u001f"]}', {"a\ufffd": ["\ufffd"]}, 2),
        (rb'"\ud800"', "\ufffd", ["$.data.more"]),
        (rb'"\ud83d\ude00"', "\U0001f600", []),
        (b'"a\x00\x07b"', "a\ufffd\ufffdb", ["$.data.more"]),
        (b'"\xff"', "\ufffd", ["$"]),
        (b'"\t\\t\r\n"', "\t\t\r\n", []),
        (b"12345678901234567890123", "12345678901234567890123", []),
        (b"18446744073709551616", "18446744073709551616", []),
        (b"1e308", "1e+308", []),
        (b'{"a":1,"a":2}', {"a": 2}, []),
        (b'"\xef\xbb\xbf"', "\ufeff", []),
    ],
)
def test_odd_values_are_kept_in_order(odd: bytes, kept: Any, sanitized: Any) -> None:
    """A bad character never keeps an event out of the log; a large number is kept exactly."""
    entry = end_with(odd)
    assert entry["details"]["extra"]["more"] == kept
    listed = entry["details"].get("sanitized", [])
    assert (len(listed) if isinstance(sanitized, int) else listed) == sanitized
    assert json.loads(render(entry)) == entry


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        *((b"NaN", "invalid_json"), (b"-Infinity", "invalid_json"), (b"1e400", "invalid_json")),
        *((b"01", "invalid_json"), (b"'a'", "invalid_json"), (b'"a', "invalid_json")),
        (b'{"a":' * 250 + b"1" + b"}" * 250, "too_deep"),
        (b"[" * 100_000 + b"]" * 100_000, "too_deep"),
        (b'"' + b"x" * 300_000 + b'"', "too_large"),
    ],
)
def test_what_is_no_json_dies(odd: bytes, reason: str) -> None:
    """With a reason from the closed set."""
    assert end_with(odd).reason == reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        *((None, "empty_value"), (b"", "empty_value"), (b"null", "not_an_object")),
        *((b"\xef\xbb\xbf{}", "invalid_json"), (b"{}x", "invalid_json"), (b"\xff", "invalid_json")),
        *((b"{}", "invalid_envelope"), (b"[]", "not_an_object"), (b"\x1f\x8b\x08", "invalid_json")),
    ],
)
def test_what_is_no_event_dies(value: bytes | None, reason: str) -> None:
    """Tombstones, byte order marks, trailing and compressed bytes."""
    assert end_of_bytes(value).reason == reason


def test_a_hundred_thousand_keys_are_no_trouble() -> None:
    """They fit into a record, and what is kept of them into an entry."""
    members = ",".join(f'"{n:x}":1' for n in range(27_000)).encode()
    entry = end_with(b"{" + members + b"}")
    assert entry["details"] == {"truncated": ["$.details.extra"]}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_foreign_events_may_stand_in_ours(path: Path) -> None:
    """As an unknown field, and as that which a user was changed from: an entry in order."""
    for value in values(path)[:40]:
        event = json.loads(value)
        data = {"actor": {"type": "system"}, "user": {"id": "u-1"}, "more": event}
        data |= {"before": event if isinstance(event, dict) else {}, "after": {}}
        if len(json.dumps(data)) > 250_000:
            continue
        entry = end_of_bytes(encoded("identity.user.updated", data))
        assert not isinstance(entry, Rejection), entry
        details = entry["details"]
        assert len(orjson.dumps(details)) <= 16 * 1024
        assert json.loads(render(entry)) == entry
        for text in texts(details.get("extra"), "extra"):
            assert redact_text(text) == text
        if "truncated" not in details:
            assert details["old"].keys() == {k for k, v in event.items() if v is not None}


def texts(tree: Any, key: str) -> list[str]:
    """Return the texts of a tree that do not stand under the key of a reference."""
    if isinstance(tree, dict):
        return [text for name, member in tree.items() for text in texts(member, name)]
    if isinstance(tree, list):
        return [text for member in tree for text in texts(member, key)]
    reference = key == "id" or key.endswith(("_id", "Id"))
    return [tree] if isinstance(tree, str) and not reference else []
