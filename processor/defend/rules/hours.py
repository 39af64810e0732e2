"""The signals of the hours that are being judged: sets, so that nothing but their content counts.

An hour that is not here is asked of the store, which has every entry before the bus has it. So
this is a cache: it may be cleared at any time, and is whenever partitions change hands.

Alerts are rare, and what they are compared with is most of what happens: for the rules about them
an hour holds nothing until it has one, and is then begun again.
"""

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from processor.defend.rules.judge import Pair, Span, pair_of
from processor.defend.rules.signals import ALERT
from processor.defend.rules.table import ALERTED_RULES, RULES, RULES_OF, WINDOW_MS_MAX
from processor.normalize.entry_id import entry_id
from schemas.finding import HOUR_MS, RuleName, Severity, SubjectType
from schemas.signal import Signal

SIGNALS_KEPT_MAX = 1_000
"""Of one action and subject in a slice of time, which is as long as the rule's window.

No rule needs more than a few to see that it is met, and a flood in one slice hides no other.
"""

TRIED_MAX = 20_000
"""Of a slice's failed logins that are left out, so many pairs of account and address are known, the
first in their order: of a subject's hour 160,000, some 50 MB. Each counts as a signal that is held.
"""

NAMES_MAX = 20
"""Of actors and of addresses in a finding, in alphabetical order."""

OrgHour = tuple[str, int]
"""An organization, and the beginning of an hour."""


Slice = tuple[int, str, str, int]
"""A rule, its subject, an action, and the number of a stretch of time as long as the window."""


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

    __slots__ = ("alerted", "kept", "size", "told", "tried")

    def __init__(self, *, alerted: bool) -> None:
        self.alerted = alerted
        self.kept: dict[Slice, set[Signal]] = {}
        self.tried: dict[Slice, set[Pair]] = {}
        self.told: dict[tuple[int, str], Found] = {}
        self.size = 0

    def takes(self, rule: int) -> bool:
        """Tell whether signals are kept for a rule."""
        return self.alerted or rule not in ALERTED_RULES


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
                window_ms = RULES[number].window_ms
                if hour.takes(number) and hour_ms in hours_of(signal.at_ms, window_ms):
                    _add(hour, number, signal)
        self.held += hour.size - before

    def add(self, org_id: str, signal: Signal) -> Iterator[Key]:
        """Add a signal to the hours it counts in, and yield what is to be judged again."""
        for number in RULES_OF.get(signal.action, ()):
            rule = RULES[number]
            for hour_ms in hours_of(signal.at_ms, rule.window_ms):
                hour = self._hours[org_id, hour_ms]
                before = hour.size
                if hour.takes(number) and (subject := _add(hour, number, signal)):
                    self.held += hour.size - before
                    self._hours.move_to_end((org_id, hour_ms))
                    key = Key(org_id, hour_ms, number, subject)
                    if not rule.trigger or _count(hour, key, rule.trigger) >= rule.least:
                        yield key

    def judged(self, keys: Iterable[Key]) -> list[Found]:
        """Return what is found that was not yet known to be found."""
        news = []
        for key in dict.fromkeys(keys):
            hour = self._hours[key.org_id, key.hour_ms]
            before = hour.size
            found = _judged(hour, key)
            self.held += hour.size - before
            if found is not None and hour.told.get((key.rule, key.subject)) != found:
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


def fair_share(signals: Collection[Signal]) -> Collection[Signal]:
    """Return what counts of a slice: everybody's first signal, then everybody's second, and so on.

    Each account, address and kind of signal has its turns, so that no flood hides what is beside
    it. What is left out of some signals is left out of more as well, so that no order matters.
    """
    if len(signals) <= SIGNALS_KEPT_MAX:
        return signals
    turns: Counter[object] = Counter()

    def turn(signal: Signal) -> tuple[int, bool]:
        """Return the how many-th of its kind a signal is; marks are sets, which have no order."""
        kind = signal.account, signal.address, signal.marks
        turns[kind] += 1
        return turns[kind], "malicious" not in signal.marks

    return sorted(sorted(signals), key=turn)[:SIGNALS_KEPT_MAX]


def _add(hour: _Hour, number: int, signal: Signal) -> str:
    """Add a signal to a rule's subject, and return that; empty if it is not for the rule."""
    rule = RULES[number]
    subject = rule.subject(signal)
    if subject:
        at = number, subject, signal.action, signal.at_ms // rule.window_ms
        kept = hour.kept.setdefault(at, set())
        before = len(kept)
        kept.add(signal)  # whole: an alert may be sent again with another verdict or time
        hour.size += len(kept) - before
        if len(kept) > 2 * SIGNALS_KEPT_MAX:
            _cut(hour, at)
    return subject


def _cut(hour: _Hour, at: Slice) -> None:
    """Leave of a slice what counts; of the failed logins that do not, who tried from where.

    Of all that a flood tries one may be let in, and its failure be among those that are left out.
    """
    kept = hour.kept[at]
    if len(kept) <= SIGNALS_KEPT_MAX:
        return
    share = hour.kept[at] = set(fair_share(kept))
    hour.size += len(share) - len(kept)
    if at[2] == "auth.login_failed":
        before = hour.tried.get(at, set())
        tried = before.union(map(pair_of, kept - share))
        hour.tried[at] = set(sorted(tried)[:TRIED_MAX]) if len(tried) > TRIED_MAX else tried
        hour.size += len(hour.tried[at]) - len(before)


def _slices(hour: _Hour, key: Key, action: str) -> Iterator[Slice]:
    """Yield the slices of an action, from one window before the hour to one after it."""
    window_ms = RULES[key.rule].window_ms
    first = key.hour_ms // window_ms
    for number in range(first - 1, first + HOUR_MS // window_ms + 1):
        at = key.rule, key.subject, action, number
        if at in hour.kept:
            yield at


def _count(hour: _Hour, key: Key, action: str) -> int:
    return sum(len(hour.kept[at]) for at in _slices(hour, key, action))


def _judged(hour: _Hour, key: Key) -> Found | None:
    rule = RULES[key.rule]
    slices = [at for action in rule.actions for at in _slices(hour, key, action)]
    for at in slices:
        _cut(hour, at)
    signals = sorted(signal for at in slices for signal in hour.kept[at])
    if len(signals) < rule.least:
        return None
    tried = tuple(hour.tried[at] for at in slices if at in hour.tried)
    span = Span(key.hour_ms, key.hour_ms + HOUR_MS, rule.window_ms, tried)
    verdict = rule.judge(signals, span)
    if verdict is None:
        return None
    evidence = verdict.evidence
    return Found(
        entry_id(key.hour_ms, "finding", key.org_id, rule.name, rule.subject_type, key.subject),
        key.org_id, rule.name, verdict.severity, rule.subject_type, key.subject, key.hour_ms,
        evidence[0].at_ms, evidence[-1].at_ms,
        _names(each.actor for each in evidence),
        _names(each.address for each in evidence),
        tuple(sorted({each.seq for each in evidence if each.action != ALERT})),
        tuple(sorted({each.id for each in evidence if each.action == ALERT})),
    )  # fmt: skip


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if name})[:NAMES_MAX])


def _is(rule: object, found: Found) -> bool:
    return (rule.name, rule.subject_type) == (found.rule, found.subject_type)  # type: ignore[attr-defined]
