"""Decode: a record becomes a raw event, or a rejection. Pure, and total: no bytes make it raise.

The three content modes differ in where the attributes stand; after that the rules are the same.
A record on the redrive topic stands for another one, whose coordinates its ``x-original-*`` headers
carry; without the four of them it is no redriven record and is rejected as ``invalid_envelope``.
Its ``x-redriven-*`` headers name the dead letter it was sent from, which is another one where that
had been redriven before.
When a header's name repeats, the last one counts.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from processor.ingest.document import Cleaner, Flawed, has_bad_character, parse
from schemas.raw.envelope import Event, Origin
from schemas.record import ORIGINAL, REDRIVEN, Record
from schemas.rejection import Reason, Rejection, Stage

VALUE_BYTES_MAX = 256 * 1024
"""Of a record's value: a raw event is some hundred bytes, a large permission change some 10 KiB."""

NAME_CHARACTERS_MAX = 256
"""Of ``id`` and ``source``."""

TRACEPARENT_CHARACTERS = 55
"""Of W3C version 00; what a later version appends is not kept."""

STRUCTURED = b"application/cloudevents+json"
CLOUDEVENTS = b"application/cloudevents"
JSON = "application/json"
SPECVERSION = "1.0"

_Headers = Sequence[tuple[str, bytes | None]]

# Attributes that are strings if they are there: name, required, shortest, longest.
_STRINGS = (
    ("specversion", True, 0, VALUE_BYTES_MAX),
    ("source", True, 1, NAME_CHARACTERS_MAX),
    ("type", True, 1, VALUE_BYTES_MAX),
    ("id", False, 1, NAME_CHARACTERS_MAX),
    ("subject", False, 0, VALUE_BYTES_MAX),
    ("datacontenttype", False, 0, VALUE_BYTES_MAX),
)

# Of these, something that is no string is as wrong as another string, and has the same reason.
_JUDGED_BY_VALUE = frozenset({"specversion", "datacontenttype"})

_LETTER_NUMBERS = (("partition", 2**31 - 1), ("offset", 2**63 - 1))
_ORIGINAL_NUMBERS = (
    *_LETTER_NUMBERS,
    ("timestamp", 253_402_300_799_999),  # the last millisecond of the year 9999
)
_DECIMAL = re.compile(rb"[0-9]{1,19}")
_TRACE = "-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_TRACEPARENT = re.compile(f"00{_TRACE}|(?!00|ff)[0-9a-f]{{2}}{_TRACE}(?:-.*)?", re.DOTALL)

_ATTRIBUTES = frozenset(
    (
        *("specversion", "id", "source", "type", "time", "subject"),
        *("datacontenttype", "data_base64", "orgid", "traceparent"),
    )
)
_MEMBERS = _ATTRIBUTES | {"data"}

# A bad character in these is no matter of the envelope: orgid has a reason of its own, and a
# traceparent that is not valid is dropped.
_JUDGED_ELSEWHERE = frozenset({"orgid", "traceparent"})

_EMPTY = Rejection(Stage.DECODE, Reason.EMPTY_VALUE, "the record has no value")
_TOO_LARGE = Rejection(
    Stage.DECODE, Reason.TOO_LARGE, f"the value has more than {VALUE_BYTES_MAX} bytes"
)
_CONTENT_MODE = Rejection(
    Stage.DECODE,
    Reason.UNSUPPORTED_CONTENT_TYPE,
    "content-type: expected application/cloudevents+json, or none of application/cloudevents*",
)
_CONTENT_TYPE = Rejection(
    Stage.DECODE, Reason.UNSUPPORTED_CONTENT_TYPE, "datacontenttype: expected application/json"
)
_DATA_BASE64 = Rejection(
    Stage.DECODE, Reason.UNSUPPORTED_CONTENT_TYPE, "data_base64: expected data as JSON"
)
_SPECVERSION = Rejection(
    Stage.DECODE, Reason.UNSUPPORTED_SPECVERSION, f"specversion: expected {SPECVERSION}"
)


class _Wrapping(NamedTuple):
    """What the headers say: attributes in binary mode, and what stands beside the event."""

    attributes: dict[str, bytes | None] | None = None
    content_type: bytes | None = None
    traceparent: bytes | None = None


