"""Decode: content modes, every reason in its order, and what passes."""

import json
from typing import Any

import pytest

from processor.ingest.decode import decode
from processor.ingest.document import PARSER_DEPTH_MAX
from schemas.raw.envelope import Event, Origin
from schemas.rejection import Reason, Rejection
from tests.unit.raw_record import (
    DATA,
    STRUCTURED,
    TRACE,
    bare,
    binary,
    deep,
    event_of,
    reason_of,
    record,
)

# --- content modes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (STRUCTURED,),
        (("Content-Type", b"Application/CloudEvents+JSON; charset=UTF-8"),),
        (("content-type", b"text/plain"),),
        (STRUCTURED, ("ce_id", b"another")),
        (("other", b"\xff"), ("traceparent", b"junk")),
    ],
)
def test_bare_and_structured_records_are_the_same_event(headers: tuple[Any, ...]) -> None:
    """The value is the whole event, whatever else the headers say."""
    given = record(bare(), *headers)
    assert decode(given, "raw.redrive") == Event(
        record=given,
        origin=Origin("raw.identity", 3, 41, 1_795_428_000_000),
        type="identity.login.succeeded.v1",
        source="/hub/identity",
        id="evt-1",
        org_id="acme",
        time="2026-11-23T10:00:00Z",
        data=DATA,
        subject=None,
        traceparent=None,
        extensions={},
        sanitized=(),
    )


@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title])
def test_binary_record_is_the_same_event(spell: Any) -> None:
    """Attributes stand in headers whose names may be in any case; the value is the data."""
    headers = [(spell(name), value) for name, value in binary(hubregion="eu", subject="s")]
    event = event_of(json.dumps(DATA).encode(), *headers, ("content-type", b"application/json"))
    assert event[2:] == (
        *("identity.login.succeeded.v1", "/hub/identity", "evt-1", "acme"),
        *("2026-11-23T10:00:00Z", DATA, "s", None, {"hubregion": "eu"}, ()),
    )


def test_last_header_of_a_name_counts() -> None:
    """A repeated header replaces the one before."""
    assert event_of(b"{}", *binary(), ("CE_ID", b"evt-2")).id == "evt-2"
    assert event_of(bare(), ("content-type", b"application/cloudevents-batch+json"), STRUCTURED)


def test_header_without_value_is_absent() -> None:
    """A null header is as if it were not there, also one that would decide the mode."""
    assert event_of(b"{}", *binary(), ("ce_id", None), ("content-type", None)).id is None


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/cloudevents",
        b"application/cloudevents-batch+json",
        b"APPLICATION/CLOUDEVENTS+AVRO; charset=utf-8",
        b" application/cloudevents+xml",
    ],
)
def test_other_cloudevents_formats_are_not_supported(content_type: bytes) -> None:
    """That is decided before the value is read: it is no JSON by declaration."""
    for value in (bare(), b"\x00Obj\x01", b"[]"):
        reason = reason_of(value, ("content-type", content_type), *binary())
        assert reason is Reason.UNSUPPORTED_CONTENT_TYPE


# --- reasons ---------------------------------------------------------------------------------

INVALID_JSON = [
    b" ",
    b"\x00\x01\x02",
    b"{",
    b'{"a":1',
    b'{"a":1,}',
    b"{'a':1}",
    b"{}{}",
    b"{} x",
    b"{}\x00",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b'{"a":01}',
    b'{"a":NaN}',
    b'{"a":-Infinity}',
    b'{"a":1e400}',
    b'{"a":[{"b":-1E+400}]}',
    b'{"a":' + b"9" * 400 + b".0}",
    b'{"a":' + b"9" * 4_301 + b"}",
    b'{"a":"\\x"}',
    b'{"a":"\\u12"}',
    b"\xff",
    b"{" * 100_000,
    b'{"a":' * 5_000 + b"}" * 5_000,
    b'{"a":' * 5_000 + b"1e999" + b"}" * 5_000,
    b'{"a":' * 160 + b"NaN" + b"}" * 160,
    b'{"a":' * 40 + b"1e400" + b"}" * 40,
    b"[" * 300 + b"]" * 301,
    b"[" * 300,
    b'{"a":' * 300 + b"1",
    b"[" * 300 + b"]" * 300 + b" x",
]


