"""The ``details`` of an entry: what differs, redacted, in bounds, with a note of what was cut."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson

from processor.normalize.instant import is_time
from processor.normalize.redact import REDACTED, is_reference_key, is_secret_key, redact_text
from schemas.entry import Details

DETAILS_BYTES_MAX = 16 * 1024
TEXT_CHARACTERS_MAX = 4_096
SAFE_INTEGER_MAX = 2**53 - 1
"""The largest integer that every JSON reader holds exactly."""

PATHS_MAX = 64
PATH_CHARACTERS_MAX = 256
LISTED_BYTES_MAX = 2 * 1024
"""Of the paths listed as cut, or as sanitized: a list must not outgrow what it lists."""

NOTES_BYTES = 2 * LISTED_BYTES_MAX + 64
"""What both lists take at most, with their names."""

SURELY_FITS_BYTES = DETAILS_BYTES_MAX // 4
"""A record this small cannot have details over the bound: a replaced byte becomes three."""

TRUNCATED = "[truncated]"

Json = Any


def tidy(value: Json) -> Json:
    """Return a value as it is compared: null members left out, e-mail addresses normalized."""
    if isinstance(value, dict):
        return {
            name: normalized_email(member)
            if name == "email" and isinstance(member, str)
            else tidy(member)
            for name, member in value.items()
            if member is not None
        }
    if isinstance(value, list):
        return [tidy(member) for member in value]
    return value


def normalized_email(text: str) -> str:
    """Return an e-mail address as it is stored: trimmed and lower-cased, never validated."""
    return text.strip().lower()


def same(one: Json, other: Json) -> bool:
    """Tell whether two JSON values are equal; true is not 1, and the order of a list counts."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def differences(
    before: Mapping[str, Json], after: Mapping[str, Json]
) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return of two complete objects the members that differ, as they were and as they are."""
    old, new = tidy(before), tidy(after)
    absent = object()
    differing = {
        name for name in old | new if not same(old.get(name, absent), new.get(name, absent))
    }
    return (
        {name: value for name, value in old.items() if name in differing},
        {name: value for name, value in new.items() if name in differing},
    )


def cleaned(members: Mapping[str, Json], path: str, cuts: list[str]) -> dict[str, Json]:
    """Return an object without nulls and secrets, its numbers exact and its texts in bounds.

    The paths of texts that were cut are added to ``cuts``; ``path`` is the object's own.
    """
    clean: dict[str, Json] = {}
    for name, value in members.items():
        if value is None:
            continue
        if is_secret_key(name):
            clean[name] = value if _may_be_shown(value) else REDACTED
        elif isinstance(value, str):
            clean[name] = _text(name, value, path, cuts)
        elif isinstance(value, bool):
            clean[name] = value
        else:
            clean[name] = _cleaned(value, name, path, cuts)
    return clean


def _cleaned(value: Json, name: str, path: str, cuts: list[str]) -> Json:
    if isinstance(value, dict):
        return cleaned(value, f"{path}.{name}", cuts)
    if isinstance(value, list):
        return [_member(member, name, path, cuts) for member in value]
    return _number(name, value)


def _member(value: Json, name: str, path: str, cuts: list[str]) -> Json:
    """Return a member of a list, for which the rules of the list's own name hold."""
    if isinstance(value, str):
        return _text(name, value, path, cuts)
    if value is None or isinstance(value, bool):
        return value
    return _cleaned(value, name, path, cuts)


def _may_be_shown(value: Json) -> bool:
    """Tell whether a value gives nothing away although its key says secret."""
    return isinstance(value, bool) or (isinstance(value, str) and is_time(value))


def _text(name: str, text: str, path: str, cuts: list[str]) -> str:
    if name == "email":
        text = normalized_email(text)
    if not is_reference_key(name):
        text = redact_text(text)
    if len(text) > TEXT_CHARACTERS_MAX:
        cuts.append(f"{path}.{name}")
        return text[:TEXT_CHARACTERS_MAX]
    return text


def _number(name: str, number: float) -> int | str:
    """Return an integer that every reader holds exactly; any other number as decimal text."""
    if isinstance(number, int) and -SAFE_INTEGER_MAX <= number <= SAFE_INTEGER_MAX:
        return number
    text = str(number) if isinstance(number, int) else repr(number)
    return text if is_reference_key(name) else redact_text(text)


def fitted(details: Details, cuts: list[str], sanitized: tuple[str, ...]) -> Details:
    """Return details within 16 KiB of JSON, with the lists of what was cut and sanitized.

    First ``extra`` goes, then ``attributes``, then the largest values of ``old`` and ``new``. The
    work is bounded by a sort, whatever the event holds: one event must not hold up a lane.
    """
    body = cast("dict[str, Any]", details)
    for name in ("extra", "attributes"):
        if _size(_noted(body, cuts, sanitized)) <= DETAILS_BYTES_MAX:
            break
        if body.pop(name, None) is not None:
            cuts.append(f"$.details.{name}")
    if _size(_noted(body, cuts, sanitized)) > DETAILS_BYTES_MAX:
        _shrink(body, DETAILS_BYTES_MAX - NOTES_BYTES, cuts)
    return cast("Details", _noted(body, cuts, sanitized))


def _noted(body: dict[str, Any], cuts: list[str], sanitized: tuple[str, ...]) -> dict[str, Any]:
    notes = {"truncated": _listed(cuts), "sanitized": _listed(sanitized)}
    return {**body, **{name: paths for name, paths in notes.items() if paths}}


def _listed(paths: Sequence[str]) -> list[str]:
    """Return as many paths as a list of them may hold."""
    listed, room = [], LISTED_BYTES_MAX
    for path in paths[:PATHS_MAX]:
        shown = path[:PATH_CHARACTERS_MAX]
        room -= _size(shown) + 1
        if room < 0:
            break
        listed.append(shown)
    return listed


def _shrink(body: dict[str, Any], bytes_max: int, cuts: list[str]) -> None:
    """Replace the largest values of old and new, then leave members out, until the body fits."""
    size = _size(body)
    sides = [side for side in ("old", "new") if side in body]
    members = sorted(
        ((_size(value), side, name) for side in sides for name, value in body[side].items()),
        reverse=True,
    )
    for value_size, side, name in members:
        if size <= bytes_max or value_size <= len(TRUNCATED) + 2:
            break
        body[side][name] = TRUNCATED
        size -= value_size - len(TRUNCATED) - 2
        cuts.append(f"$.details.{side}.{name}")
    for side in sides:
        if size > bytes_max:
            size -= _leave_out(body[side], size - bytes_max)
            cuts.append(f"$.details.{side}")


def _leave_out(members: dict[str, Json], excess: int) -> int:
    """Leave out members from the end until that many bytes are gone; return how many are."""
    gone = 0
    while members and gone < excess:
        name, value = members.popitem()
        gone += _size(name) + _size(value) + 2
    return gone


def _size(value: Json) -> int:
    return len(orjson.dumps(value))
