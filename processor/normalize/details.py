"""The ``details`` of an entry: what differs, redacted, in bounds, with a note of what was cut."""

from collections.abc import Mapping
from typing import Any

import orjson

from processor.normalize.instant import is_time
from processor.normalize.redact import REDACTED, is_reference_key, is_secret_key, redact_text
from schemas.entry import Details

DETAILS_BYTES_MAX = 16 * 1024
TEXT_CHARACTERS_MAX = 4_096
SAFE_INTEGER_MAX = 2**53 - 1
"""The largest integer that every JSON reader holds exactly."""

PATHS_MAX = 64
"""Of paths listed as cut or sanitized: the list must not outgrow what it lists."""

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

    First ``extra`` goes, then ``attributes``, then the largest values of ``old`` and ``new``.
    """
    details = _noted(details, cuts, sanitized)
    for name in ("extra", "attributes"):
        if _fits(details):
            return details
        if details.pop(name, None) is not None:  # type: ignore[misc] # two literal keys
            details = _noted(details, [*cuts, f"$.details.{name}"], sanitized)
            cuts.append(f"$.details.{name}")
    while not _fits(details):
        details = _noted(_smaller(details, cuts), cuts, sanitized)
    return details


def _noted(details: Details, cuts: list[str], sanitized: tuple[str, ...]) -> Details:
    if cuts:
        details["truncated"] = cuts[:PATHS_MAX]
    if sanitized:
        details.pop("sanitized", None)
        details["sanitized"] = list(sanitized[:PATHS_MAX])
    return details


def _fits(details: Details) -> bool:
    return len(orjson.dumps(details)) <= DETAILS_BYTES_MAX


def _smaller(details: Details, cuts: list[str]) -> Details:
    """Replace the largest value of old and new; when no replacement helps, leave members out."""
    sides = {"old": details.get("old", {}), "new": details.get("new", {})}
    size, side, name = max(
        (len(orjson.dumps(value)), side, name)
        for side, members in sides.items()
        for name, value in members.items()
    )
    cuts.append(f"$.details.{side}.{name}"[:TEXT_CHARACTERS_MAX])
    if size > len(TRUNCATED) + 2 and len(name) < TEXT_CHARACTERS_MAX:
        sides[side][name] = TRUNCATED
        return details
    half = len(sides[side]) // 2
    details[side] = dict(list(sides[side].items())[:half])  # type: ignore[literal-required]
    return details
