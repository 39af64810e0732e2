"""What bounds the rules of Defend: networks, windows, names, and what a signal is made of."""

from typing import Any

import pytest

from processor.defend.rules import Signal, of_alert, of_entry
from processor.defend.rules.signals import ALERT
from processor.defend.rules.subject import SIGNALS_KEPT_MAX, fair_share
from schemas.telemetry import Telemetry
from tests.unit.defend_signals import MINUTE, NOON, ORG, SECOND, Log, Reading, found_in, signal
from tests.unit.test_defend_rules import ADA, ENTERED, FAILED, failures, severities


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("192.0.2.1", "192.1.2.1", True),
        ("192.0.2.1", "192.0.255.1", False),
        ("2001:db8::1", "2001:db9::1", True),
        ("2001:db8::1", "2001:db8:8000::1", False),
    ],
)
def test_a_network_is_what_a_provider_gives_out(one: str, other: str, found: bool) -> None:
    """Addresses are near each other when the first 16 bits are the same, of IPv6 the first 32."""
    signals = [
        signal(NOON, 1, ENTERED, address=one),
        signal(NOON + MINUTE, 2, ENTERED, address=other, marks=frozenset({"new_device"})),
    ]
    assert bool(severities(signals)) is found


@pytest.mark.parametrize("late_ms", [0, 1], ids=["in time", "a moment late"])
@pytest.mark.parametrize(
    ("action", "least", "minutes", "rule", "severity"),
    [
        ("role.assigned", 10, 10, "grant_burst", "high"),
        ("user.deactivated", 10, 30, "mass_deactivation", "high"),
        ("user.removed", 10, 30, "mass_deactivation", "high"),
        ("audit.exported", 5, 30, "export_burst", "medium"),
    ],
)
def test_a_burst_ends_within_its_window(
    action: str, least: int, minutes: int, rule: str, severity: str, late_ms: int
) -> None:
    """The last that is needed counts as long as the first is no older than the window."""
    at_ms = [NOON + n for n in range(least - 1)] + [NOON + minutes * MINUTE + late_ms]
    signals = [signal(at, n, action, account=f"u{n}") for n, at in enumerate(at_ms)]
    assert severities(signals) == ([] if late_ms else [(rule, ADA, severity)])


@pytest.mark.parametrize(
    ("seconds", "severity"),
    [(0, "low"), (1, "low"), (120, "low"), (121, "medium"), (1800, "medium"), (1801, "")],
)
def test_access_is_brief_up_to_half_an_hour(seconds: int, severity: str) -> None:
    """Access of thirty minutes at most is brief; of two, it may have been given by mistake."""
    signals = [
        signal(NOON, 1, "product_access.granted", thing="atlas eve"),
        signal(NOON + seconds * SECOND, 2, "product_access.revoked", thing="atlas eve"),
    ]
    assert severities(signals) == ([("brief_access", ADA, severity)] if severity else [])


def test_a_slip_takes_nothing_from_what_is_brief() -> None:
    """Access that is given, given again and taken away at once was there since it was given."""
    signals = [
        signal(NOON, 1, "product_access.granted", thing="atlas eve"),
        signal(NOON + 5 * MINUTE, 2, "product_access.granted", thing="atlas eve"),
        signal(NOON + 6 * MINUTE, 3, "product_access.revoked", thing="atlas eve"),
        signal(NOON + 7 * MINUTE, 4, "product_access.granted", thing="atlas bob"),
        signal(NOON + 8 * MINUTE, 5, "product_access.revoked", thing="atlas bob"),
    ]
    assert severities(signals) == [("brief_access", ADA, "medium")]


@pytest.mark.parametrize(("marks", "found"), [({"given"}, True), (set(), False)])
def test_permissions_that_are_taken_away_in_bulk_are_no_grants(
    marks: set[str], found: bool
) -> None:
    """An update in bulk counts where it gives something."""
    done = frozenset({"success", *marks})
    signals = [signal(NOON + n, n, "permission.bulk_updated", marks=done) for n in range(10)]
    assert severities(signals) == ([("grant_burst", ADA, "high")] if found else [])


@pytest.mark.parametrize(("late_ms", "found"), [(0, True), (1, False)])
@pytest.mark.parametrize(("actor", "subject"), [(ADA, ADA), ("eve@acme.example", "192.0.2.1")])
def test_an_alert_is_near_for_a_quarter_of_an_hour(
    actor: str, subject: str, late_ms: int, found: bool
) -> None:
    """Of the user's own doing, and of what another did at the same address."""
    alert = signal(NOON, 1, ALERT, actor=actor, marks=frozenset({"malicious"}))
    act = signal(NOON + 15 * MINUTE + late_ms, 2, "role.deleted")
    expected = [("endpoint_alert", subject, "critical")] if found else []
    assert severities([alert, act]) == expected