@pytest.mark.parametrize("value", INVALID_JSON, ids=lambda value: repr(value[:24]))
def test_what_is_no_json_is_rejected(value: bytes) -> None:
    """NaN, overflow, BOM, trailing bytes and broken nesting are no JSON."""
    assert reason_of(value) is Reason.INVALID_JSON
    assert reason_of(value, *binary()) is Reason.INVALID_JSON


@pytest.mark.parametrize(
    "value",
    [
        b"[1]",
        b'"text"',
        b"null",
        b"7",
        b"1.5",
        b"true",
        b" \n[]",
        b"[" * 40 + b"]" * 40,
        b"[" * 9000 + b"]" * 9000,
        b'"\xff"',
    ],
    ids=lambda value: repr(value[:24]),
)
def test_json_that_is_no_object_is_rejected(value: bytes) -> None:
    """Only an object is an event, and only an object is the data of a binary one."""
    assert reason_of(value) is Reason.NOT_AN_OBJECT
    assert reason_of(value, *binary()) is Reason.NOT_AN_OBJECT


def test_a_number_may_be_as_long_as_python_reads_it() -> None:
    """The longest that is not out of range, with and without something to be mended beside it."""
    number = 10**4_299
    for value in (bare(data={"n": number}), bare(data={"n": number, "odd": "\0"})):
        assert event_of(value).data["n"] == number


@pytest.mark.parametrize("levels", [33, 34, PARSER_DEPTH_MAX, 199, 201, 1_500, 20_000])
def test_nesting_over_32_is_too_deep(levels: int) -> None:
    """However deep it goes, objects or lists."""
    assert reason_of(deep(levels)) is Reason.TOO_DEEP
    assert reason_of(deep(levels - 1, inner=b"[]")) is Reason.TOO_DEEP


def test_nesting_of_32_passes() -> None:
    """The root is 1, so an event may nest 32 deep."""
    assert event_of(deep(32)).data["actor"] == {}
    assert event_of(deep(31, inner=b"[]")).data["actor"] == {}
    assert reason_of(b'{"a":' * 33 + b"1" + b"}" * 33, *binary()) is Reason.TOO_DEEP
    assert event_of(b'{"a":' * 32 + b"1" + b"}" * 32, *binary()).data


def test_many_brackets_are_not_deep() -> None:
    """A wide event passes, by the fast path and by the slow one, and so do brackets in strings."""
    wide: list[list[int]] = [[]] * 500
    assert event_of(bare(data={"wide": wide})).data == {"wide": wide}
    assert event_of(bare(data={"wide": wide, "odd": "\0"})).data["wide"] == wide
    assert event_of(bare(data={"text": "{[" * 500 + "\b"})).data["text"].startswith("{[{[")
    mixed: list[Any] = [[], {}, [[], 1], ["x", 2], [{"a": []}], [None, {"b": 3, "c": "y"}]] * 60
    assert event_of(bare(data={"wide": mixed, "odd": "\0"})).data["wide"] == mixed


def test_empty_values_are_rejected() -> None:
    """A tombstone and no bytes at all are no event, whatever the headers say."""
    for value in (None, b""):
        assert reason_of(value) is Reason.EMPTY_VALUE
        assert reason_of(value, ("content-type", b"application/cloudevents+avro")) is (
            Reason.EMPTY_VALUE
        )


