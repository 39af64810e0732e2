"""Text to terms, before anything is known of their meaning: ``-field:value,"another value"*``.

White space separates terms, a comma the values of a qualified one. A word without a known form of
qualifier is free text as it stands. Quotes keep everything together; within them a backslash takes
the next character, a quote or a backslash, as it is. A star behind a value asks for everything that
begins with it.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

CHARACTERS_MAX = 2_000
TERMS_MAX = 50
VALUES_MAX = 100

_QUALIFIER = re.compile(r"([A-Za-z_]+):")
_BARE = re.compile(r'[^\s"]+')
_BARE_VALUE = re.compile(r'[^\s",]+')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# The database takes no NUL, and half a character is none.
_IMPOSSIBLE = re.compile("[\0\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class QueryError(ValueError):
    """A query that cannot be understood; ``column`` is where, counted from 0."""

    def __init__(self, reason: str, column: int, text: str) -> None:
        """Keep what is wrong, and where in which text."""
        self.reason, self.column, self.text = reason, column, text
        super().__init__(f"column {column + 1}: {reason}")

    def caret(self) -> str:
        """Return the text with a caret below the place."""
        shown = re.sub(r"\s", " ", self.text)
        return f"{shown}\n{' ' * self.column}^"


class Raw(NamedTuple):
    """A value as it was written, without its quotes and star."""

    text: str
    column: int
    quoted: bool
    prefix: bool


class RawTerm(NamedTuple):
    """A term as it was written; ``qualifier`` is None for free text."""

    qualifier: str | None
    values: list[Raw]
    negated: bool
    column: int


def terms(text: str) -> Iterator[RawTerm]:
    """Yield the terms of a query; raises QueryError."""
    if len(text) > CHARACTERS_MAX:
        reason = f"a query has {CHARACTERS_MAX:,} characters at most, not {len(text):,}"
        raise QueryError(reason, CHARACTERS_MAX, text[:CHARACTERS_MAX])
    if found := _IMPOSSIBLE.search(text):
        raise QueryError("no entry can contain this character", found.start(), text)
    at = _skip_space(text, 0)
    count = 0
    while at < len(text):
        count += 1
        if count > TERMS_MAX:
            raise QueryError(f"a query has {TERMS_MAX} conditions at most", at, text)
        term, at = _term(text, at)
        yield term
        if at < len(text) and not text[at].isspace():
            raise QueryError("a space is missing here", at, text)
        at = _skip_space(text, at)


def _term(text: str, at: int) -> tuple[RawTerm, int]:
    begin = at
    negated = text[at] == "-"
    at += negated
    if at == len(text) or text[at].isspace():
        raise QueryError(
            "a minus needs what is to be left out behind it, as -outcome:success", begin, text
        )
    match = _QUALIFIER.match(text, at)
    if match is None:
        value, at = _free(text, at)
        return RawTerm(None, [value], negated, begin), at
    values, at = _values(text, match.end())
    return RawTerm(match.group(1).lower(), values, negated, begin), at


def _free(text: str, at: int) -> tuple[Raw, int]:
    """Read a word of free text, or a quoted one."""
    if text[at] == '"':
        return _quoted(text, at)
    match = _BARE.match(text, at)
    assert match is not None  # noqa: S101 - there is something that is no space and no quote
    word = match.group()
    if word.strip("*") == "":
        raise QueryError("a star needs the beginning of a word before it", at, text)
    return Raw(word.rstrip("*"), at, quoted=False, prefix=False), match.end()


def _values(text: str, at: int) -> tuple[list[Raw], int]:
    values: list[Raw] = []
    while True:
        value, at = _value(text, at)
        values.append(value)
        if len(values) > VALUES_MAX:
            raise QueryError(f"a condition has {VALUES_MAX} values at most", value.column, text)
        if at == len(text) or text[at] != ",":
            return values, at
        at += 1


def _value(text: str, at: int) -> tuple[Raw, int]:
    if at < len(text) and text[at] == '"':
        return _quoted(text, at)
    match = _BARE_VALUE.match(text, at)
    if match is None:
        raise QueryError("a value is missing here", at, text)
    word = match.group()
    prefix = word.endswith("*")
    if prefix and len(word) == 1:
        raise QueryError("a star needs the beginning of a value before it", at, text)
    return Raw(word[:-1] if prefix else word, at, quoted=False, prefix=prefix), match.end()


def _quoted(text: str, at: int) -> tuple[Raw, int]:
    match = _QUOTED.match(text, at)
    if match is None:
        raise QueryError("this quote is never closed", at, text)
    end = match.end()
    prefix = end < len(text) and text[end] == "*"
    value = _ESCAPE.sub(r"\1", match.group(1))
    if not value:
        raise QueryError("there is nothing between these quotes", at, text)
    return Raw(value, at, quoted=True, prefix=prefix), end + prefix


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
