"""Defend on labelled scenarios: all of the attacks, and nothing on quiet days."""

from tests.unit.defend_scenarios import ATTACKS, QUIET_DAYS, Expected, Scenario, stories
from tests.unit.defend_signals import found_in


def test_every_attack_is_found_and_nothing_else() -> None:
    """Recall and precision over the labelled scenarios are 1; what differs is named."""
    hits = misses = alarms = 0
    wrong: list[tuple[str, Expected, Expected]] = []
    for scenario, found in results(ATTACKS + QUIET_DAYS):
        hits += len(found & scenario.expected)
        misses += len(scenario.expected - found)
        alarms += len(found - scenario.expected)
        if found != scenario.expected:
            wrong.append((scenario.name, scenario.expected - found, found - scenario.expected))
    recall, precision = hits / (hits + misses), hits / max(1, hits + alarms)
    print(
        f"\nDefend on {len(ATTACKS)} attacks and {len(QUIET_DAYS)} quiet days: "
        f"recall {recall:.2f}, precision {precision:.2f}"
    )
    assert (wrong, recall, precision) == ([], 1.0, 1.0)


def test_a_quiet_day_gives_no_finding() -> None:
    """None of the quiet days gives a finding of any severity."""
    assert {s.name: found for s, found in results(QUIET_DAYS) if found} == {}


def results(scenarios: tuple[Scenario, ...]) -> list[tuple[Scenario, Expected]]:
    """Return each scenario with the rule and subject of what is found in it."""
    return [
        (scenario, {(each.rule, each.subject) for each in found_in(signals).values()})
        for scenario, signals in stories(scenarios)
    ]