@pytest.mark.parametrize(
    ("verdict", "severity"), [("malicious", "critical"), ("suspicious", "high")]
)
def test_the_verdict_says_how_bad_it_is(verdict: str, severity: str) -> None:
    """Something privileged beside an alert is critical where that is of malice."""
    alert = signal(NOON, 1, ALERT, address="", marks=frozenset({verdict}))
    act = signal(NOON + MINUTE, 2, "role.deleted")
    assert severities([alert, act]) == [("endpoint_alert", ADA, severity)]


def test_a_fair_share_is_everybodys_first_and_malice_before_the_rest() -> None:
    """However much comes before it: of one account, or of as many as there is room for."""
    flood = [signal(NOON + n, n, FAILED) for n in range(SIGNALS_KEPT_MAX + 100)]
    other = signal(NOON + MINUTE, 8_000, FAILED, account="eve@acme.example")
    assert {*flood[: SIGNALS_KEPT_MAX - 1], other} == {*fair_share([*flood, other])}
    alerts = [
        signal(NOON + n, n, ALERT, account=f"u{n}", marks=frozenset({"suspicious"}))
        for n in range(SIGNALS_KEPT_MAX)
    ]
    malice = signal(NOON + MINUTE, 8_001, ALERT, marks=frozenset({"malicious"}))
    assert {*alerts[:-1], malice} == {*fair_share([*alerts, malice])}
    assert {*fair_share(alerts)} == {*alerts}


def test_a_finding_names_no_more_than_twenty() -> None:
    """Of the addresses, as of the actors, the first in alphabetical order."""
    names = [f"192.0.2.{n}" for n in range(100, 125)]
    flood = [signal(NOON + n, n, FAILED, address=name) for n, name in enumerate(names)]
    (found,) = found_in(flood).values()
    assert (len(found.seqs), list(found.addresses)) == (25, names[:20])


def test_what_was_told_is_not_told_again() -> None:
    """Until more is known; that is told until the store has taken it."""
    reading, last = Reading(), failures(11)[10]
    reading.store(failures(10))
    reading.read(failures(10))
    keys = [*reading.hours.add(ORG, failures(10)[9])]
    assert keys
    assert reading.hours.judged(keys) == []
    keys = [*reading.hours.add(ORG, last)]
    assert [each.last_ms for each in reading.hours.judged(keys)] == [last.at_ms]
    assert [each.last_ms for each in reading.hours.judged(keys)] == [last.at_ms]


def test_a_signal_has_what_the_rules_ask_for() -> None:
    """Of an entry and of a report, each of them whole."""
    given: dict[str, Any] = {
        "new": {"permissions": ["read"]},
        "extra": {"new_device": True, "mfa": True},
        "role": {"id": "r-1"},
    }
    log = Log()
    read = of_entry(log.add(NOON, "permission.bulk_updated", ADA, details=given))
    assert read is not None
    assert read.marks == {"success", "new_device", "mfa", "given"}
    assert (read.actor, read.account, read.thing) == (ADA, ADA, f"user id of {ADA} r-1")
    nothing: tuple[dict[str, Any], ...] = ({}, {"permissions": []}, {"permissions": None})
    for new in nothing:
        odd = {"new": new, "extra": {"new_device": "true", "mfa": 1}}
        read = of_entry(log.add(NOON, "permission.bulk_updated", ADA, details=odd))
        assert read is not None
        assert read.marks == {"success"}
    report: Telemetry = {
        "id": "r", "time": "2026-06-01T12:00:00Z", "orgid": ORG, "verdict": "malicious",
        "host": {"id": "h", "name": "laptop", "ip": "192.0.2.1:443"},
        "user": {"id": "U-1", "email": "Ada@ACME.example"}, "process": {"name": "p"},
    }  # fmt: skip
    alert = Signal(NOON, "r", 0, ALERT, ADA, "user", "", "192.0.2.1", "laptop",
                   frozenset({"malicious"}))  # fmt: skip
    assert of_alert(report, NOON) == alert
    report["host"], report["user"] = {"id": "h"}, {"id": "U-1"}
    assert of_alert(report, NOON) == alert._replace(actor="U-1", address="", thing="h")
    report["verdict"] = "benign"
    assert of_alert(report, NOON) is None


@pytest.mark.parametrize(
    ("late_ms", "severity"), [(0, "critical"), (1, "high")], ids=["in time", "a moment late"]
)
def test_a_login_counts_for_one_window_after_the_last_failure(late_ms: int, severity: str) -> None:
    """Whoever gets in then did not get in by the attack."""
    attack = failures(10)
    entered = signal(attack[-1].at_ms + 10 * MINUTE + late_ms, 99, ENTERED)
    assert severities([*attack, entered]) == [("brute_force", ADA, severity)]
