"""An undisturbed pass of Defend: what its rules say of all canonical events at once.

This alone of what the oracle is given comes from the product: what the rules mean is for their own
tests, and what is judged after the faults is that nothing but the events has decided.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from processor.defend.detector import Observation
from processor.defend.records import of_canonical
from processor.defend.rules import ACTIONS, RULES, Signal, hours_of
from processor.defend.rules.hours import NAMES_MAX
from processor.defend.rules.judge import Span
from processor.defend.rules.subject import fair_share
from schemas.finding import HOUR_MS, SEVERITIES
from tests.faults.catalog import ACTIONS as CATALOG
from tests.faults.world import Due, Finding, Seen

READ = tuple(dict.fromkeys(CATALOG[action][0] for action in ACTIONS))
"""The canonical topics that Defend reads."""


def findings(canonical: Iterable[Seen]) -> list[Due]:
    """Return everything that there is to be found."""
    by_org: dict[str, list[Seen]] = defaultdict(list)
    for record in canonical:
        if record.header("ce_hubaction") in ACTIONS:
            by_org[record.header("ce_orgid") or ""].append(record)
    return [due for org, records in by_org.items() for due in _of(org, records)]


def _of(org: str, records: Iterable[Seen]) -> Iterator[Due]:
    told = {record.header("ce_id"): of_canonical(record.value) for record in records}
    sets: dict[tuple[int, str, int], list[Signal]] = defaultdict(list)
    for each in told.values():
        if isinstance(each, Observation):
            _collect(each.signal, sets)
    for (number, subject, hour_ms), signals in sets.items():
        most = _judged(org, number, subject, hour_ms, signals)
        if most is not None:
            kept = _kept(signals, RULES[number].window_ms)
            whole = len(kept) == len(signals)
            yield Due(most if whole else _judged(org, number, subject, hour_ms, kept), most)


def _collect(signal: Signal, sets: dict[tuple[int, str, int], list[Signal]]) -> None:
    for number, rule in enumerate(RULES):
        if signal.action in rule.actions and (subject := rule.subject(signal)):
            for hour_ms in hours_of(signal.at_ms, rule.window_ms):
                sets[number, subject, hour_ms].append(signal)


def _kept(signals: Iterable[Signal], window_ms: int) -> list[Signal]:
    """Return what Defend is sure to keep of an hour: its share of each action in each slice."""
    slices: dict[tuple[str, int], list[Signal]] = defaultdict(list)
    for signal in signals:
        slices[signal.action, signal.at_ms // window_ms].append(signal)
    return [signal for several in slices.values() for signal in fair_share(several)]


def _judged(
    org: str, number: int, subject: str, hour_ms: int, signals: Sequence[Signal]
) -> Finding | None:
    rule = RULES[number]
    found = rule.judge(sorted(signals), Span(hour_ms, hour_ms + HOUR_MS, rule.window_ms))
    if found is None:
        return None
    evidence = found.evidence
    return Finding(
        org,
        rule.name,
        rule.subject_type,
        subject,
        hour_ms,
        "",
        0,
        SEVERITIES.index(found.severity),
        evidence[0].at_ms,
        evidence[-1].at_ms,
        _names(each.actor for each in evidence),
        _names(each.address for each in evidence),
        frozenset(each.seq for each in evidence),
    )


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if name})[:NAMES_MAX])
