"""The signals of the hours that are being judged: sets, so that nothing but their content counts.

An hour that is not here is asked of the store, which has every entry before the bus has it. So
this is a cache: it may be cleared at any time, and is whenever partitions change hands.

Alerts are rare, and what they are compared with is most of what happens: for the rules about them
an hour holds nothing until it has one, and is then begun again.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from processor.defend.rules.judge import Verdict
from processor.defend.rules.signals import ALERT
from processor.defend.rules.subject import Subject
from processor.defend.rules.table import ALERTED_RULES, RULES, RULES_OF, WINDOW_MS_MAX, Rule
from processor.normalize.entry_id import entry_id
from schemas.finding import HOUR_MS, RuleName, Severity, SubjectType
from schemas.signal import Signal

NAMES_MAX = 20
"""Of actors and of addresses in a finding, in alphabetical order."""

OrgHour = tuple[str, int]
"""An organization, and the beginning of an hour."""


class Key(NamedTuple):
    """What is judged: a rule's subject in an organization's hour."""

    org_id: str
    hour_ms: int
    rule: int
    subject: str


class Found(NamedTuple):
    """What a rule has found, as far as it is known; who reads more finds the same or more."""

    finding_id: str
    org_id: str
    rule: RuleName
    severity: Severity
    subject_type: SubjectType
    subject: str
    hour_ms: int
    first_ms: int
    last_ms: int
    actors: tuple[str, ...]
    addresses: tuple[str, ...]
    seqs: tuple[int, ...]
    alerts: tuple[str, ...]


class _Hour:
    """What is kept of one organization's hour, and what was found in it already."""

    __slots__ = ("alerted", "size", "subjects", "told")

    def __init__(self, *, alerted: bool) -> None:
        self.alerted = alerted
        self.subjects: dict[tuple[int, str], Subject] = {}
        self.told: dict[tuple[int, str], Found] = {}
        self.size = 0

    def takes(self, rule: int) -> bool:
        """Tell whether signals are kept for a rule."""
        return self.alerted or rule not in ALERTED_RULES

    def add(self, rule: int, name: str, signal: Signal) -> Subject:
        """Add a signal to a rule's subject, and return that."""
        subject = self.subjects.get((rule, name))
        if subject is None:
            subject = self.subjects[rule, name] = Subject(RULES[rule])
        before = subject.size
        subject.add(signal)
        self.size += subject.size - before
        return subject

    def judged(self, key: Key) -> Verdict | None:
        """Return what a rule makes of a subject; it may leave some of its signals out."""
        subject = self.subjects[key.rule, key.subject]
        before = subject.size
        verdict = subject.judged(key.hour_ms)
        self.size += subject.size - before
        return verdict


