"""What a JSON Schema refuses that an earlier one accepts, by the key words that ours use."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

Node = dict[str, Any]

LOWER_BOUNDS, UPPER_BOUNDS = ("minimum", "minLength"), ("maximum", "maxLength")
UNCHANGING = ("pattern", "format")
"""Nobody can say whether one of these takes in another: it is the same, or it is gone."""

WORDS = {"$schema", "$id", "$defs", "title", "description"}
ELSEWHERE = {"$ref", "anyOf"}
"""What stands beside one of these is not looked at."""

COMPARED = {
    "type", "enum", "const", "properties", "required", "additionalProperties", "items",
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
        if "anyOf" not in self.node:
            return [self]
        return [one for each in self.node["anyOf"] for one in self.at(each).options()]

    def values(self) -> list[str] | None:
        """Return the only values there are, as JSON; None where it is open."""
        found = [self.node["const"]] if "const" in self.node else self.node.get("enum")
        return None if found is None else [json.dumps(value) for value in found]

    def types(self) -> set[str]:
        """Return the types it takes; none are all."""
        found = self.node.get("type", [])
        return {found} if isinstance(found, str) else set(found)


def narrowings(old: Node, new: Node) -> list[str]:
    """Return what of the old document the new one does not accept any more, by JSON path."""
    return list(_narrowed(Schema(old, old), Schema(new, new), "$"))


def no_longer_said(old: Node, new: Node) -> list[str]:
    """Return what every value of the old document has and one of the new need not have."""
    return list(_no_longer(Schema(old, old), Schema(new, new), "$"))


def _no_longer(old: Schema, new: Schema, at: str) -> Iterator[str]:
    if len(old.options()) > 1:
        return
    (before,), now = old.options(), new.options()[0].node
    for name in before.node.get("required", ()):
        if name not in now.get("required", ()):
            yield f"{at}.{name}: not always there"
        elif name in now.get("properties", {}):
            inner = before.at(before.node["properties"][name]), new.at(now["properties"][name])
            yield from _no_longer(*inner, f"{at}.{name}")


def not_understood(node: Any) -> set[str]:
    """Return the key words of a document that are not compared, there or at all."""
    if isinstance(node, list):
        return {word for each in node for word in not_understood(each)}
    if not isinstance(node, dict):
        return set()
    found = node.keys() - WORDS - (ELSEWHERE if node.keys() & ELSEWHERE else COMPARED)
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
        yield from (f"{at}: {value} is gone" for value in before if value not in now)


def _members_narrowed(old: Schema, new: Schema, at: str) -> Iterator[str]:
    others, others_before = (each.node.get("additionalProperties", True) for each in (new, old))
    known = new.node.get("properties", {})
    for name, before in old.node.get("properties", {}).items():
        if name not in known and others is False:
            yield f"{at}.{name}: gone"
            continue
        now = known.get(name, others if isinstance(others, dict) else {})
        yield from _narrowed(old.at(before), new.at(now), f"{at}.{name}")
    if others is False and others_before is not False:
        yield f"{at}.*: closed"
    elif isinstance(others, dict) and others_before is not False:
        before = others_before if isinstance(others_before, dict) else {}
        yield from _narrowed(old.at(before), new.at(others), f"{at}.*")
