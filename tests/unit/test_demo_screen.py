"""The demo's view: what a newcomer reads off it."""

import asyncio
import io

import orjson
import pytest
from aiokafka.errors import KafkaConnectionError
from rich.console import Console

from processor.demo.scene import Scene, Totals
from processor.demo.screen import Rate, Screen
from processor.demo.watch import look, outlast
from processor.local.port import free_port
from schemas.entry import Entry

BEFORE = Totals(passed=1_000_000, entries=900_000, discards=100_000)
"""What stood in the books when the demo began, for the second time."""


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
    scene.looked(BEFORE, 0)
    scene.looked(
        Totals(passed=1_000_009, entries=900_002, duplicates=3, discards=100_003, dead_letters=1),
        1234,
    )
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
    assert "published 1243  stored 9 (" in line


def test_what_stood_in_the_books_before_is_no_rate() -> None:
    """A second start begins at nothing, as the first did, and shows no million a second."""
    scene = Scene("x")
    rate = Rate(lambda: scene.totals.passed)
    assert rate.per_second() == 0
    scene.looked(BEFORE, 5)
    assert (rate.per_second(), scene.totals, scene.published) == (0, Totals(), 5)
    scene.looked(BEFORE._replace(passed=1_000_004, balanced=False), 1)
    assert (scene.totals.passed, scene.published, scene.totals.balanced) == (4, 5, False)


async def test_server_that_is_away_is_said_and_waited_for() -> None:
    """Neither the look at the books nor what needs the bus ends by it."""
    scene, bus, tries = filled(), f"127.0.0.1:{free_port()}", 0

    async def fail() -> None:
        """Meet an outage, in a group as by itself."""
        nonlocal tries
        tries += 1
        if tries % 2:
            raise KafkaConnectionError
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.open_connection("127.0.0.1", free_port()))

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(look(bus, f"postgresql://127.0.0.1:{free_port()}/audit", scene)),
            group.create_task(outlast(fail)),
        ]
        while scene.away is None or tries < 3:  # noqa: ASYNC110 - nobody tells of a look
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
    assert Screen(Console(), scene, []).line().endswith("p95 900 ms  database away")
    scene.looked(BEFORE, 0)
    assert scene.away is None
