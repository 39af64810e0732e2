"""Bugs to plant into what the subscribers of a right world were told and have found."""

from typing import Any

from tests.faults.plants import Plant
from tests.faults.world import Told, World


def _told_twice(world: World) -> None:
    world.siems[0].told.insert(4, world.siems[0].told[3])


def _not_told(world: World) -> None:
    """Leave an entry out, its numbers too, as one does who believes to have told it."""
    told = world.siems[0].told
    gone = told.pop(3)
    told[3] = told[3]._replace(previous=gone.previous)


def _not_told_at_the_end(world: World) -> None:
    told = world.siems[1].told
    told[:] = [one for one in told if one.kind == "live"][:-2]


def _told_of_others(world: World) -> None:
    one, other = world.siems
    other.told[3] = one.told[3]._replace(
        previous=other.told[3].previous, through=other.told[3].through
    )


def _told_to_another(world: World) -> None:
    """Tell an organization's entry under the number and name of another's."""
    one, other = world.siems
    leaked = one.told[3].markers
    other.told[3] = other.told[3]._replace(markers=leaked)


def _told_what_is_filtered(world: World) -> None:
    world.siems[1].wanted = {"categories": ["users"]}


def _told_otherwise(world: World) -> None:
    world.siems[0].told[3] = world.siems[0].told[3]._replace(content=5)


def _told_too_late(world: World) -> None:
    told = world.siems[0].told
    told[3], told[4] = (
        told[4]._replace(previous=told[3].previous, through=told[3].through),
        told[3]._replace(previous=told[4].previous, through=told[4].through),
    )


def _chain_torn(world: World) -> None:
    world.siems[0].told[4] = world.siems[0].told[4]._replace(previous=1)


def _replay_lost(world: World) -> None:
    told = world.siems[0].told
    told[:] = [one for one in told if one.kind == "live"]


def _replay_with_a_hole(world: World) -> None:
    told = world.siems[0].told
    gone = next(one for one in told if one.kind != "live")
    told.remove(gone)
    told[-1] = told[-1]._replace(previous=gone.previous)


def _test_told_twice(world: World) -> None:
    through = world.siems[0].told[-1].through
    test = Told("test 1", 0, through, through, None, 0, 999, frozenset())
    world.siems[0].told += [test, test]


def _finding_lost(world: World) -> None:
    gone = world.findings.stored.pop()
    world.findings.told.remove(gone)


def _finding_not_told(world: World) -> None:
    world.findings.told.pop()


def _growth_not_told(world: World) -> None:
    world.findings.told[0] = world.findings.told[0]._replace(version=2)


def _found(world: World, index: int, **changed: Any) -> None:
    """Change a finding where it is stored and where it is told."""
    for several in (world.findings.stored, world.findings.told):
        several[index] = several[index]._replace(**changed)


def _evidence_lost(world: World) -> None:
    _found(world, 0, seqs=frozenset({1, 3}))


def _evidence_lost_of_many(world: World) -> None:
    _found(world, 1, seqs=frozenset({1, 3}))


def _evidence_invented(world: World) -> None:
    _found(world, 1, seqs=frozenset({1, 2, 3, 9}))


def _finding_invented(world: World) -> None:
    _found(world, 0, subject="nobody")


def _finding_of_another_time(world: World) -> None:
    _found(world, 0, last_ms=5)


def _finding_told_otherwise(world: World) -> None:
    world.findings.told[1] = world.findings.told[1]._replace(severity=1)


def _finding_twice(world: World) -> None:
    again = world.findings.stored[0]._replace(finding_id="another")
    world.findings.stored.append(again)
    world.findings.told.append(again)


def _order_left_open(world: World) -> None:
    world.siems[0].open.append("replay 1")


def _finding_torn(world: World) -> None:
    world.findings.torn.append("version 2")


def _finding_names_others(world: World) -> None:
    _found(world, 1, actors=world.findings.stored[0].actors)


# The bug, and the counter that must not stay 0.
PLANTS: tuple[tuple[Plant, str], ...] = (
    (_told_twice, "siem_repeated"),
    (_told_twice, "siem_broken"),
    (_not_told, "siem_lost"),
    (_not_told_at_the_end, "siem_broken"),
    (_told_of_others, "siem_foreign"),
    (_told_of_others, "wrong_org"),
    (_told_to_another, "wrong_org"),
    (_told_what_is_filtered, "siem_foreign"),
    (_told_otherwise, "siem_foreign"),
    (_told_too_late, "siem_disorder"),
    (_chain_torn, "siem_broken"),
    (_replay_lost, "siem_lost"),
    (_replay_with_a_hole, "siem_lost"),
    (_test_told_twice, "siem_repeated"),
    (_order_left_open, "siem_open"),
    (_finding_lost, "findings_lost"),
    (_finding_not_told, "findings_lost"),
    (_growth_not_told, "findings_lost"),
    (_evidence_lost, "findings_lost"),
    (_evidence_lost_of_many, "findings_lost"),
    (_evidence_invented, "findings_invented"),
    (_finding_invented, "findings_invented"),
    (_finding_of_another_time, "findings_invented"),
    (_finding_told_otherwise, "findings_invented"),
    (_finding_twice, "findings_repeated"),
    (_finding_torn, "findings_repeated"),
    (_finding_names_others, "wrong_org"),
)