# An event as it came, in whichever mode: its attributes, its data, the names that are no extension,
# the traceparent beside it, the paths that were cleaned. A bare tuple: one is built per record.
_Opened: TypeAlias = tuple[dict[str, Any], Any, frozenset[str], bytes | None, tuple[str, ...]]

_UNWRAPPED = _Wrapping()

# What a named tuple's own constructor does, in half of its time.
_new = tuple.__new__


def decode(record: Record, redrive_topic: str) -> Event | Rejection:
    """Return the raw event in ``record``; ``redrive_topic`` is whose records stand for others."""
    value = record.value
    if not value:
        return _EMPTY
    if len(value) > VALUE_BYTES_MAX:
        return _TOO_LARGE
    wrapping = _wrapping(record.headers) if record.headers else _UNWRAPPED
    if isinstance(wrapping, Rejection):
        return wrapping
    document = parse(value)
    if isinstance(document, Rejection):
        return document
    opened = _open(document, wrapping)
    if isinstance(opened, Rejection):
        return opened
    if record.topic == redrive_topic:
        origin = original(record.headers)
        if isinstance(origin, Rejection):
            return origin
    else:
        origin = _new(Origin, (record.topic, record.partition, record.offset, record.timestamp))
    return _event(record, origin, opened)


def _wrapping(headers: _Headers) -> _Wrapping | Rejection:
    """Return what the headers say of the event; a content mode that is not ours is rejected."""
    attributes: dict[str, bytes | None] = {}
    content_type = traceparent = None
    for name, value in headers:
        lowered = name.lower()
        if lowered.startswith("ce_"):
            attributes[lowered[3:]] = value
        elif lowered == "content-type":
            content_type = value
        elif lowered == "traceparent":
            traceparent = value
    if content_type:
        media = content_type.partition(b";")[0].strip().lower()
        if media == STRUCTURED:
            return _Wrapping(None, None, traceparent)
        if media.startswith(CLOUDEVENTS):
            return _CONTENT_MODE
    return _Wrapping(attributes or None, content_type, traceparent)


def _open(document: dict[str, Any] | Flawed, wrapping: _Wrapping) -> _Opened | Rejection:
    if wrapping.attributes is not None:
        return _open_binary(document, wrapping.attributes, wrapping)
    if isinstance(document, Flawed):
        return _open_flawed(document, wrapping.traceparent)
    return document, document.get("data"), _MEMBERS, wrapping.traceparent, ()


def _open_flawed(document: Flawed, traceparent: bytes | None) -> _Opened | Rejection:
    """Clean the data; in an attribute a bad character is a reason to reject."""
    attributes = {name: value for name, value in document.members.items() if name != "data"}
    judged_here = Cleaner()
    for name in attributes.keys() - _JUDGED_ELSEWHERE:
        judged_here.clean({name: attributes[name]}, "$")
    if judged_here.paths:
        return _invalid(f"{min(judged_here.paths)}: expected no control character, all in UTF-8")
    for name in attributes.keys() & _JUDGED_ELSEWHERE:
        attributes[name] = judged_here.clean(attributes[name], name)
    data, sanitized = _cleaned(document.members.get("data"), utf8=document.utf8)
    return attributes, data, _ATTRIBUTES, traceparent, sanitized


def _open_binary(
    document: dict[str, Any] | Flawed, headers: dict[str, bytes | None], wrapping: _Wrapping
) -> _Opened | Rejection:
    attributes: dict[str, str] = {}
    for name, value in headers.items():
        if value is None:
            continue
        try:
            attributes[name] = text = value.decode()
        except UnicodeDecodeError:
            return _invalid(f"{_shown(name)}: expected UTF-8")
        if has_bad_character(name + text):
            if name not in _JUDGED_ELSEWHERE:
                return _invalid(f"{_shown(name)}: expected no control character")
            attributes[name] = Cleaner().clean(text, name)
    if wrapping.content_type and "datacontenttype" not in attributes:
        attributes["datacontenttype"] = wrapping.content_type.decode(errors="replace")
    if isinstance(document, Flawed):
        data, sanitized = _cleaned(document.members, utf8=document.utf8)
        return attributes, data, _ATTRIBUTES, wrapping.traceparent, sanitized
    return attributes, document, _ATTRIBUTES, wrapping.traceparent, ()


