"""A seeded mutator: bytes as bytes, JSON as a tree, headers as pairs, text as pieces."""

import copy
import json
from random import Random
from typing import Any

BYTES = (
    *(
        b"\x00",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"{",
        b"}",
        b"[",
        b'"',
        b"\\",
        b"\\u0000",
    ),
    *(b"\\ud800", b"1e400", b"NaN", b"-0", b"9" * 40, b"null", b",", b":", b"\r\n", b"\x7f"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**53, 2**64, -(10**30), 1e308, "", " ", "\x00", "\ud800"),
    *(
        "a" * 300,
        "x" * 5000,
        "2026-02-30T00:00:00Z",
        "2026-11-23T10:00:60Z",
        "0000-01-01T00:00:00Z",
    ),
    *("9999-12-31T23:59:59Z", "2026-11-23T10:00:00+14:00", "user", "support", "1.2.3.4:99999"),
    *("::ffff:1.2.3.4", "fe80::1%eth0", "10.0.0.0/8", "4111 1111 1111 1111", "acme.eu", "\u202e"),
    *({}, [], [[]], {"": ""}, {"password": "x"}, {"a": {"b": {"c": 1}}}, ["a", 1, None]),
)
KEYS = ("id", "type", "data", "actor", "email", "before", "after", "time", "orgid", "", "password")
HEADERS = ("content-type", "ce_id", "ce_type", "ce_time", "ce_orgid", "CE_Source", "traceparent")
JSON_SHARE = 0.75
CHANGES_MAX = 4


def value(rng: Random, sample: bytes) -> bytes:
    """Return a mutated value."""
    if rng.random() < JSON_SHARE:
        try:
            return _tree(rng, json.loads(sample))
        except ValueError:
            pass
    return _spliced(rng, sample)


def headers(rng: Random, pairs: list[tuple[str, bytes]]) -> list[tuple[str, bytes | None]]:
    """Return mutated headers, most often the same."""
    found: list[tuple[str, bytes | None]] = list(pairs)
    if rng.random() < 0.7:
        return found
    if found and rng.random() < 0.5:
        at = rng.randrange(len(found))
        name, text = found[at]
        found[at] = (name, None if rng.random() < 0.1 else _spliced(rng, text or b""))
    else:
        found.append((rng.choice(HEADERS), rng.choice(BYTES)))
    return found


def text(rng: Random, sample: str, pieces: tuple[str, ...]) -> str:
    """Return a mutated text."""
    for _ in range(rng.randint(1, CHANGES_MAX)):
        at = rng.randrange(len(sample) + 1)
        to = min(len(sample), at + rng.randrange(6))
        piece = rng.choice(pieces) if rng.random() < 0.7 else chr(rng.randrange(0x11000))
        sample = sample[:at] + piece + sample[to:]
    return sample


def _spliced(rng: Random, sample: bytes) -> bytes:
    """Replace, remove, insert or repeat pieces of bytes."""
    for _ in range(rng.randint(1, CHANGES_MAX)):
        at = rng.randrange(len(sample) + 1)
        to = min(len(sample), at + rng.choice((0, 1, 1, 2, 8, 64)))
        middle = rng.choice(
            (b"", rng.choice(BYTES), bytes([rng.randrange(256)]), sample[at:to] * 2)
        )
        sample = sample[:at] + middle + sample[to:]
    return sample


def _tree(rng: Random, tree: Any) -> bytes:
    """Change some nodes of a document."""
    for _ in range(rng.randint(1, CHANGES_MAX)):
        nodes = list(_containers(tree))
        if not nodes:
            break
        _change(rng, rng.choice(nodes))
    return json.dumps(tree, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def _containers(tree: Any) -> Any:
    if isinstance(tree, dict | list) and tree:
        yield tree
        for inner in tree.values() if isinstance(tree, dict) else tree:
            yield from _containers(inner)


def _value(rng: Random) -> Any:
    """Return a value of its own: it may be changed in turn."""
    return copy.deepcopy(rng.choice(VALUES))


def _change(rng: Random, node: Any) -> None:
    """Change one entry of an object or a list."""
    at = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
    dice = rng.random()
    if dice < 0.45:
        node[at] = _value(rng)
    elif dice < 0.6:
        del node[at]
    elif dice < 0.75:
        node[at] = [node[at]] if rng.random() < 0.5 else {rng.choice(KEYS): node[at]}
    elif isinstance(node, dict):
        node[rng.choice(KEYS)] = node.pop(at) if dice < 0.87 else _value(rng)
    else:
        node.append(_value(rng))
