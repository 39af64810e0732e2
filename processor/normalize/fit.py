"""The bound of ``details``: 16 KiB of JSON, with a note of what had to go for it.

The work is bounded by one sort, whatever an event holds: it must not hold up a lane.
"""

from collections.abc import Iterable
from typing import Any

import orjson

DETAILS_BYTES_MAX = 16 * 1024

PATHS_MAX = 64
PATH_CHARACTERS_MAX = 256
PATHS_BYTES_MAX = 4 * 1024
"""Of each list of paths: their keys are the sender's, and a list must not outgrow what it lists."""

SURELY_FITS_BYTES = DETAILS_BYTES_MAX // 6
"""A value this small never makes details over the bound: at worst 5 bytes, ``1e15,``, become 21."""

TRUNCATED = "[truncated]"
_TRUNCATED_BYTES = len(TRUNCATED) + 2
_NOTES_OF_SIDES_BYTES = 64
"""Room for the notes that members of old and new are left out, which are made afterwards."""

Details = dict[str, Any]


def fitted(details: Details, cuts: Iterable[str], sanitized: Iterable[str]) -> Details:
    """Return details within their bound, with the lists of what was cut and sanitized.

    First ``extra`` goes, then ``attributes``, then the largest values of ``old`` and ``new`` are
    replaced. Where even that is not enough, because there are too many keys or too long ones, the
    largest members are left out. Whatever else details hold is small by its own bounds.
    """
    notes = _Notes(cuts, sanitized)
    for name in ("extra", "attributes"):
        if _excess(noted := notes.added_to(details)) <= 0:
            return noted
        if details.pop(name, None) is not None:
            notes.add_whole(name)
    _replace_largest(details, notes)
    _leave_out_largest(details, notes)
    return notes.added_to(details)


class _Notes:
    """The paths of what was cut and of what was sanitized, as many as are listed."""

    def __init__(self, cuts: Iterable[str], sanitized: Iterable[str]) -> None:
        self._wholes: list[str] = []
        self._cuts = [path[:PATH_CHARACTERS_MAX] for path in cuts]
        self._sanitized = _within_bounds(sanitized)

    def add_whole(self, name: str) -> None:
        """Note that a part of the details is gone, or members of it; such notes come first."""
        self._wholes.append(f"$.details.{name}")

    def add_value(self, side: str, name: str) -> None:
        """Note that a value of old or new was replaced."""
        self._cuts.append(f"$.details.{side}.{name}"[:PATH_CHARACTERS_MAX])

    def added_to(self, details: Details) -> Details:
        """Return the details with the lists behind them."""
        truncated = _within_bounds([*self._wholes, *self._cuts])
        lists = {"truncated": truncated, "sanitized": self._sanitized}
        return {**details, **{name: paths for name, paths in lists.items() if paths}}


def _within_bounds(paths: Iterable[str]) -> list[str]:
    """Return the paths, each once, as many of the first as may be listed."""
    listed: list[str] = []
    room = PATHS_BYTES_MAX
    for path in dict.fromkeys(paths):
        room -= _size(path) + 1
        if room < 0 or len(listed) == PATHS_MAX:
            break
        listed.append(path)
    return listed


def _replace_largest(details: Details, notes: _Notes) -> None:
    """Replace values of old and new, the largest first, until the details fit or none is large."""
    excess = _excess(notes.added_to(details))
    by_size = sorted(_members(details), key=lambda member: -_size(details[member[0]][member[1]]))
    for side, name in by_size:
        if excess <= 0 and (excess := _excess(notes.added_to(details))) <= 0:
            return
        size = _size(details[side][name])
        if size <= _TRUNCATED_BYTES:
            return
        details[side][name] = TRUNCATED
        notes.add_value(side, name)
        excess -= size - _TRUNCATED_BYTES


def _leave_out_largest(details: Details, notes: _Notes) -> None:
    """Leave members of old and new out, those with the longest keys first, until the rest fits."""
    excess = _excess(notes.added_to(details))
    if excess <= 0:
        return
    excess += _NOTES_OF_SIDES_BYTES
    sizes = {
        (side, name): _size(name) + _size(details[side][name]) + len(":,")
        for side, name in _members(details)
    }
    shortened = set()
    for side, name in sorted(sizes, key=lambda member: -sizes[member]):
        if excess <= 0:
            break
        del details[side][name]
        excess -= sizes[side, name]
        shortened.add(side)
    for side in sorted(shortened):
        notes.add_whole(side)


def _members(details: Details) -> list[tuple[str, str]]:
    return [(side, name) for side in ("old", "new") for name in details.get(side, ())]


def _excess(details: Details) -> int:
    return _size(details) - DETAILS_BYTES_MAX


def _size(value: Any) -> int:
    return len(orjson.dumps(value))