def _shown(name: str) -> str:
    """Return the name of an attribute's header as a detail may hold it: in ASCII, not too long."""
    return ascii(f"ce_{name[:NAME_CHARACTERS_MAX]}")


def _cleaned(data: Any, *, utf8: bool) -> tuple[Any, tuple[str, ...]]:
    """Return data without bad characters, and the paths where there were any."""
    cleaner = Cleaner(utf8=utf8)
    data = cleaner.clean(data, "$.data")
    return data, (*(() if utf8 else ("$",)), *cleaner.paths)


def _event(record: Record, origin: Origin, opened: _Opened) -> Event | Rejection:
    attributes, data, names, traceparent, sanitized = opened
    if rejection := _judge(attributes):
        return rejection
    given = attributes.get("traceparent")
    if given is None and traceparent:
        given = traceparent.decode("ascii", "replace")
    extensions = (
        {}
        if names.issuperset(attributes)
        else {k: v for k, v in attributes.items() if k not in names and v is not None}
    )
    return _new(
        Event,
        (
            record,
            origin,
            attributes["type"],
            attributes["source"],
            attributes.get("id"),
            attributes.get("orgid"),
            attributes.get("time"),
            data,
            attributes.get("subject"),
            _trace(given) if given is not None else None,
            extensions,
            sanitized,
        ),
    )


def _judge(attributes: dict[str, Any]) -> Rejection | None:
    """Return what is wrong with the envelope, as far as it is decided before the type is known."""
    for name, required, shortest, longest in _STRINGS:
        value = attributes.get(name)
        if type(value) is str:
            if not shortest <= len(value) <= longest:
                return _invalid(f"{name}: expected {shortest} to {longest} characters")
        elif required if value is None else name not in _JUDGED_BY_VALUE:
            return _invalid(f"{name}: expected a string")
    if attributes["specversion"] != SPECVERSION:
        return _SPECVERSION
    content_type = attributes.get("datacontenttype")
    if content_type is not None and not _json(content_type):
        return _CONTENT_TYPE
    return None if attributes.get("data_base64") is None else _DATA_BASE64


def _json(content_type: Any) -> bool:
    if content_type == JSON:
        return True
    return isinstance(content_type, str) and content_type.partition(";")[0].strip().lower() == JSON


def _trace(given: Any) -> str | None:
    """Return a valid trace context in the form of version 00, None for any other."""
    if isinstance(given, str) and _TRACEPARENT.fullmatch(given):
        return given[:TRACEPARENT_CHARACTERS]
    return None


def original(headers: _Headers) -> Origin | Rejection:
    """Return the coordinates of the record that a redriven one stands for."""
    place = _place(headers, ORIGINAL, _ORIGINAL_NUMBERS)
    return place if isinstance(place, Rejection) else Origin(*place)


def redriven(headers: _Headers) -> Iterator[tuple[str, int, int]]:
    """Yield the coordinates of the dead letters that a record on the redrive topic settles.

    The first of an event and the last, which differ after an event was rejected more than once.
    """
    for prefix in (ORIGINAL, REDRIVEN):
        place = _place(headers, prefix, _LETTER_NUMBERS)
        if not isinstance(place, Rejection):
            yield place[0], place[1], place[2]


def _place(
    headers: _Headers, prefix: str, limits: Sequence[tuple[str, int]]
) -> tuple[Any, ...] | Rejection:
    """Return the topic and the numbers that headers of these names carry, up to their limits."""
    found = {name.lower(): value or b"" for name, value in headers}
    try:
        topic = found.get(f"{prefix}topic", b"").decode()
    except UnicodeDecodeError:
        topic = ""
    if not topic or has_bad_character(topic):
        return _invalid(f"{prefix}topic: expected the name of a topic")
    numbers = []
    for name, most in limits:
        value = found.get(prefix + name, b"")
        if not _DECIMAL.fullmatch(value) or int(value) > most:
            return _invalid(f"{prefix}{name}: expected a decimal number up to {most}")
        numbers.append(int(value))
    return topic, *numbers


def _invalid(detail: str) -> Rejection:
    return Rejection(Stage.DECODE, Reason.INVALID_ENVELOPE, detail)
