"""The judge of a soak finds nothing in a right world, and every bug the full run's judge finds."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from processor.local.kafka import Broker
from processor.local.postgres import Server
from processor.store.migrations import migrate
from tests.conftest import database, dsn_of
from tests.faults import soak_report
from tests.faults.compact import digest_of_record
from tests.faults.ideal import ideal_world
from tests.faults.judge_stream import Judge
from tests.faults.load import BATCH
from tests.faults.plants import PLANTS, Plant, copy_of
from tests.faults.run import crashes, on_field
from tests.faults.soak import Soak
from tests.faults.soak_watch import Late
from tests.faults.source import Result, Sum
from tests.faults.verdict import COUNTERS, Verdict
from tests.faults.world import Place, Seen, World

NOT_JUDGED = ("siem_", "findings_")


class Streams:
    """A world as the judge of a soak reads it."""

    def __init__(self, world: World) -> None:
        """Take the world."""
        self.frame = world

    def ledger(self, keep: Callable[[dict[str, Any]], Result]) -> Iterator[Result]:
        """Yield the lines, and one acknowledgement of all."""
        for line in self.frame.ledger.values():
            yield keep({**line})
        yield keep({"acked": [(n, *where) for n, where in self.frame.acked.items()]})

    def raw(self) -> Iterator[Seen]:
        """Yield the raw records."""
        yield from sorted(self.frame.raw, key=lambda record: record.spot)

    def rows(self, keep: Callable[[dict[str, Any]], Result]) -> Iterator[Result]:
        """Yield the entries."""
        yield from map(keep, self.frame.rows)

    def dead_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the dead letters of the table."""
        yield from self.frame.dead_rows

    def published(self, keep: Callable[[Seen], Result]) -> Iterator[Result]:
        """Yield what is on the canonical topics and that of the dead letters."""
        every = (*self.frame.canonical, *self.frame.dead)
        yield from map(keep, sorted(every, key=lambda record: record.spot))

    def live(self) -> Mapping[Place, Sum]:
        """Return what was seen meanwhile."""
        seen: dict[Place, Sum] = defaultdict(Sum)
        for record in self.frame.live:
            seen[record.spot[:2]].add(digest_of_record(record))
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


@pytest.mark.timeout(300)
def test_a_short_soak(proxied: Broker, postgres_server: Server, tmp_path: Path) -> None:
    """A soak of two short minutes is clean, has seen events come, and writes its page."""
    admin = postgres_server.dsn("postgres")
    with database(admin, template="template1") as name:
        dsn = dsn_of(admin, name)
        asyncio.run(migrate(dsn))
        run = Soak(minutes=2, share=0.7, rate=200, workers=2, lanes=4, seed=5)
        run.backlog = 5 * BATCH
        run.kinds, run.minute_seconds = ("backends ended", "bus cut"), 6.0
        verdict = on_field(run, proxied, postgres_server, dsn, tmp_path)
    assert verdict.clean, verdict
    assert crashes(tmp_path) == []
    assert verdict.totals["raw"] == run.sent + 20 + run.backlog
    assert sum(len(each.struck) + len(each.quiet) for each in run.done) > 0
    page = soak_report.page({**soak_report.figures(run, verdict), "versions": {}})
    assert "| backends ended | F8 |" in page
    assert "| memory, MiB |" in page


def test_lateness_is_counted() -> None:
    """A share of events came no later than what is said, and nothing is said of none."""
    late = Late()
    assert late.quantile(0.5) is None
    for each in (*range(1, 100), 4_321):
        late.add(each)
    assert (late.quantile(0.5), late.quantile(0.99), late.quantile(1)) == (50, 99, 4_320)
    assert len(Late.of([late, late])) == 200


@pytest.mark.parametrize(
    ("change", "said"),
    [(-0.684, "held"), (0.0, "held"), (0.1, "held"), (0.101, "**missed**"), (None, "**missed**")],
)
def test_a_p99_that_fell_is_no_miss(change: float | None, said: str) -> None:
    """Lateness may not have risen between the faults; that it fell is no failure."""
    kept = json.loads(Path(soak_report.__file__).with_name("SOAK.json").read_text())
    kept |= {"backlog": 0, "quiet": {**kept["quiet"], "p99_change": change}}
    (line,) = (x for x in soak_report.page(kept).splitlines() if x.startswith("| p99 between"))
    assert line.endswith(f"| {said} |")
