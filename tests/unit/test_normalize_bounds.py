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


def updated(after: dict[str, Any], **more: Any) -> Entry:
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
    value = json.dumps(event).encode()
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
