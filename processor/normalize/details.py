"""What goes into the ``details`` of an entry: the members that differ, redacted and in bounds."""

from typing import Any

from processor.normalize.instant import is_time
from processor.normalize.redact import (
    CACHED_TEXT_CHARACTERS_MAX,
    REDACTED,
    Kind,
    kind_of,
    redact_text,
)

TEXT_CHARACTERS_MAX = 4_096
SAFE_INTEGER_MAX = 2**53 - 1
"""The largest integer that every JSON reader holds exactly."""

_EMAIL, _REFERENCE, _SECRET = Kind.EMAIL, Kind.REFERENCE, Kind.SECRET

Json = Any


def normalized_email(text: str) -> str:
    """Return an e-mail address as it is stored: trimmed and lower-cased, never validated."""
    return text.strip().lower()


def differences(
    before: dict[str, Json], after: dict[str, Json]
) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return of two complete objects the members that differ, as they were and as they are.

    Null is absent, true is not 1, the order of a list counts; the case of an e-mail address does
    not. The values are those that were sent, still with their secrets: a changed password is a
    change.
    """
    differing = set()
    for name, value in before.items():
        other = after.get(name)
        if value.__class__ is str and value == other:
            continue
        if not _same(_tidy(name, value), _tidy(name, other)):
            differing.add(name)
    old = {name: before[name] for name in before if name in differing}
    new = {name: after[name] for name in after if name in differing or name not in before}
    return _present(old), _present(new)


def _present(members: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in members.items() if value is not None}


def _tidy(name: str, value: Json) -> Json:
    """Return a value as it is compared: null members left out, e-mail addresses normalized."""
    if isinstance(value, dict):
        return {key: _tidy(key, member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_tidy(name, member) for member in value]
    return normalized_email(value) if name == "email" and isinstance(value, str) else value


def _same(one: Json, other: Json) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def cleaned(members: dict[str, Json], path: str, cuts: list[str]) -> dict[str, Json]:
    """Return an object without nulls and secrets, its numbers exact and its texts in bounds.

    The paths of texts that were cut are added to ``cuts``; ``path`` is the object's own.
    """
    clean: dict[str, Json] = {}
    for name, value in members.items():
        if value is None:
            continue
        kind = kind_of(name)
        if kind is _SECRET:
            clean[name] = value if _may_be_shown(value) else REDACTED
        elif value.__class__ is str and not kind and len(value) <= CACHED_TEXT_CHARACTERS_MAX:
            clean[name] = redact_text(value)
        elif value.__class__ is bool:
            clean[name] = value
        else:
            clean[name] = _cleaned(value, kind, f"{path}.{name}", cuts)
    return clean


def _may_be_shown(value: Json) -> bool:
    """Tell whether a value gives nothing away although its key says secret."""
    return isinstance(value, bool) or (isinstance(value, str) and is_time(value))


def _cleaned(value: Json, kind: Kind, path: str, cuts: list[str]) -> Json:
    """Return a value that stands at ``path``, under a key of this kind."""
    if isinstance(value, str):
        return _text(value, kind, path, cuts)
    if isinstance(value, dict):
        return cleaned(value, path, cuts)
    if isinstance(value, list):
        return [
            redact_text(member)
            if member.__class__ is str and not kind and len(member) <= CACHED_TEXT_CHARACTERS_MAX
            else _cleaned(member, kind, f"{path}[{at}]", cuts)
            for at, member in enumerate(value)
        ]
    return _number(value, kind, path, cuts)


def _text(text: str, kind: Kind, path: str, cuts: list[str]) -> str:
    if kind is not _REFERENCE:
        text = redact_text(text)
    if kind is _EMAIL:
        text = normalized_email(text)  # only now: in lower case a token is not known for one
    if len(text) <= TEXT_CHARACTERS_MAX:
        return text
    cuts.append(path)
    return text[:TEXT_CHARACTERS_MAX]


def _number(number: float | None, kind: Kind, path: str, cuts: list[str]) -> int | str | None:
    """Return an integer that every reader holds exactly; any other number as decimal text.

    True, false and null, as members of a list, stay what they are. The digits behind the point are
    no card's, however they read: one in twenty of random fractions would be.
    """
    if number is None or isinstance(number, int):
        if number is None or -SAFE_INTEGER_MAX <= number <= SAFE_INTEGER_MAX:
            return number
        return _text(str(number), kind, path, cuts)
    whole, point, fraction = repr(number).partition(".")
    return _text(whole, kind, path, cuts) + point + fraction
