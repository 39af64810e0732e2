"""What is fuzzed: each takes a seed's randomness, and raises for whatever must not come back."""

from collections import Counter
from random import Random
from typing import Any

from processor.api.cursor import Cursors
from processor.api.problems import Problem
from processor.emit import dead_letter
from processor.emit.route import canonical
from processor.ingest.decode import decode
from processor.normalize import Limits, known_org, normalize
from processor.query import QueryError, parse, render
from processor.store.rows import encode
from schemas.entry import Entry
from schemas.entry import render as render_entry
from schemas.record import RawRecord
from schemas.rejection import DeadLetter, Discard, Reason, Rejection
from tests.fuzz import mutate
from tests.fuzz.corpus import NOW_MS, QUERIES, samples

DAY_MS = 86_400_000
LIMITS = Limits(
    retention_ms=90 * DAY_MS,
    oldest_day_ms=NOW_MS - 91 * DAY_MS,
    families={f"raw.{name}": name for name in ("identity", "permission", "billing", "audit")},
)
PIECES = (
    *(
        " ",
        '"',
        ":",
        "-",
        ",",
        "(",
        ")",
        "*",
        "..",
        ">=",
        "<",
        "\\",
        "\x00",
        "\u202e",
        "\U0001f600",
    ),
    *("action:", "actor:", "after:", "last:", "ip:", "seq:", "severity:", "9" * 30, "2026-13-45"),
)
REASONS = frozenset(Reason)


def record(rng: Random) -> RawRecord:
    """Return a mutated record."""
    topic, value, headers = rng.choice(samples())
    if rng.random() < 0.05:
        topic = rng.choice(("raw.identity", "raw.billing", "raw.redrive"))
    mutated = mutate.value(rng, value)
    return RawRecord(topic, 3, 77, NOW_MS, b"acme", mutated, mutate.headers(rng, headers))


def path(rng: Random) -> str:
    """Take a record to its end: an entry that encodes, a discard, or one of the reasons."""
    taken = record(rng)
    event = decode(taken, "raw.redrive")
    end = event if isinstance(event, Rejection) else normalize(event, LIMITS)
    if isinstance(end, Discard):
        return f"discard {end.rule}"
    if isinstance(end, Rejection):
        if end.reason not in REASONS:
            raise AssertionError(f"unknown reason {end.reason}")
        org_id = None if isinstance(event, Rejection) else known_org(event.org_id)
        dead_letter.outgoing(DeadLetter(taken, end, org_id))
        return f"{end.reason}"
    _can_go_on(end)
    return "entry"


def _can_go_on(entry: Entry) -> None:
    """Do with an entry what store and emit do."""
    if b"\x00" in encode({**entry, "seq": 1})[200:] and "\x00" in str(entry):
        raise AssertionError("a NUL character in an entry")
    canonical({**entry, "seq": 1})
    render_entry({**entry, "seq": 1})


def query(rng: Random) -> str:
    """Parse a mutated query: a tree that renders to its equal, or an error with its place."""
    asked = mutate.text(rng, rng.choice(QUERIES), PIECES)
    try:
        found = parse(asked)
    except QueryError:
        return "query refused"
    if parse(render(found)) != found:
        raise AssertionError(f"{asked!r} renders to {render(found)!r}")
    return "query"


_CURSORS = Cursors("secret")


def cursor(rng: Random) -> str:
    """Read a mutated cursor: no place that we have not made ourselves."""
    made = "".join(rng.choice("ABCXYZabcxyz0189-_") for _ in range(54))
    try:
        _CURSORS.read("acme", "", mutate.text(rng, made, ("=", "-", "_", "+", "/", "%", "\x00")))
    except Problem:
        return "cursor refused"
    raise AssertionError("a cursor that nobody made was taken")


AIMS: tuple[tuple[Any, int], ...] = ((path, 90), (query, 8), (cursor, 2))


def one(seed: int) -> str:
    """Play one input; return how it ended."""
    rng = Random(seed)
    (aim,) = rng.choices([aim for aim, _ in AIMS], [share for _, share in AIMS])
    return str(aim(rng))


def some(seeds: range) -> tuple[Counter[str], dict[int, str]]:
    """Play many inputs; return how they ended, and the failures by seed."""
    ends: Counter[str] = Counter()
    failed: dict[int, str] = {}
    for seed in seeds:
        try:
            ends[one(seed)] += 1
        except Exception as error:  # noqa: BLE001 - any is a find
            failed[seed] = f"{type(error).__name__}: {error}"[:300]
    return ends, failed
