"""How each rule judges the signals of one subject in one hour; all of them given at once, in order.

More signals never make less of it: what is evidence stays evidence, and the severity never falls.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from ipaddress import ip_address
from typing import NamedTuple

from processor.defend.rules.signals import ALERT
from processor.normalize.instant import MINUTE_MS
from schemas.finding import Severity
from schemas.signal import Signal

FAILED_LOGINS, SPRAYED_ACCOUNTS = 10, 10
GRANTS, DEACTIVATIONS, EXPORTS = 10, 10, 5
SLIP_MS = 2 * MINUTE_MS
"""Access that is taken back by then may have been given by mistake."""

V4_NETWORK_BITS, V6_NETWORK_BITS = 16, 32


Pair = tuple[str, str]
"""An account, and an address from which somebody tried to get into it."""


class Span(NamedTuple):
    """The hour that is judged, how long the rule's window is, and who else failed to log in.

    ``tried`` is what is known of the failures that are not among the signals, in parts.
    """

    begin_ms: int
    end_ms: int
    window_ms: int
    tried: tuple[AbstractSet[Pair], ...] = ()

    def holds(self, signal: Signal) -> bool:
        """Whether something happened within the hour."""
        return self.begin_ms <= signal.at_ms < self.end_ms

    def knows(self, pair: Pair) -> bool:
        """Whether it is among what was tried."""
        return any(pair in some for some in self.tried)


class Verdict(NamedTuple):
    """How bad it is, and what it rests on."""

    severity: Severity
    evidence: list[Signal]


Judge = Callable[[Sequence[Signal], Span], Verdict | None]


def brute_force(signals: Sequence[Signal], span: Span) -> Verdict | None:
    """Judge the logins of an account: many failures, and then perhaps a success."""
    failures = _of(signals, "auth.login_failed")
    evidence = _burst(failures, span, FAILED_LOGINS, lambda each: each.id)
    return _with_success(signals, evidence, span)


def password_spray(signals: Sequence[Signal], span: Span) -> Verdict | None:
    """Judge the logins from an address: failures of many accounts, and then a success of one.

    Of each account a spray tries one password or two, and where the first is right nothing failed
    before: so whoever then comes from there as a stranger is let in as well.
    """
    failures = _of(signals, "auth.login_failed")
    evidence = _burst(failures, span, SPRAYED_ACCOUNTS, lambda each: each.account)
    return _with_success(signals, evidence, span, as_stranger)


def impossible_travel(signals: Sequence[Signal], span: Span) -> Verdict | None:
    """Judge the logins of an account: a new device, no second factor, and another network.

    Before or after it: the owner may be the first to log in, or the thief. A login without an
    address is nowhere: neither here nor elsewhere.
    """
    evidence: dict[str, Signal] = {}
    somewhere = [each for each in signals if each.address]
    for each in somewhere:
        if not span.holds(each) or not as_stranger(each):
            continue
        elsewhere = [
            other
            for other in somewhere
            if abs(each.at_ms - other.at_ms) <= span.window_ms
            and _network(other.address) != _network(each.address)
        ]
        if elsewhere:
            evidence |= {other.id: other for other in (*elsewhere, each)}
    return Verdict("high", sorted(evidence.values())) if evidence else None


def grant_burst(signals: Sequence[Signal], span: Span) -> Verdict | None:
    """Judge what a person gave to others: much of it at once."""
    return _many(signals, span, GRANTS, lambda each: each.id)


def mass_deactivation(signals: Sequence[Signal], span: Span) -> Verdict | None:
    """Judge whom a person deactivated or removed: many within a short time."""
    return _many(signals, span, DEACTIVATIONS, lambda each: each.account)


def export_burst(signals: Sequence[Signal], span: Span) -> Verdict | None:
    """Judge how often a person took the log away."""
    evidence = _burst(signals, span, EXPORTS, lambda each: each.id)
    return Verdict("medium", evidence) if evidence else None


def brief_access(signals: Sequence[Signal], span: Span) -> Verdict | None:
    """Judge the access that a person gave and took away again; at once, it may have been a slip."""
    evidence: dict[str, Signal] = {}
    severity: Severity = "low"
    given: dict[str, list[Signal]] = {}
    for each in signals:
        if each.action == "product_access.granted":
            given.setdefault(each.thing, []).append(each)
        elif span.holds(each):
            brief = [
                grant
                for grant in given.get(each.thing, ())
                if each.at_ms - grant.at_ms <= span.window_ms
            ]
            if brief:
                evidence |= {signal.id: signal for signal in (*brief, each)}
                if each.at_ms - brief[0].at_ms > SLIP_MS:
                    severity = "medium"
    return Verdict(severity, sorted(evidence.values())) if evidence else None


def endpoint_alert(signals: Sequence[Signal], span: Span) -> Verdict | None:
    """Judge a user's alerts: with something privileged that the user did around the time."""
    return _near_alerts(signals, span, lambda alert, _act: bool(alert.actor))


