"""Decode: bad characters, trace contexts, redriven records."""

import pytest

from processor.ingest.decode import decode, redriven
from processor.ingest.document import SANITIZED_PATHS_MAX
from schemas.raw.envelope import Event, Origin
from schemas.rejection import Reason, Rejection
from tests.unit.raw_record import TRACE, Headers, bare, binary, event_of, reason_of, record

# --- characters ------------------------------------------------------------------------------


NAME = ("$.data.name",)
C0_ESCAPED = "".join(f"\\u{code:04x}" for code in range(32)).encode()


@pytest.mark.parametrize(
    ("member", "text", "paths"),
    [
        (b'"a\\u0000b"', "a\ufffdb", NAME),
        (b'"a\x00b"', "a\ufffdb", NAME),
        (b'"a\\bb\\f"', "a\ufffdb\ufffd", NAME),
        (b'"\\u001B[1m"', "\ufffd[1m", NAME),
        (b'"\\ud800"', "\ufffd", NAME),
        (b'"\\udcff\\ud83d\\ude00"', "\ufffd\U0001f600", NAME),
        (
            b'"' + C0_ESCAPED + b'"',
            "\ufffd" * 9 + "\t\n" + "\ufffd" * 2 + "\r" + "\ufffd" * 18,
            NAME,
        ),
        (b'"\\u000b"', "\ufffd", NAME),
        (b'"\x0b"', "\ufffd", NAME),
        (b'"a\xffb"', "a\ufffdb", ("$",)),
        (b'"\xe2\x82 \xed\xa0\x80"', "\ufffd \ufffd\ufffd\ufffd", ("$",)),
        (b'"\xff\\u0000"', "\ufffd\ufffd", ("$", "$.data.name")),
        (b'"tab\tcr\rlf\n \\t\\n\\r \x7f\xc2\x85"', "tab\tcr\rlf\n \t\n\r \x7f\x85", ()),
        (b'"sent \xef\xbf\xbd \\\\u0000 \\\\b"', "sent \ufffd \\u0000 \\b", ()),
    ],
)
def test_bad_characters_of_data_are_replaced(
    member: bytes, text: str, paths: tuple[str, ...]
) -> None:
    """They become U+FFFD and their path is noted; it is the same in every content mode."""
    data = b'{"name":' + member + b',"n":1}'
    value = bare(data="@").replace(b'"@"', data)
    for event in (event_of(value), event_of(data, *binary())):
        assert event.data == {"name": text, "n": 1}
        assert event.sanitized == paths


def test_bad_characters_are_found_everywhere_in_data() -> None:
    """In keys, in lists, in what is nested; each place is noted once."""
    event = event_of(bare(data={"a\0": {"b\x01": ["x", "\x02", {"c": "\x03"}]}, "s\0": "\0"}))
    assert event.data == {
        "a\ufffd": {"b\ufffd": ["x", "\ufffd", {"c": "\ufffd"}]},
        "s\ufffd": "\ufffd",
    }
    assert event.sanitized == (
        *("$.data.a\ufffd", "$.data.a\ufffd.b\ufffd", "$.data.a\ufffd.b\ufffd[1]"),
        *("$.data.a\ufffd.b\ufffd[2].c", "$.data.s\ufffd"),
    )
    assert event_of(bare(data="\0")).data == "\ufffd"


def test_list_of_bad_characters_is_bounded() -> None:
    """All are replaced, so many are noted."""
    event = event_of(bare(data={f"k{i}": "\0" for i in range(200)} | {"l" * 5_000: "\0"}))
    assert set(event.data.values()) == {"\ufffd"}
    assert len(event.sanitized) == SANITIZED_PATHS_MAX
    long = event_of(bare(data={"l" * 5_000: "\0"})).sanitized[0]
    assert len(long) == 256


@pytest.mark.parametrize("bad", [b"ac\\u0000me", b"ac\\ud800me", b"ac\xffme", b"ac\x01me"])
def test_bad_character_in_the_organization_is_judged_later(bad: bytes) -> None:
    """It is handed on with U+FFFD in its place, which no organization may have."""
    event = event_of(bare().replace(b'"acme"', b'"' + bad + b'"'))
    assert event.org_id == "ac\ufffdme"
    assert event.sanitized == (("$",) if b"\xff" in bad else ())


def test_bad_bytes_in_an_attribute_are_an_invalid_envelope() -> None:
    """Bytes that are no UTF-8 count as bad characters of the attribute they stand in."""
    assert reason_of(bare().replace(b"evt-1", b"evt-\xff")) is Reason.INVALID_ENVELOPE
    assert event_of(bare(id="evt-\ufffd", data={"a": "@"}).replace(b"@", b"\xff")).id == (
        "evt-\ufffd"
    )


