"""Fields of a format: where each stands, what it holds, and how that is found in an entry.

One table serves rendering and documentation, so that neither can say what the other does not.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from processor.siem.reading import Reading


class Field(NamedTuple):
    """One field: ``says`` is a path into the entry or a sentence; None as value is no field."""

    path: str
    says: str
    value: Callable[[Reading], Any]


Compiled = tuple[tuple[tuple[str, ...], Callable[[Reading], Any]], ...]


def of(path: str, where: str) -> Field:
    """Return a field that holds what stands at a path of the entry."""
    keys = where.split(".")
    if len(keys) == 1:
        (only,) = keys
        return Field(path, f"`{where}`", lambda reading: reading.entry.get(only))
    outer, inner = keys
    return Field(path, f"`{where}`", lambda reading: _within(reading.entry.get(outer), inner))


def always(path: str, value: Any) -> Field:
    """Return a field that holds the same whatever the entry."""
    return Field(path, f'"{value}"' if isinstance(value, str) else str(value), lambda _: value)


def compiled(fields: Iterable[Field]) -> Compiled:
    """Return fields ready to be filled in."""
    return tuple((tuple(field.path.split(".")), field.value) for field in fields)


def filled(fields: Compiled, reading: Reading) -> dict[str, Any]:
    """Return the nested document of all fields that have a value."""
    document: dict[str, Any] = {}
    for (*outer, last), value_of in fields:
        value = value_of(reading)
        if value is None:
            continue
        node = document
        for key in outer:
            node = node.setdefault(key, {})
        node[last] = value
    return document


def _within(held: Any, key: str) -> Any:
    return None if held is None else held.get(key)