def alert_at_address(signals: Sequence[Signal], span: Span) -> Verdict | None:
    """Judge an address's alerts of malice: with something privileged that another user did there.

    What is merely suspicious says nothing about the neighbors who share an office's address.
    """
    return _near_alerts(
        signals,
        span,
        lambda alert, act: "malicious" in alert.marks and alert.actor != act.actor,
    )


def _near_alerts(
    signals: Sequence[Signal], span: Span, tied: Callable[[Signal, Signal], bool]
) -> Verdict | None:
    acts = [each for each in signals if each.action != ALERT]
    evidence: set[Signal] = set()
    for alert in signals:
        if alert.action != ALERT or not span.holds(alert):
            continue
        near = [
            act
            for act in acts
            if abs(act.at_ms - alert.at_ms) <= span.window_ms and tied(alert, act)
        ]
        if near:
            evidence |= {*near, alert}
    if not evidence:
        return None
    malicious = any("malicious" in each.marks for each in evidence)
    return Verdict("critical" if malicious else "high", sorted(evidence))


def _many(
    signals: Sequence[Signal], span: Span, least: int, what: Callable[[Signal], str]
) -> Verdict | None:
    evidence = _burst(signals, span, least, what)
    return Verdict("high", evidence) if evidence else None


def _burst(
    signals: Sequence[Signal], span: Span, least: int, what: Callable[[Signal], str]
) -> list[Signal]:
    """Return all that lies in a window with at least so many different ``what``, ending here."""
    return [signals[at] for at in _bursting(signals, span, least, what)]


def _bursting(
    signals: Sequence[Signal], span: Span, least: int, what: Callable[[Signal], str]
) -> Iterator[int]:
    inside: Counter[str] = Counter()
    first = told = 0
    for last, each in enumerate(signals):
        inside[what(each)] += 1
        while each.at_ms - signals[first].at_ms > span.window_ms:
            gone = what(signals[first])
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            first += 1
        if len(inside) >= least and span.holds(each):
            yield from range(max(first, told), last + 1)
            told = last + 1


def _with_success(
    signals: Sequence[Signal],
    failures: list[Signal],
    span: Span,
    suspect: Callable[[Signal], bool] = lambda _login: False,
) -> Verdict | None:
    """Return the failures, and the logins that the same source then got, or that are suspect."""
    if not failures:
        return None
    since, until = failures[0].at_ms, failures[-1].at_ms + span.window_ms
    tried = {pair_of(each) for each in failures}
    # Few accounts are flooded: what else was tried is looked at last, and where there is any.
    entered = [
        each
        for each in _of(signals, "auth.login_success")
        if since < each.at_ms <= until
        and (pair_of(each) in tried or suspect(each) or (span.tried and span.knows(pair_of(each))))
    ]
    return Verdict("critical" if entered else "high", sorted([*failures, *entered]))


def as_stranger(login: Signal) -> bool:
    """Whether somebody comes on a device not seen before, and without a second factor."""
    return "new_device" in login.marks and "mfa" not in login.marks


def pair_of(login: Signal) -> Pair:
    """Return whose login it is, and from where."""
    return login.account, login.address


def _of(signals: Sequence[Signal], action: str) -> list[Signal]:
    return [each for each in signals if each.action == action]


def _network(text: str) -> str:
    """Return the network that an address is taken to be in."""
    address = ip_address(text)
    bits = V4_NETWORK_BITS if address.version == 4 else V6_NETWORK_BITS  # noqa: PLR2004
    return f"{address.version}/{int(address) >> (address.max_prefixlen - bits)}"
