"""The rules: which signals each of them takes, whom they are about, and who judges them."""

from collections.abc import Callable
from typing import NamedTuple

from processor.defend.rules import judge
from processor.defend.rules.judge import Judge
from processor.defend.rules.signals import ALERT
from processor.normalize.instant import MINUTE_MS
from schemas.finding import RuleName, SubjectType
from schemas.signal import Signal


class Rule(NamedTuple):
    """One rule; ``subject`` is empty where a signal is none of its business.

    With fewer than ``least`` signals that are a ``trigger`` there is nothing to judge.
    """

    name: RuleName
    subject_type: SubjectType
    actions: tuple[str, ...]
    subject: Callable[[Signal], str]
    window_ms: int
    trigger: Callable[[Signal], bool]
    least: int
    judge: Judge


def _account(signal: Signal) -> str:
    return signal.account


def _account_of_person(signal: Signal) -> str:
    return signal.account if signal.actor_type in ("user", "support") else ""


def _address(signal: Signal) -> str:
    return signal.address


def _person(signal: Signal) -> str:
    """Return who did it, if it was a person, and it was done: programs do much at once."""
    by_person = signal.actor_type in ("user", "support")
    return signal.actor if by_person and "success" in signal.marks else ""


def _giver(signal: Signal) -> str:
    """Return the person who gave something; an update in bulk may have only taken away."""
    taken = signal.action == "permission.bulk_updated" and "given" not in signal.marks
    return "" if taken else _person(signal)


def _privileged(signal: Signal) -> str:
    """Return the person who did something privileged: a login is, on a device not seen before.

    Those that are not are left out here: a flood of them would take the place of what counts. Nor
    is it privileged to sign up.
    """
    ordinary = signal.action == "auth.login_success" and "new_device" not in signal.marks
    signs_up = signal.action == "user.created" and signal.actor == signal.account
    return "" if ordinary or signs_up else _person(signal)


def _any(_signal: Signal) -> bool:
    return True


def _failure(signal: Signal) -> bool:
    return signal.action == "auth.login_failed"


def _taken_back(signal: Signal) -> bool:
    return signal.action == "product_access.revoked"


def _alert(signal: Signal) -> bool:
    return signal.action == ALERT


def _whose(signal: Signal) -> str:
    return signal.actor if signal.action == ALERT else _privileged(signal)


def _where(signal: Signal) -> str:
    return signal.address if signal.action == ALERT or _privileged(signal) else ""


_LOGINS = ("auth.login_failed", "auth.login_success")
_GRANTS = (
    "permission.granted", "permission.bulk_updated", "role.assigned", "product_access.granted",
)  # fmt: skip
_LEAVERS = ("user.deactivated", "user.removed")
_ACCESS = ("product_access.granted", "product_access.revoked")
# To take note of a finding is none: it is what an alert asks for.
_PRIVILEGED = (
    *_GRANTS, *_LEAVERS, "user.created", "user.invited", "role.created", "role.updated",
    "role.deleted", "billing.plan_changed", "billing.payment_method_updated", "audit.exported",
    "audit.subscription_changed", "auth.login_success", ALERT,
)  # fmt: skip

# fmt: off
RULES: tuple[Rule, ...] = (
    Rule("brute_force", "account", _LOGINS, _account, 10 * MINUTE_MS,
         _failure, judge.FAILED_LOGINS, judge.brute_force),
    Rule("password_spray", "address", _LOGINS, _address, 10 * MINUTE_MS,
         _failure, judge.SPRAYED_ACCOUNTS, judge.password_spray),
    Rule("impossible_travel", "account", ("auth.login_success",), _account_of_person,
         15 * MINUTE_MS, judge.as_stranger, 1, judge.impossible_travel),
    Rule("grant_burst", "actor", _GRANTS, _giver, 10 * MINUTE_MS,
         _any, judge.GRANTS, judge.grant_burst),
    Rule("brief_access", "actor", _ACCESS, _person, 30 * MINUTE_MS,
         _taken_back, 1, judge.brief_access),
    Rule("mass_deactivation", "actor", _LEAVERS, _person, 30 * MINUTE_MS,
         _any, judge.DEACTIVATIONS, judge.mass_deactivation),
    Rule("export_burst", "actor", ("audit.exported",), _person, 30 * MINUTE_MS,
         _any, judge.EXPORTS, judge.export_burst),
    Rule("endpoint_alert", "account", _PRIVILEGED, _whose, 15 * MINUTE_MS,
         _alert, 1, judge.endpoint_alert),
    Rule("endpoint_alert", "address", _PRIVILEGED, _where, 15 * MINUTE_MS,
         _alert, 1, judge.alert_at_address),
)
# fmt: on

ACTIONS: tuple[str, ...] = tuple(
    dict.fromkeys(action for rule in RULES for action in rule.actions if action != ALERT)
)
"""The actions that any rule takes; entries of others are not read."""

ALERTED_RULES = frozenset(n for n, rule in enumerate(RULES) if rule.trigger is _alert)
"""The rules that have nothing to say without an alert, and take what most of the others take."""

WINDOW_MS_MAX = max(rule.window_ms for rule in RULES)

RULES_OF: dict[str, tuple[int, ...]] = {
    action: tuple(number for number, rule in enumerate(RULES) if action in rule.actions)
    for action in (*ACTIONS, ALERT)
}
"""By action the numbers of the rules that take it."""