def test_value_of_256_kib_passes_and_one_byte_more_does_not() -> None:
    """The bound is one of the value, before anything of it is read."""
    event = bare()
    assert event_of(event + b" " * (262_144 - len(event)))
    assert reason_of(event + b" " * (262_145 - len(event))) is Reason.TOO_LARGE
    assert reason_of(b"\xff" * 262_145, ("content-type", b"application/cloudevents")) is (
        Reason.TOO_LARGE
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"specversion": ...},
        {"specversion": None},
        {"source": ...},
        {"source": ""},
        {"source": "s" * 257},
        {"source": ["/hub"]},
        {"type": ...},
        {"type": None},
        {"type": ""},
        {"type": 7},
        {"id": ""},
        {"id": "i" * 257},
        {"id": 7},
        {"id": True},
        {"subject": {"a": 1}},
        {"source": "/hub/\x01identity"},
        {"id": "a\0b"},
        {"type": "identity.login.succeeded.v1\x1f"},
        {"time": "2026-11-23T10:00:00Z\0"},
        {"subject": "\ud800"},
        {"specversion": "1.0\0"},
        {"hubregion": "e\bu"},
        {"hubregion": {"deep": ["\f"]}},
        {"hub\0region": "eu"},
        {"data\0": {}},
        # Decided before the two reasons that follow.
        {"id": "", "specversion": "0.3"},
        {"id": "", "datacontenttype": "text/plain"},
        {"subject": 7, "specversion": 1.0, "datacontenttype": 7},
        {"specversion": None, "datacontenttype": 7},
    ],
    ids=repr,
)
def test_wrong_envelope_is_rejected(changed: dict[str, Any]) -> None:
    """Absent or ill-typed attributes, and bad characters in them, are an invalid envelope."""
    assert reason_of(bare(**changed)) is Reason.INVALID_ENVELOPE


@pytest.mark.parametrize(
    "header",
    [
        ("ce_source", b"\xff\xfe"),
        ("ce_later", b"\x80"),
        ("ce_id", b"a\x00b"),
        ("ce_id", b""),
        ("ce_source", None),
        ("ce_subject", b"\x1b[31m"),
        ("ce_later\x01", b"x"),
    ],
    ids=repr,
)
def test_wrong_header_is_an_invalid_envelope(header: tuple[str, bytes | None]) -> None:
    """In binary mode an attribute has to be UTF-8 without control characters."""
    assert reason_of(b"{}", *binary(), header) is Reason.INVALID_ENVELOPE


def test_detail_names_the_header_in_ascii() -> None:
    """The name is the sender's: it is escaped and cut, for a detail is stored as text."""
    rejection = decode(record(b"{}", *binary(), ("ce_n\0é" + "x" * 999, b"\xff")), "raw.redrive")
    assert isinstance(rejection, Rejection)
    assert rejection.detail == r"'ce_n\x00\xe9" + "x" * 253 + "': expected UTF-8"


def test_source_and_id_may_have_256_characters() -> None:
    """Characters, not bytes."""
    event = event_of(bare(id="é" * 256, source="№" * 256))
    assert (len(event.id or ""), len(event.source)) == (256, 256)


@pytest.mark.parametrize("version", ["0.3", "1.1", "", "1", 1.0, 1, 0, True, [], ["1.0"], {}])
def test_other_specversions_are_not_supported(version: Any) -> None:
    """Whatever it is that is no string; decided before the content type."""
    for content_type in ("text/plain", 7):
        value = bare(specversion=version, datacontenttype=content_type)
        assert reason_of(value) is Reason.UNSUPPORTED_SPECVERSION
    if isinstance(version, str):
        assert reason_of(b"{}", *binary(specversion=version)) is Reason.UNSUPPORTED_SPECVERSION


def test_no_attribute_is_longer_than_a_value_may_be() -> None:
    """A header is no part of the value: what is too long is the envelope's matter."""
    for name in ("specversion", "subject", "type", "datacontenttype"):
        assert reason_of(b"{}", *binary(**{name: "x" * 262_145})) is Reason.INVALID_ENVELOPE
    long = "application/json;" + "x" * (262_144 - len("application/json;"))
    assert event_of(b"{}", *binary(datacontenttype=long))


@pytest.mark.parametrize(
    "changed",
    [
        {"datacontenttype": "application/xml"},
        {"datacontenttype": ""},
        {"data_base64": "AAAA"},
        {"data_base64": 7},
        {"datacontenttype": "application/jsonx"},
        {"datacontenttype": 7},
        {"datacontenttype": False},
        {"datacontenttype": []},
        {"datacontenttype": ["application/json"]},
        {"datacontenttype": {}},
    ],
    ids=repr,
)
def test_data_that_is_no_json_is_not_supported(changed: dict[str, Any]) -> None:
    """Another declared type, also one that is no string, or data in base64."""
    assert reason_of(bare(**changed)) is Reason.UNSUPPORTED_CONTENT_TYPE


