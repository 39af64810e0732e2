"""Dead letters: the original bytes, the headers in order, the cuts."""

from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from processor.emit.dead_letter import DETAIL_BYTES_MAX, VALUE_BYTES_MAX, outgoing
from processor.emit.producer import BATCH_BYTES_MAX
from processor.emit.route import Header, Outgoing
from processor.emit.topics import DEAD_LETTER_ROOM_BYTES, RAW_BYTES_MAX
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


def test_key_and_headers_up_to_the_bounds_are_kept_as_they_came() -> None:
    """Bounds are of what fits: a key of 64 KiB, and 256 KiB of headers with their lengths."""
    headers = (("h" * 6, b"x" * (128 * 1024 - 16)), ("h" * 6, b"x" * (128 * 1024 - 16)))
    sent = outgoing(letter(key=b"k" * 65_536, headers=headers))
    assert sent.key == b"k" * 65_536
    assert tuple(sent.headers[:3]) == (*headers, ("dl_stage", b"normalize"))
    assert header(sent, "dl_truncated") is None


def test_long_key_is_cut_and_says_so() -> None:
    """The header names the key, and the length that it had."""
    sent = outgoing(letter(key=b"k" * 65_537))
    assert sent.key == b"k" * 65_536
    assert sent.headers[-1] == ("dl_truncated", b"key=65537")


def test_headers_end_where_they_would_be_too_many() -> None:
    """None is cut in two: the first that has no room ends them, and their number is said."""
    large = ("b", b"x" * (256 * 1024))
    sent = outgoing(letter(headers=(*HEADERS, large, ("c", b"3"))))
    assert tuple(sent.headers[:5]) == (*HEADERS, ("dl_stage", b"normalize"))
    assert sent.headers[-1] == ("dl_truncated", b"headers=6")


@pytest.mark.parametrize("headers", [[("", None)] * 500_000, [("h" * 300, b"x" * 9)] * 5_000])
def test_largest_dead_letter_fits_on_its_topic(headers: list[Header]) -> None:
    """Whatever a compressed record held: one that is refused would hold its lane up for ever."""
    much = b"x" * 5_000_000
    sent = outgoing(letter("№" * 9_000, key=much, value=much, headers=headers, topic="t" * 249))
    said = b"5000000,key=5000000,headers=%d" % len(headers)
    assert sent.headers[-1] == ("dl_truncated", said)
    size = DefaultRecordBatchBuilder.estimate_size_in_bytes(sent.key, sent.value, sent.headers)
    assert size < RAW_BYTES_MAX + DEAD_LETTER_ROOM_BYTES
    assert size < BATCH_BYTES_MAX


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
