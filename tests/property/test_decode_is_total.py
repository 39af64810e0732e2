"""Decode on anything: it never raises, says the same thing twice, and agrees with itself."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processor.ingest.decode import decode
from processor.ingest.document import Flawed, nesting, parse
from schemas.raw.envelope import Event
from schemas.record import RawRecord
from schemas.rejection import Reason, Rejection, Stage

DECODE_REASONS = frozenset(list(Reason)[:8])

TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ATTRIBUTES = st.fixed_dictionaries(
    {
        "specversion": st.sampled_from(["1.0", "0.3"]) | SCALARS,
        "source": st.just("/hub/identity") | SCALARS,
        "type": st.just("identity.login.succeeded.v1") | SCALARS,
    },
    optional={
        "id": st.just("evt-1") | SCALARS,
        "time": st.just("2026-11-23T10:00:00Z") | SCALARS,
        "orgid": st.just("acme") | SCALARS,
        "subject": SCALARS,
        "datacontenttype": st.just("application/json") | SCALARS,
        "traceparent": SCALARS,
        "data": TREES,
        "hubregion": TREES,
    },
)
RIGHT = {"specversion": "1.0", "source": "/hub/identity", "type": "identity.login.succeeded.v1"}

# Pieces of JSON, right and wrong, which strung together reach every corner of a parser.
MARKS = (*"{}[],:", " ", "\n", '"a"', '"\\u0000"', '"\\ud800"', '"\x01"', '"', "\\")
WORDS = ("0", "-0", "01", "1.5", "-", "1e5", "1e400", "NaN", "true", "false", "null", "x", "\ufeff")
PIECES = st.sampled_from(MARKS + WORDS)
JSONISH = st.lists(PIECES, max_size=24).map("".join)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "CE_id", "ce_source", "ce_type", "ce_specversion"])
        | st.sampled_from(["ce_orgid", "ce_", "traceparent", "x-original-topic", "dl_stage"])
        | st.text(max_size=8),
        st.none()
        | st.binary(max_size=24)
        | st.sampled_from([b"application/cloudevents+json", b"application/json", b"1.0", b"/hub"]),
    ),
    max_size=8,
)


def record(value: bytes | None, headers: Any, topic: str = "raw.identity") -> RawRecord:
    """Return a record at fixed coordinates."""
    return RawRecord(topic, 3, 41, 1_795_428_000_000, None, value, headers)


def judged(value: bytes | None, headers: Any = (), topic: str = "raw.identity") -> Any:
    """Decode twice, hold what must hold of any answer, and return it."""
    first, second = (decode(record(value, headers, topic), "raw.redrive") for _ in range(2))
    assert first == second
    if isinstance(first, Rejection):
        assert first.stage is Stage.DECODE
        assert first.reason in DECODE_REASONS
        assert first.detail.isascii() or first.reason is Reason.INVALID_ENVELOPE
    else:
        assert_sane(first)
    return first


def assert_sane(event: Event) -> None:
    """Hold that no bad character is left in what is kept, and that the envelope is as promised."""
    assert 1 <= len(event.source) <= 256
    assert event.type
    assert event.id is None or 1 <= len(event.id) <= 256
    kept = json.dumps([event.data, event.extensions, event.subject, event.org_id, event.sanitized])
    json.loads(kept)
    for text in strings([event.data, event.extensions, event.subject, event.org_id, event.id]):
        text.encode()  # raises for a lone surrogate
        assert not any(ord(c) < 32 and c not in "\t\r\n" for c in text)


def strings(tree: Any) -> list[str]:
    """Return every string of a JSON value, keys too."""
    if isinstance(tree, str):
        return [tree]
    if isinstance(tree, dict):
        return [text for k, v in tree.items() for text in (k, *strings(v))]
    return [text for v in tree for text in strings(v)] if isinstance(tree, list) else []


@given(
    st.none() | st.binary(max_size=200), HEADERS, st.sampled_from(["raw.identity", "raw.redrive"])
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_and_headers(value: bytes | None, headers: Any, topic: str) -> None:
    """Bytes that nobody would send end as an event or as a rejection of this stage."""
    judged(value, headers, topic)


@given(ATTRIBUTES, HEADERS, st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_json_object(members: dict[str, Any], headers: Any, escaped: bool) -> None:
    """Events with odd members do, escaped or not, whatever stands beside them."""
    text = json.dumps(members, ensure_ascii=escaped)
    judged(text.encode(errors="surrogatepass"), headers)


@given(JSONISH)
@settings(max_examples=500, deadline=None)
def test_any_text_that_looks_like_json(text: str) -> None:
    """The two parsers and the stackless one agree on what is JSON and how deep it nests."""
    judged(text.encode(errors="surrogatepass"))
    try:
        depth = nesting(text)
    except ValueError:  # a number out of range
        depth = None
    parsed = parse(text.encode(errors="surrogatepass")) if text else None
    if isinstance(parsed, Rejection):
        # A raw control character is mended by the one and does not change the nesting.
        assert (parsed.reason is Reason.INVALID_JSON) == (depth is None)
    elif parsed is not None:
        assert depth == levels(parsed.members if isinstance(parsed, Flawed) else parsed)


def levels(tree: Any) -> int:
    """Return how deep a JSON value nests."""
    if isinstance(tree, dict):
        return 1 + max(map(levels, tree.values()), default=0)
    return 1 + max(map(levels, tree), default=0) if isinstance(tree, list) else 0


@given(st.dictionaries(TEXT, TREES, max_size=4), st.booleans())
@settings(max_examples=300, deadline=None)
def test_content_modes_agree(data: dict[str, Any], escaped: bool) -> None:
    """The same event in binary and in structured mode is the same, but for one level of nesting."""
    text = json.dumps(data, ensure_ascii=escaped)
    whole = json.dumps(RIGHT, ensure_ascii=escaped)[:-1] + f', "data": {text}}}'
    headers = [(f"ce_{name}", value.encode()) for name, value in RIGHT.items()]
    binary = judged(text.encode(errors="surrogatepass"), headers)
    structured = judged(whole.encode(errors="surrogatepass"))
    assert isinstance(binary, Event)
    assert binary[1:] == structured[1:]


@given(st.dictionaries(st.text("abc"), TREES, max_size=4))
@settings(max_examples=200, deadline=None)
def test_slow_path_reads_what_the_fast_path_reads(data: dict[str, Any]) -> None:
    """A bad character elsewhere in the event changes nothing about the rest of it."""
    clean = json.dumps(data | {"odd": "@"}).encode()
    spoiled = json.dumps(data | {"odd": "\0"}).encode()
    first, second = parse(clean), parse(spoiled)
    assert isinstance(second, Flawed)
    fast = first.members if isinstance(first, Flawed) else first
    assert isinstance(fast, dict)
    assert {**fast, "odd": ""} == {**second.members, "odd": ""}


@given(st.integers(0, 400), st.sampled_from(['{"a":', "["]), st.sampled_from(["", ",", "]", "1"]))
@settings(max_examples=200, deadline=None)
def test_any_depth(depth: int, opening: str, junk: str) -> None:
    """However deep a value nests, the answer depends on its depth and its soundness alone."""
    closing = "}" if opening.startswith("{") else "]"
    answer = judged(f'{{"a":{opening * depth}1{closing * depth}{junk}}}'.encode())
    assert isinstance(answer, Rejection)
    if junk and not (junk == "1" and depth == 0):
        assert answer.reason is Reason.INVALID_JSON
    else:
        assert answer.reason is (Reason.INVALID_ENVELOPE if depth < 32 else Reason.TOO_DEEP)
