"""What a JSON Schema refuses that an earlier one accepts, by the key words that ours use."""

from collections.abc import Iterator
from typing import Any, NamedTuple

Node = dict[str, Any]

LOWER_BOUNDS, UPPER_BOUNDS = ("minimum", "minLength"), ("maximum", "maxLength")
UNCHANGING = ("pattern", "format")
"""Nobody can say whether one of these takes in another: it is the same, or it is gone."""

UNDERSTOOD = {
    "$schema", "$id", "$defs", "$ref", "title", "description", "type", "enum", "const", "anyOf",
    "properties", "required", "additionalProperties", "items",
    *LOWER_BOUNDS, *UPPER_BOUNDS, *UNCHANGING,
}  # fmt: skip


class Schema(NamedTuple):
    """A node of a document."""

    document: Node
    node: Node

    def at(self, node: Node) -> "Schema":
        """Return another node of the document, the one it refers to if it is a reference."""
        while "$ref" in node:
            *_, name = node["$ref"].split("/")
            node = self.document["$defs"][name]
        return Schema(self.document, node)

    def options(self) -> list["Schema"]:
        """Return the alternatives, itself if there are none."""
        return [self.at(each) for each in self.node.get("anyOf", [self.node])]

    def values(self) -> list[Any] | None:
        """Return the only values there are, None where it is open."""
        found: list[Any] | None = self.node.get("enum")
        return [self.node["const"]] if "const" in self.node else found

    def types(self) -> set[str]:
        """Return the types it takes; none are all."""
        found = self.node.get("type", [])
        return {found} if isinstance(found, str) else set(found)


def narrowings(old: Node, new: Node) -> list[str]:
    """Return what of the old document the new one does not accept any more, by JSON path."""
    return list(_narrowed(Schema(old, old), Schema(new, new), "$"))


def not_understood(node: Any) -> set[str]:
    """Return the key words of a document that are not compared."""
    if isinstance(node, list):
        return {word for each in node for word in not_understood(each)}
    if not isinstance(node, dict):
        return set()
    found = node.keys() - UNDERSTOOD
    for word, value in node.items():
        if word in ("properties", "$defs"):
            found |= not_understood(list(value.values()))
        elif word not in ("enum", "const"):
            found |= not_understood(value)
    return found


def _narrowed(old: Schema, new: Schema, at: str) -> Iterator[str]:
    """Yield what is narrower; of alternatives, each needs one that takes all of it."""
    for before in old.options():
        tries = [list(_one_narrowed(before, now, at)) for now in new.options()]
        if all(tries):
            yield from min(tries, key=len)


def _one_narrowed(old: Schema, new: Schema, at: str) -> Iterator[str]:
    yield from _values_narrowed(old, new, at)
    yield from _bounds_narrowed(old.node, new.node, at)
    before, now = old.types(), new.types()
    if now and (not before or before - now - ({"integer"} if "number" in now else set())):
        yield f"{at}: type"
    for name in set(new.node.get("required", ())) - set(old.node.get("required", ())):
        yield f"{at}.{name}: required"
    yield from _members_narrowed(old, new, at)
    if "items" in new.node:
        items = old.at(old.node.get("items", {}))
        yield from _narrowed(items, new.at(new.node["items"]), f"{at}[]")


def _bounds_narrowed(old: Node, new: Node, at: str) -> Iterator[str]:
    for word in (*LOWER_BOUNDS, *UPPER_BOUNDS):
        sign = 1 if word in LOWER_BOUNDS else -1
        if word in new and (word not in old or sign * new[word] > sign * old[word]):
            yield f"{at}: {word}"
    for word in UNCHANGING:
        if word in new and new[word] != old.get(word):
            yield f"{at}: {word}"


def _values_narrowed(old: Schema, new: Schema, at: str) -> Iterator[str]:
    before, now = old.values(), new.values()
    if now is None:
        return
    if before is None:
        yield f"{at}: closed"
    else:
        yield from (f"{at}: {value!r} is gone" for value in before if value not in now)


def _members_narrowed(old: Schema, new: Schema, at: str) -> Iterator[str]:
    others, others_before = (each.node.get("additionalProperties", True) for each in (new, old))
    known = new.node.get("properties", {})
    for name, before in old.node.get("properties", {}).items():
        if name in known:
            yield from _narrowed(old.at(before), new.at(known[name]), f"{at}.{name}")
        elif others is False:
            yield f"{at}.{name}: gone"
    if others is False and others_before is not False:
        yield f"{at}.*: closed"
    elif isinstance(others, dict) and others_before is not False:
        before = others_before if isinstance(others_before, dict) else {}
        yield from _narrowed(old.at(before), new.at(others), f"{at}.*")
