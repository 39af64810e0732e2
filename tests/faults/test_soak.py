"""The judge of a soak finds nothing in a right world, and every bug the full run's judge finds."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.faults.ideal import ideal_world
from tests.faults.judge_stream import Judge, Sum
from tests.faults.plants import PLANTS, Plant, copy_of
from tests.faults.verdict import COUNTERS, Verdict
from tests.faults.world import Place, Seen, World

NOT_JUDGED = ("siem_", "findings_")


class Streams:
    """A world as the judge of a soak reads it."""

    def __init__(self, world: World) -> None:
        """Take the world."""
        self.frame = world

    def ledger(self) -> Iterator[dict[str, Any]]:
        """Yield the lines, and one acknowledgement of all."""
        for line in self.frame.ledger.values():
            yield {**line}
        yield {"acked": [(n, *where) for n, where in self.frame.acked.items()]}

    def raw(self) -> Iterator[Seen]:
        """Yield the raw records."""
        yield from sorted(self.frame.raw, key=lambda record: record.spot)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the entries."""
        yield from self.frame.rows

    def dead_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the dead letters of the table."""
        yield from self.frame.dead_rows

    def published(self) -> Iterator[Seen]:
        """Yield what is on the canonical topics and that of the dead letters."""
        every = (*self.frame.canonical, *self.frame.dead)
        yield from sorted(every, key=lambda record: record.spot)

    def live(self) -> Mapping[Place, Sum]:
        """Return what was seen meanwhile."""
        seen: dict[Place, Sum] = defaultdict(Sum)
        for record in self.frame.live:
            seen[record.spot[:2]].add(record)
        return seen


def judged(world: World) -> Verdict:
    """Return the verdict on a world."""
    return Judge(Streams(world)).judge()


@pytest.fixture(scope="module")
def world() -> World:
    """Give a world in which everything is right."""
    return ideal_world()


def test_a_right_world_is_clean(world: World) -> None:
    """The judge of a soak says nothing of a world that is right, and has seen all of it."""
    verdict = judged(copy_of(world))
    assert verdict.clean, verdict
    seen = {name: verdict.totals[name] for name in ("raw", "rows", "canonical", "dead_letters")}
    assert seen == {
        "raw": len(world.raw),
        "rows": len(world.rows),
        "canonical": len(world.canonical),
        "dead_letters": len(world.dead_rows),
    }


@pytest.mark.parametrize(
    ("plant", "counter"), PLANTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_planted_bug_is_caught(world: World, plant: Plant, counter: str) -> None:
    """A bug planted for the full run's judge raises the same counter here."""
    spoiled = copy_of(world)
    plant(spoiled)
    assert judged(spoiled).counts[counter] > 0, judged(spoiled)


def test_every_counter_has_a_planted_bug() -> None:
    """No counter of what a soak judges is there that could not speak."""
    due = {counter for counter in COUNTERS if not counter.startswith(NOT_JUDGED)}
    assert due == {counter for _, counter in PLANTS}