class Hours:
    """The hours that are being judged."""

    def __init__(self, signals_max: int) -> None:
        """Begin with none; with more signals than that, hours touched longest ago are let go.

        An hour counts as one itself: most have nothing for any rule, and would stay for ever.
        """
        self._hours: OrderedDict[OrgHour, _Hour] = OrderedDict()
        self._signals_max = signals_max
        self.held = 0

    def missing(self, org_id: str, signal: Signal) -> Iterator[OrgHour]:
        """Yield the hours that a signal counts in and that have to be begun first."""
        for hour_ms in hours_of(signal.at_ms, WINDOW_MS_MAX):
            hour = self._hours.get((org_id, hour_ms))
            if hour is None or (signal.action == ALERT and not hour.alerted):
                yield org_id, hour_ms

    def begin(self, org_id: str, hour_ms: int, *, alerted: bool = False) -> None:
        """Begin an hour, also one that is held; what the store has of it is added next.

        ``alerted`` is whether there is an alert among that.
        """
        before = self._hours.get((org_id, hour_ms))
        self.drop([(org_id, hour_ms)])
        self._hours[org_id, hour_ms] = hour = _Hour(alerted=alerted)
        self.held += 1
        if before is not None:
            hour.told = before.told

    def fill(self, org_id: str, hour_ms: int, signals: Iterable[Signal]) -> None:
        """Add what the store has of an hour."""
        hour = self._hours[org_id, hour_ms]
        before = hour.size
        for signal in signals:
            for number in RULES_OF.get(signal.action, ()):
                rule = RULES[number]
                if hour.takes(number) and counts_in(hour_ms, signal.at_ms, rule.window_ms):
                    name = rule.subject(signal)
                    if name:
                        hour.add(number, name, signal)
        self.held += hour.size - before

    def add(self, org_id: str, signal: Signal) -> Iterator[Key]:
        """Add a signal to the hours it counts in, and yield what is to be judged again."""
        for number in RULES_OF.get(signal.action, ()):
            rule = RULES[number]
            name = rule.subject(signal)
            if not name:
                continue
            for hour_ms in hours_of(signal.at_ms, rule.window_ms):
                hour = self._hours[org_id, hour_ms]
                if not hour.takes(number):
                    continue
                before = hour.size
                subject = hour.add(number, name, signal)
                self.held += hour.size - before
                self._hours.move_to_end((org_id, hour_ms))
                if subject.suspicious():
                    yield Key(org_id, hour_ms, number, name)

    def judged(self, keys: Iterable[Key]) -> list[Found]:
        """Return what is found that was not yet known to be found."""
        news = []
        for key in dict.fromkeys(keys):
            hour = self._hours[key.org_id, key.hour_ms]
            before = hour.size
            verdict = hour.judged(key)
            self.held += hour.size - before
            if verdict is not None:
                found = _found(key, verdict)
                if hour.told.get((key.rule, key.subject)) != found:
                    news.append(found)
        return news

    def told(self, found: Iterable[Found]) -> None:
        """Note what the store has taken, so that it is not told again."""
        for each in found:
            hour = self._hours.get((each.org_id, each.hour_ms))
            if hour is not None:
                numbers = (n for n, rule in enumerate(RULES) if _is(rule, each))
                hour.told[next(numbers), each.subject] = each

    def trim(self) -> None:
        """Let go of the hours touched longest ago while there are too many signals."""
        while self.held > self._signals_max and self._hours:
            self.drop([next(iter(self._hours))])

    def drop(self, hours: Iterable[OrgHour]) -> None:
        """Let go of some hours."""
        for each in hours:
            gone = self._hours.pop(each, None)
            if gone is not None:
                self.held -= 1 + gone.size

    def clear(self) -> None:
        """Let go of everything: others may have seen more of it."""
        self._hours.clear()
        self.held = 0


def hour_of(at_ms: int) -> int:
    """Return the beginning of an instant's hour."""
    return at_ms - at_ms % HOUR_MS


def hours_of(at_ms: int, window_ms: int) -> tuple[int, ...]:
    """Return the hours in which an instant counts: its own, and the one that is near, if any is.

    No window is longer than half an hour, so that there are never three.
    """
    into = at_ms % HOUR_MS
    own = at_ms - into
    if into < window_ms:
        return own - HOUR_MS, own
    if into >= HOUR_MS - window_ms:
        return own, own + HOUR_MS
    return (own,)


def counts_in(hour_ms: int, at_ms: int, window_ms: int) -> bool:
    """Tell whether an instant counts in an hour: whether that is among its ``hours_of``."""
    return -window_ms <= at_ms - hour_ms < HOUR_MS + window_ms


def _found(key: Key, verdict: Verdict) -> Found:
    rule, evidence = RULES[key.rule], verdict.evidence
    return Found(
        entry_id(key.hour_ms, "finding", key.org_id, rule.name, rule.subject_type, key.subject),
        key.org_id, rule.name, verdict.severity, rule.subject_type, key.subject, key.hour_ms,
        evidence[0].at_ms, evidence[-1].at_ms,
        _names({each.actor for each in evidence}),
        _names({each.address for each in evidence}),
        tuple(sorted({each.seq for each in evidence if each.action != ALERT})),
        tuple(sorted({each.id for each in evidence if each.action == ALERT})),
    )  # fmt: skip


def _names(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names - {""})[:NAMES_MAX])


def _is(rule: Rule, found: Found) -> bool:
    return (rule.name, rule.subject_type) == (found.rule, found.subject_type)
