"""The demo's view: what a newcomer reads off it."""

import io

import orjson
import pytest
from rich.console import Console

from processor.demo.scene import Scene, Totals
from processor.demo.screen import Screen
from schemas.entry import Entry


def entry(seq: int, action: str, recorded_at: str) -> Entry:
    """Return as much of an entry as the view reads."""
    fields = {
        "seq": seq,
        "org_id": "acme",
        "occurred_at": "2026-01-05T10:00:00.000Z",
        "recorded_at": recorded_at,
        "category": "authentication",
        "action": action,
        "outcome": "failure",
        "outcome_reason": "locked",
        "actor": {"type": "user", "email": "ada@acme.example"},
    }
    known: Entry = orjson.loads(orjson.dumps(fields))
    return known


def filled() -> Scene:
    """Return a scene in which everything has happened."""
    scene = Scene("hub.auth.login_failed")
    for seq, at in enumerate(("2026-01-05T10:00:00.100Z", "2026-01-05T10:00:00.900Z"), start=1):
        one = entry(seq, "auth.login_failed", at)
        value = orjson.dumps(one)
        scene.canonical("hub.auth.login_failed", value, one, seen_at=1_767_607_201.0)
    scene.dead_letter("invalid_json")
    scene.totals = Totals(passed=9, entries=2, duplicates=3, discards=3, dead_letters=1)
    scene.lag_records = 1234
    return scene


def test_picture_shows_everything_that_happened() -> None:
    """Rate, lag, latency, books, categories, reasons, newest entries and the tail are there."""
    console = Console(file=io.StringIO(), width=140, height=50, force_terminal=False)
    screen = Screen(console, filled(), [("metrics", "curl http://127.0.0.1:9464/metrics")])
    with console.capture() as capture:
        console.print(screen.draw())
    picture = capture.get()
    for shown in (
        "1,234",
        "900 ms",
        "balance",
        "Product Access",
        "invalid_json",
        "auth.login_failed",
        "failure locked",
        "ada@acme.example",
        '"org_id":"acme"',
        "curl http://127.0.0.1:9464/metrics",
    ):
        assert shown in picture, shown


def test_latency_is_from_the_bus_to_the_subscriber() -> None:
    """Latency is the time from the raw record's append to the canonical event's arrival."""
    scene = filled()
    assert scene.latency_ms(0) == pytest.approx(100, abs=0.1)
    assert scene.latency_ms(1) == pytest.approx(900, abs=0.1)
    assert Scene("x").latency_ms(0.5) is None


def test_line_says_the_same_without_a_terminal() -> None:
    """The plain line carries the counts of the books, the lag and the latency."""
    line = Screen(Console(), filled(), []).line()
    assert "entries 2  duplicates 3  discards 3  dead letters 1  lag 1234" in line
    assert line.endswith("p50 900 ms p95 900 ms")
