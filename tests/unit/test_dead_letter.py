"""Dead letters: the original bytes, the headers in order, the cuts."""

from typing import Any

import pytest

from processor.emit.dead_letter import DETAIL_BYTES_MAX, VALUE_BYTES_MAX, outgoing
from processor.emit.route import Outgoing
from schemas.record import RawRecord
from schemas.rejection import DeadLetter, Reason, Rejection, Stage

HEADERS = (("ce_id", b"\xff"), ("dl_stage", b"old"), ("Odd", None), ("ce_id", b"2"))


def letter(detail: str = "orgid: expected a string", **changed: Any) -> DeadLetter:
    """Return a rejected record with some of its coordinates changed."""
    record = RawRecord("raw.identity", 3, 41, 1_795_428_000_000, b"\x00key", b"{\xff", HEADERS)
    rejection = Rejection(Stage.NORMALIZE, Reason.INVALID_ORG, detail)
    return DeadLetter(record._replace(**changed), rejection, None)


def header(sent: Outgoing, name: str) -> bytes | None:
    """Return the last header of a name, which is the one that counts."""
    return dict(sent.headers).get(name)


def test_dead_letter_whole() -> None:
    """Key and value as they came, the original headers in order, then what was wrong."""
    assert outgoing(letter()) == Outgoing(
        topic="hub.audit.dead_letters",
        partition=3,
        key=b"\x00key",
        value=b"{\xff",
        headers=[
            ("ce_id", b"\xff"),
            ("dl_stage", b"old"),
            ("Odd", None),
            ("ce_id", b"2"),
            ("dl_stage", b"normalize"),
            ("dl_reason", b"invalid_org"),
            ("dl_detail", b"orgid: expected a string"),
            ("dl_topic", b"raw.identity"),
            ("dl_partition", b"3"),
            ("dl_offset", b"41"),
            ("dl_timestamp", b"1795428000000"),
        ],
    )


def test_topic_can_be_another() -> None:
    """The topic of the dead letters is a setting."""
    assert outgoing(letter(), "elsewhere").topic == "elsewhere"


@pytest.mark.parametrize("value", [None, b"", b"x" * VALUE_BYTES_MAX])
def test_value_is_kept_as_it_came(value: bytes | None) -> None:
    """A tombstone stays one, and up to the bound nothing is cut."""
    sent = outgoing(letter(value=value, key=None))
    assert (sent.value, sent.key) == (value, None)
    assert header(sent, "dl_truncated") is None


def test_long_value_is_cut_and_says_so() -> None:
    """The header holds the length that it had."""
    sent = outgoing(letter(value=b"x" * (VALUE_BYTES_MAX + 1)))
    assert sent.value == b"x" * 524_288
    assert sent.headers[-1] == ("dl_truncated", b"524289")


@pytest.mark.parametrize(
    ("detail", "escaped"),
    [
        ("", b""),
        ("$.data.naïve: expected a string", rb"$.data.na\xefve: expected a string"),
        ("№\n\0\ud800", rb"\u2116\n\x00\ud800"),
        ("x" * 2_000, b"x" * DETAIL_BYTES_MAX),
        ("\U0001f600" * 2_000, (rb"\U0001f600" * 103)[:DETAIL_BYTES_MAX]),
    ],
)
def test_detail_is_short_ascii(detail: str, escaped: bytes) -> None:
    """Whatever a path holds, the header is readable and at most 1 KiB."""
    assert header(outgoing(letter(detail)), "dl_detail") == escaped
