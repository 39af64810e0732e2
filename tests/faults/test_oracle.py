"""The oracle finds nothing in a right world, and every one of the planted bugs."""

from pathlib import Path

import pytest

from tests.faults import plants_subscribers, undisturbed
from tests.faults.ideal import ideal_world
from tests.faults.oracle import judge
from tests.faults.plants import PLANTS, Plant, copy_of
from tests.faults.run import crashes
from tests.faults.verdict import COUNTERS
from tests.faults.world import World

ALL_PLANTS = (*PLANTS, *plants_subscribers.PLANTS)
CRITICAL = 3


@pytest.fixture(scope="module")
def world() -> World:
    """Give a world in which everything is right."""
    return ideal_world()


def test_a_right_world_is_clean(world: World) -> None:
    """The oracle says nothing of a world that is right."""
    verdict = judge(world)
    assert verdict.clean, verdict


def test_a_right_world_has_every_kind_of_end(world: World) -> None:
    """The small world has entries, repeats, conflicts, discards and dead letters to judge."""
    ends = {line["end"] for line in world.ledger.values()}
    kinds = {line["kind"] for line in world.ledger.values()}
    assert ends == {"entry", "discard", "dead_letter"}
    assert {"same bytes", "same event", "conflict"} <= kinds


def test_the_load_has_every_attack_for_defend_to_find() -> None:
    """An undisturbed pass over a load with attacks finds all that they are, and says how bad."""
    world = ideal_world(400, attacks=0.5)
    found = {each.most.rule: each for each in undisturbed.findings(world.canonical)}
    rules = {"brute_force", "impossible_travel", "brief_access", "grant_burst", "mass_deactivation"}
    assert rules <= found.keys()
    assert found["brute_force"].most.severity == CRITICAL


@pytest.mark.parametrize(
    ("plant", "counter"), ALL_PLANTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_planted_bug_is_caught(world: World, plant: Plant, counter: str) -> None:
    """A planted bug raises the counter that is there for it."""
    spoiled = copy_of(world)
    plant(spoiled)
    assert judge(spoiled).counts[counter] > 0, judge(spoiled)


def test_every_counter_has_a_planted_bug() -> None:
    """No counter is there that could not speak."""
    assert COUNTERS.keys() == {counter for _, counter in ALL_PLANTS}


def test_a_process_that_ended_by_a_bug_is_told(tmp_path: Path) -> None:
    """Each time its log says so, and not when it ended by an outage, which is no bug."""
    crash = '{"at": "2026-11-23T08:00:00.000+00:00", "level": "error", "event": "crashed"}\n'
    outage = crash.replace("crashed", "ended")
    (tmp_path / "defend-0.log").write_text(outage + crash)
    (tmp_path / "defend-1.log").write_text(crash + outage + crash)
    (tmp_path / "worker-0.log").write_text(outage)
    assert crashes(tmp_path) == ["defend-0.log", "defend-1.log", "defend-1.log"]