@pytest.mark.parametrize("bad", [b"ac\x01me", b"ac\0me"])
def test_bad_character_in_the_organization_s_header_is_judged_later(bad: bytes) -> None:
    """In binary mode it is the same as in the other two."""
    assert event_of(b"{}", *binary(), ("ce_orgid", bad)).org_id == "ac\ufffdme"
    assert event_of(b"{}", *binary(), ("ce_traceparent", bad)).traceparent is None


# --- trace context ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (TRACE, TRACE),
        (f"cc{TRACE[2:]}", f"cc{TRACE[2:]}"),
        (f"cc{TRACE[2:]}-what-the-future\nbrings", f"cc{TRACE[2:]}"),
        (f"{TRACE}-x", None),
        (f"cc{TRACE[2:]}x", None),
        (f"ff{TRACE[2:]}", None),
        (TRACE.upper(), None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01", None),
        (TRACE[:-1], None),
        (TRACE + "\n", None),
        ("", None),
    ],
)
def test_invalid_trace_context_is_dropped(given: str, kept: str | None) -> None:
    """In an attribute as in a Kafka header."""
    assert event_of(bare(traceparent=given)).traceparent == kept
    assert event_of(bare(), ("TraceParent", given.encode())).traceparent == kept
    assert event_of(b"{}", *binary(traceparent=given)).traceparent == kept


def test_attribute_goes_before_the_kafka_header() -> None:
    """The header counts when the attribute is absent, not when it is invalid."""
    header = ("traceparent", TRACE.encode())
    assert event_of(bare(traceparent=f"cc{TRACE[2:]}"), header).traceparent == f"cc{TRACE[2:]}"
    for invalid in ("junk", 7, ["x"], "\0", {"a": "\ud800"}):
        event = event_of(bare(traceparent=invalid), header)
        assert (event.traceparent, event.extensions, event.sanitized) == (None, {}, ())
    assert event_of(bare(), ("traceparent", b"\xff")).traceparent is None


# --- redriven records ------------------------------------------------------------------------

ORIGINAL: Headers = [
    ("x-original-topic", b"raw.billing"),
    ("X-Original-Partition", b"7"),
    ("x-original-offset", b"9223372036854775807"),
    ("x-original-timestamp", b"1795000000000"),
]


def test_redriven_record_has_the_origin_of_its_headers() -> None:
    """On the redrive topic alone; its own coordinates stay in the record."""
    again = record(bare(), *ORIGINAL, topic="raw.redrive")
    event = decode(again, "raw.redrive")
    assert isinstance(event, Event)
    assert event.origin == Origin("raw.billing", 7, 2**63 - 1, 1_795_000_000_000)
    assert event.record is again
    elsewhere = decode(record(bare(), *ORIGINAL), "raw.redrive")
    assert isinstance(elsewhere, Event)
    assert elsewhere.origin == Origin("raw.identity", 3, 41, 1_795_428_000_000)


def test_last_original_header_counts() -> None:
    """A record that is redriven again carries the headers twice."""
    again = record(bare(), *ORIGINAL, ("x-original-offset", b"5"), topic="raw.redrive")
    event = decode(again, "raw.redrive")
    assert isinstance(event, Event)
    assert event.origin.offset == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, None) for name, _ in ORIGINAL]
    + [("x-original-topic", b""), ("x-original-topic", b"\xff"), ("x-original-topic", b"a\0")]
    + [("x-original-partition", b"2147483648"), ("x-original-partition", b"-1")]
    + [("x-original-offset", b"9223372036854775808"), ("x-original-offset", b"1e3")]
    + [("x-original-timestamp", b"253402300800000"), ("x-original-timestamp", b" 7")]
    + [("x-original-offset", "٣".encode()), ("x-original-offset", b"9" * 5_000)],
)
def test_redriven_record_without_its_origin_is_rejected(name: str, value: bytes | None) -> None:
    """Without the original's coordinates nothing can be said of its topic, time and identity."""
    headers = [*ORIGINAL, (name, value)]
    rejection = decode(record(bare(), *headers, topic="raw.redrive"), "raw.redrive")
    assert isinstance(rejection, Rejection)
    assert rejection.reason is Reason.INVALID_ENVELOPE
    assert rejection.detail.startswith(f"{name.lower()}: ")


def test_redriven_record_settles_its_first_and_its_last_dead_letter() -> None:
    """Each as far as it is named: records of before were sent without the last."""
    last: Headers = [
        ("x-redriven-topic", b"raw.redrive"),
        ("x-redriven-partition", b"7"),
        ("x-redriven-offset", b"5"),
    ]
    assert list(redriven(ORIGINAL)) == [("raw.billing", 7, 2**63 - 1)]
    assert list(redriven(ORIGINAL + last)) == [("raw.billing", 7, 2**63 - 1), ("raw.redrive", 7, 5)]
    assert list(redriven(last)) == [("raw.redrive", 7, 5)]
    assert list(redriven([*last, ("x-redriven-offset", b"-1")])) == []