def test_content_type_header_is_the_data_s_in_binary_mode() -> None:
    """It is what datacontenttype says elsewhere; parameters are ignored in both."""
    assert reason_of(b"{}", *binary(), ("content-type", b"text/xml")) is (
        Reason.UNSUPPORTED_CONTENT_TYPE
    )
    assert event_of(b"{}", *binary(), ("content-type", b"application/json; charset=utf-8"))
    assert event_of(bare(datacontenttype="Application/JSON;charset=utf-8"))


def test_detail_never_holds_the_value() -> None:
    """The detail of a rejection names the place and the expectation alone."""
    for value in (bare(id="secret" * 90), bare(specversion="secret"), b'{"secret"', b"[\x00secret"):
        rejection = decode(record(value), "raw.redrive")
        assert isinstance(rejection, Rejection)
        assert rejection.detail
        assert "secret" not in rejection.detail


# --- what passes -----------------------------------------------------------------------------


def test_null_is_absent() -> None:
    """An attribute that is null is as if it were not there."""
    event = event_of(
        bare(id=None, orgid=None, time=None, subject=None, datacontenttype=None)[:-1]
        + b',"data_base64":null,"traceparent":null,"hubregion":null,"data":null}',
        ("traceparent", TRACE.encode()),
    )
    assert event[4:] == (None, None, None, None, None, TRACE, {}, ())


@pytest.mark.parametrize("odd", [7, 1.5, True, [], {"a": 1}, "", "acme.eu"])
def test_organization_and_time_are_judged_later(odd: Any) -> None:
    """Whatever their type, they are handed on as they came."""
    event = event_of(bare(orgid=odd, time=odd))
    assert (event.org_id, event.time) == (odd, odd)


def test_data_is_judged_later() -> None:
    """Data that is absent or no object is handed on."""
    assert event_of(bare(data=...)).data is None
    assert event_of(bare(data=[1])).data == [1]


def test_other_attributes_are_extensions() -> None:
    """They keep their JSON values."""
    more = {"dataschema": "urn:x", "hubregion": "eu", "count": 7, "flag": False, "odd": {"a": [1]}}
    assert event_of(bare(**more)).extensions == more


def test_last_of_duplicate_keys_counts() -> None:
    """On the fast path and on the slow one."""
    twice = bare()[:-1] + b',"id":"evt-2","data":{"a":1,"a":2}}'
    assert (event_of(twice).id, event_of(twice).data) == ("evt-2", {"a": 2})
    slow = twice.replace(b'"a":1', b'"b":"\\u0000","a":1')
    assert (event_of(slow).id, event_of(slow).data) == ("evt-2", {"b": "\ufffd", "a": 2})


@pytest.mark.parametrize("odd", ["", "\0"])
def test_integers_stay_exact(odd: str) -> None:
    """Also those that no double holds, on the fast path and on the slow one."""
    numbers = [12_345_678_901_234_567_890_123, -(2**64), 10**400, 0, -1]
    assert event_of(bare(data={"n": numbers, "odd": odd})).data["n"] == numbers


def test_every_decode_reason_is_reached() -> None:
    """The eight reasons of this stage, each by an example, in the order of the contract."""
    examples: list[tuple[bytes | None, Reason]] = [
        (None, Reason.EMPTY_VALUE),
        (b"x" * 300_000, Reason.TOO_LARGE),
        (b"x", Reason.INVALID_JSON),
        (b"[]", Reason.NOT_AN_OBJECT),
        (deep(33), Reason.TOO_DEEP),
        (b"{}", Reason.INVALID_ENVELOPE),
        (bare(specversion="0.3"), Reason.UNSUPPORTED_SPECVERSION),
        (bare(data_base64="AA"), Reason.UNSUPPORTED_CONTENT_TYPE),
    ]
    assert [reason_of(value) for value, _ in examples] == [reason for _, reason in examples]
    assert [reason for _, reason in examples] == list(Reason)[:8]
