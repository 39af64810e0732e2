"""What a rule is told of a subject in an hour: as much as counts, whatever a flood sends."""

from collections import Counter
from collections.abc import Collection
from itertools import chain

from processor.defend.rules.judge import Pair, Span, Verdict, pair_of
from processor.defend.rules.table import Rule
from schemas.finding import HOUR_MS
from schemas.signal import Signal

SIGNALS_KEPT_MAX = 1_000
"""Of one action in a slice of time, which is as long as the rule's window.

No rule needs more than a few to see that it is met, and a flood in one slice hides no other.
"""

TRIED_MAX = 20_000
"""Of a slice's failed logins that are left out, so many pairs of account and address are known, the
first in their order: of a subject's hour 160,000, some 50 MB. Each counts as a signal that is held.
"""

Slice = tuple[str, int]
"""An action, and the number of a stretch of time as long as the rule's window."""


class Subject:
    """The signals of one subject, from one window before an hour to one after it.

    ``size`` is how much is held, ``triggers`` how many of the signals make the rule look.
    """

    __slots__ = ("_rule", "_slices", "_tried", "size", "triggers")

    def __init__(self, rule: Rule) -> None:
        """Begin with none."""
        self._rule = rule
        self._slices: dict[Slice, set[Signal]] = {}
        self._tried: dict[Slice, set[Pair]] | None = None  # few are flooded, and many there are
        self.size = self.triggers = 0

    def add(self, signal: Signal) -> None:
        """Add a signal; one that is there already changes nothing."""
        at = signal.action, signal.at_ms // self._rule.window_ms
        kept = self._slices.get(at)
        if kept is None:
            kept = self._slices[at] = set()
        before = len(kept)
        kept.add(signal)  # whole: an alert may be sent again with another verdict or time
        if len(kept) == before:
            return
        self.size += 1
        self.triggers += self._rule.trigger(signal)
        if len(kept) > 2 * SIGNALS_KEPT_MAX:
            self._cut(at)

    def suspicious(self) -> bool:
        """Tell whether there is anything to judge."""
        return self.triggers >= self._rule.least

    def judged(self, hour_ms: int) -> Verdict | None:
        """Return what the rule makes of it in the hour that begins then."""
        for at in self._slices:
            self._cut(at)
        signals = sorted(chain.from_iterable(self._slices.values()))
        tried = tuple((self._tried or {}).values())
        span = Span(hour_ms, hour_ms + HOUR_MS, self._rule.window_ms, tried)
        return self._rule.judge(signals, span)

    def _cut(self, at: Slice) -> None:
        """Leave of a slice what counts; of the failed logins that do not, who tried from where.

        Of all that a flood tries one may be let in, and its failure be among those left out.
        """
        kept = self._slices[at]
        if len(kept) <= SIGNALS_KEPT_MAX:
            return
        share = self._slices[at] = set(fair_share(kept))
        gone = kept - share
        self.size -= len(gone)
        self.triggers -= sum(map(self._rule.trigger, gone))
        if at[0] == "auth.login_failed":
            self._tried = self._tried or {}
            before = self._tried.get(at, set())
            tried = before.union(map(pair_of, gone))
            self._tried[at] = set(sorted(tried)[:TRIED_MAX]) if len(tried) > TRIED_MAX else tried
            self.size += len(self._tried[at]) - len(before)


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
