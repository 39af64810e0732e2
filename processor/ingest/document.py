"""The JSON document of a record's value: parsed strictly, bounded in depth, cleaned if need be.

Almost every value takes the fast path: one parse and one walk over its containers. Whatever may be
out of order (the parser refuses it or may have rounded a number, it nests too deep, an escape may
hide a control character) is read again by the slow path, which alone decides what is wrong and
mends what is only a bad character. So there is one set of rules, not one per parser.
"""

import codecs
import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from schemas.rejection import Reason, Rejection, Stage

DEPTH_MAX = 32
"""Nesting of objects and arrays, the root being 1."""

PARSER_DEPTH_MAX = 150
"""Beyond this the recursive parser is not trusted with a text: it may run out of stack."""

INTEGER_DIGITS_MAX = 4_300
"""Python's own bound on reading an integer; a longer number counts as one out of range."""

SANITIZED_PATHS_MAX = 64
"""More bad strings than this are replaced all the same, but not listed: the list is stored."""

PATH_CHARACTERS_MAX = 256
"""Of one listed path: its keys are the sender's, and a key may be as long as the value."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# From here on the fast parser gives integers as floats.
_ROUNDED = float(2**63)

_INFINITE = (float("inf"), float("-inf"))
_ESCAPE_OF_CONTROL = re.compile(rb"\\(?:[bf]|u00[01])")
_BAD = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")

# Bytes that are no UTF-8 are read as this lone surrogate, one for each run that a decoder with
# errors="replace" would replace, and so stay apart from a U+FFFD that was sent.
_MARK = chr(0xDCFF)
_BAD_BUT_MARK = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udcfe\udd00-\udfff]")
_MARKING = "hub-audit-mark"
codecs.register_error(_MARKING, lambda error: (_MARK, getattr(error, "end", 0)))


class Flawed(NamedTuple):
    """A document that may hold bad characters; each part of it has to be cleaned."""

    members: dict[str, Any]
    utf8: bool


class Cleaner:
    """Replaces the bad characters of JSON values by U+FFFD and notes where there were any."""

    def __init__(self, *, utf8: bool = True) -> None:
        """Note every bad character, or, of a text that was no UTF-8, all but its bad bytes."""
        self.paths: list[str] = []
        self._noted = _BAD if utf8 else _BAD_BUT_MARK

    def clean(self, value: Any, path: str) -> Any:
        """Return ``value`` without bad characters; ``path`` is where it stands."""
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, dict):
            return {
                self._text(name, f"{path}.{_replace(name)}"): self.clean(
                    member, f"{path}.{_replace(name)}"
                )
                for name, member in value.items()
            }
        if isinstance(value, list):
            return [self.clean(member, f"{path}[{i}]") for i, member in enumerate(value)]
        return value

    def _text(self, text: str, path: str) -> str:
        if self._noted.search(text) and len(self.paths) < SANITIZED_PATHS_MAX:
            cut = path[:PATH_CHARACTERS_MAX]
            if cut not in self.paths:
                self.paths.append(cut)
        return _replace(text)


def parse(value: bytes) -> dict[str, Any] | Flawed | Rejection:
    """Return the JSON object in ``value``, Flawed when it has to be cleaned before it is used."""
    try:
        document = orjson.loads(value)
    except ValueError:
        return _parse_slowly(value)
    if (
        type(document) is not dict
        or (b"\\" in value and _ESCAPE_OF_CONTROL.search(value))
        or not _sound(document.values(), DEPTH_MAX - 1)
    ):
        return _parse_slowly(value)
    return document


def has_bad_character(text: str) -> bool:
    """Whether ``text`` holds a lone surrogate, NUL or another C0 control that is no white space."""
    return not text.isprintable() and _BAD.search(text) is not None


def nesting(text: str) -> int | None:
    """Return how deep a JSON text nests, None when it is no JSON; needs no stack of its own."""
    containers: list[str] = []
    deepest = at = 0
    state = "value"
    while (token := _TOKEN.match(text, at)) is not None:
        kind = _kind(token)
        following = _NEXT.get((state, kind))
        if following is None:
            return None
        if kind in _OPENING:
            containers.append(kind)
            deepest = max(deepest, len(containers))
        elif kind in _CLOSING:
            containers.pop()
        state = following or ("after " + containers[-1] if containers else "end")
        at = token.end()
    return deepest if state == "end" and not text[at:].strip(" \t\n\r") else None


def _sound(members: Iterable[Any], room: int) -> bool:
    """Whether the members nest at most ``room`` deep and no number may have been rounded."""
    for member in members:
        kind = member.__class__  # faster than type(), and every record pays for this walk
        if kind is str:
            continue
        if kind is dict or kind is list:
            inner = member if kind is list else member.values()
            if not room or not _sound(inner, room - 1):
                return False
        elif kind is float and not -_ROUNDED < member < _ROUNDED:
            return False
    return True


def _parse_slowly(value: bytes) -> Flawed | Rejection:
    text, utf8 = _text_of(value)
    try:
        deep = _nests_beyond_parser(text)
        document = None if deep else _PARSER.decode(text)
    except json.JSONDecodeError as error:
        return _rejected(Reason.INVALID_JSON, f"no JSON at character {error.pos}")
    except ValueError as error:
        return _rejected(Reason.INVALID_JSON, str(error))
    if not text.lstrip(" \t\n\r").startswith("{"):
        return _rejected(Reason.NOT_AN_OBJECT, "expected a JSON object")
    if deep or not isinstance(document, dict) or _depth(document) > DEPTH_MAX:
        return _rejected(Reason.TOO_DEEP, f"nests deeper than {DEPTH_MAX}")
    return Flawed(document, utf8)


def _text_of(value: bytes) -> tuple[str, bool]:
    try:
        return value.decode(), True
    except UnicodeDecodeError:
        return value.decode(errors=_MARKING), False


def _nests_beyond_parser(text: str) -> bool:
    if text.count("{") + text.count("[") <= PARSER_DEPTH_MAX:
        return False
    depth = nesting(text)
    if depth is None:
        raise ValueError("no JSON")
    return depth > PARSER_DEPTH_MAX


def _depth(document: Any) -> int:
    depth, level = 0, [document]
    while level:
        depth += 1
        members = [
            member
            for container in level
            for member in (container.values() if isinstance(container, dict) else container)
        ]
        level = [member for member in members if isinstance(member, dict | list)]
    return depth


def _replace(text: str) -> str:
    return _BAD.sub(REPLACEMENT, text)


def _rejected(reason: Reason, detail: str) -> Rejection:
    return Rejection(Stage.DECODE, reason, detail)


def _real(text: str) -> float:
    number = float(text)
    if number in _INFINITE:
        raise ValueError("a number is out of range")
    return number


def _integer(text: str) -> int:
    if len(text) > INTEGER_DIGITS_MAX:
        raise ValueError("a number is out of range")
    return int(text)


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


_PARSER = json.JSONDecoder(
    strict=False,  # a raw control character in a string is mended, not refused
    parse_float=_real,
    parse_int=_integer,
    parse_constant=_constant,
)

_TOKEN = re.compile(
    r"""[ \t\n\r]*+(?:
        (?P<mark>[{}\[\],:])
      | (?P<string>"[^"\\]*+(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\]*+)*+")
      | (?P<word>true|false|null)
      | (?P<number>-?(?:0|[1-9][0-9]*+)(?P<real>(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?))
    )""",
    re.VERBOSE,
)
_OPENING = frozenset("{[")
_CLOSING = frozenset("}]")

# What may follow what: (state, token) -> the next state, "" for that after a whole value.
_NEXT = {
    ("value", "{"): "key or }",
    ("value", "["): "value or ]",
    ("value", "string"): "",
    ("value", "scalar"): "",
    ("value or ]", "{"): "key or }",
    ("value or ]", "["): "value or ]",
    ("value or ]", "string"): "",
    ("value or ]", "scalar"): "",
    ("value or ]", "]"): "",
    ("key or }", "string"): "colon",
    ("key or }", "}"): "",
    ("key", "string"): "colon",
    ("colon", ":"): "value",
    ("after {", ","): "key",
    ("after {", "}"): "",
    ("after [", ","): "value",
    ("after [", "]"): "",
}


def _kind(token: re.Match[str]) -> str:
    """Return the token's name in the table; raises ValueError for a number out of range."""
    if mark := token["mark"]:
        return mark
    if number := token["number"]:
        (_real if token["real"] else _integer)(number)
    return "string" if token["string"] else "scalar"
