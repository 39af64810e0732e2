"""Each rule of Defend at its edges: one less is nothing, one more is a finding."""

from collections.abc import Sequence

import pytest

from processor.defend.rules import (
    RULES,
    WINDOW_MS_MAX,
    Hours,
    Signal,
    hours_of,
    of_alert,
    of_entry,
    subject,
)
from processor.defend.rules.hours import counts_in
from processor.defend.rules.signals import ALERT
from processor.defend.rules.subject import SIGNALS_KEPT_MAX
from schemas.finding import HOUR_MS, RULE_TEXTS
from schemas.telemetry import Telemetry
from tests.unit.defend_signals import (
    HOUR,
    MINUTE,
    NOON,
    ORG,
    SECOND,
    Log,
    Reading,
    found_in,
    signal,
)

FAILED, ENTERED = "auth.login_failed", "auth.login_success"
ADA = "ada@acme.example"


def failures(count: int, every_ms: int = SECOND, at_ms: int = NOON) -> list[Signal]:
    """Return failed logins of one account."""
    return [signal(at_ms + n * every_ms, n, FAILED) for n in range(count)]


def severities(signals: Sequence[Signal]) -> list[tuple[str, str, str]]:
    """Return rule, subject and severity of all that is found."""
    return sorted((f.rule, f.subject, f.severity) for f in found_in(signals).values())


@pytest.mark.parametrize(("count", "expected"), [(9, []), (10, [("brute_force", ADA, "high")])])
def test_ten_failures_are_brute_force(count: int, expected: list[object]) -> None:
    """Nine failed logins within ten minutes are a bad day, ten are an attack."""
    assert severities(failures(count)) == expected


@pytest.mark.parametrize(
    ("every_ms", "found"), [(66_666, True), (66_667, False)], ids=["ten minutes", "a moment more"]
)
def test_the_window_is_ten_minutes(every_ms: int, found: bool) -> None:
    """Ten failures that take ten minutes count together, and no longer when they take more."""
    assert bool(severities(failures(10, every_ms))) is found


@pytest.mark.parametrize(
    ("address", "at_ms", "severity"),
    [
        ("192.0.2.1", NOON + MINUTE, "critical"),
        ("198.51.100.9", NOON + MINUTE, "high"),  # the owner, from home
        ("192.0.2.1", NOON - MINUTE, "high"),  # before any of it
        ("192.0.2.1", NOON + 11 * MINUTE, "high"),  # too long after
    ],
)
def test_a_login_by_the_attacker_is_critical(address: str, at_ms: int, severity: str) -> None:
    """A success from an address of the failures, while they go on or soon after, is critical."""
    entered = signal(at_ms, 99, ENTERED, address=address)
    assert severities([*failures(10), entered]) == [("brute_force", ADA, severity)]


def test_evidence_is_what_lies_in_a_full_window() -> None:
    """Failures far from the burst are no evidence of it."""
    lone = signal(NOON + 50 * MINUTE, 77, FAILED)
    (found,) = found_in([*failures(12), lone]).values()
    assert (found.seqs, found.first_ms, found.last_ms) == (
        tuple(range(12)), NOON, NOON + 11 * SECOND,
    )  # fmt: skip


def test_an_attack_is_a_finding_of_each_of_its_hours() -> None:
    """A burst that goes on over the turn of an hour is found in both hours, under two ids."""
    found = found_in(failures(30, 30 * SECOND, NOON - 8 * MINUTE))
    assert sorted(each.hour_ms for each in found.values()) == [NOON - HOUR_MS, NOON]


@pytest.mark.parametrize(("accounts", "found"), [(9, 0), (10, 1)])
def test_ten_accounts_from_one_address_are_a_spray(accounts: int, found: int) -> None:
    """It is the number of accounts that counts, not that of the failures."""
    signals = [
        signal(NOON + n, n, FAILED, account=f"u{n % accounts}@acme.example") for n in range(30)
    ]
    assert [each.rule for each in found_in(signals).values()] == ["password_spray"] * found


@pytest.mark.parametrize(
    ("marks", "at_ms", "severity"),
    [
        ({"new_device"}, NOON + 8 * MINUTE, "critical"),  # the first password tried was right
        ({"new_device"}, NOON - MINUTE, "high"),  # before any of it
        ({"new_device"}, NOON + 15 * MINUTE, "high"),  # too long after
        ({"new_device", "mfa"}, NOON + 8 * MINUTE, "high"),  # a colleague behind the same address
        (set(), NOON + 8 * MINUTE, "high"),  # another, on the device as always
    ],
)
def test_a_stranger_whom_a_sprayed_address_brings_in_is_critical(
    marks: set[str], at_ms: int, severity: str
) -> None:
    """Also by an account that never failed; colleagues behind the same address make it no worse."""
    spray = [
        signal(NOON + n * 20 * SECOND, n, FAILED, account=f"u{n}@acme.example") for n in range(12)
    ]
    entered = signal(at_ms, 99, ENTERED, marks=frozenset({"success", *marks}))
    assert severities([*spray, entered]) == [("password_spray", "192.0.2.1", severity)]


@pytest.mark.parametrize("later", [True, False], ids=["usual first", "new first"])
@pytest.mark.parametrize(
    ("marks", "address", "minutes", "found"),
    [
        ({"new_device"}, "203.0.113.1", 15, True),
        ({"new_device"}, "203.0.113.1", 16, False),
        ({"new_device", "mfa"}, "203.0.113.1", 5, False),
        (set(), "203.0.113.1", 5, False),
        ({"new_device"}, "192.0.200.7", 5, False),
        ({"new_device"}, "2001:db8::1", 5, True),
    ],
)
def test_travel_needs_a_new_device_elsewhere(
    marks: set[str], address: str, minutes: int, found: bool, later: bool
) -> None:
    """Another network, a device not seen before, no second factor, fifteen minutes apart at most.

    Whether the thief or the owner is the first to log in.
    """
    apart = minutes * MINUTE if later else -minutes * MINUTE
    signals = [
        signal(NOON, 1, ENTERED),
        signal(NOON + apart, 2, ENTERED, address=address, marks=frozenset(marks)),
    ]
    expected = [("impossible_travel", ADA, "high")] if found else []
    assert severities(signals) == expected


def test_an_owner_who_comes_in_the_next_hour_shows_the_thief_of_the_last() -> None:
    """The hour of the login on the new device is judged again, one window after it as well."""
    thief = signal(NOON - 2 * MINUTE, 1, ENTERED, address="203.0.113.1",
                   marks=frozenset({"success", "new_device"}))  # fmt: skip
    owner = signal(NOON + 5 * MINUTE, 2, ENTERED)
    reading = Reading()
    for each in (thief, owner):
        reading.store([each])
        reading.read([each])
    (found,) = reading.kept.values()
    assert (found.rule, found.hour_ms, found.seqs) == ("impossible_travel", NOON - HOUR, (1, 2))


@pytest.mark.parametrize(("before", "after"), [("", "192.0.2.1"), ("192.0.2.1", "")])
def test_no_address_is_no_other_network(before: str, after: str) -> None:
    """Of a login without an address nobody knows where it was: it is no travel, to or from."""
    signals = [
        signal(NOON, 1, ENTERED, address=before),
        signal(NOON + MINUTE, 2, ENTERED, address=after, marks=frozenset({"new_device"})),
    ]
    assert severities(signals) == []


def test_programs_grant_as_much_as_they_like() -> None:
    """What a service does in bulk is no burst; the same of a person is."""
    by_service = [signal(NOON + n, n, "role.assigned", actor_type="service") for n in range(50)]
    by_person = [signal(NOON + n, n, "role.assigned") for n in range(10)]
    assert severities(by_service) == []
    assert severities(by_person) == [("grant_burst", ADA, "high")]


def test_a_finding_has_its_own_id_for_ever() -> None:
    """The id is made of hour, organization, rule and subject alone."""
    assert list(found_in(failures(10))) == ["019e830e-1a00-837e-afd8-66472e50b77e"]


def test_only_the_earliest_signals_of_a_slice_are_kept() -> None:
    """Of a flood the earliest signals are kept, in whatever order they come."""
    flood = failures(2 * SIGNALS_KEPT_MAX + 500, 10)
    forwards, backwards = found_in(flood), found_in(flood[::-1])
    assert forwards == backwards
    (found,) = forwards.values()
    assert found.seqs == tuple(range(SIGNALS_KEPT_MAX))


def test_a_long_attack_is_found_in_each_hour_and_so_is_the_login_it_gets() -> None:
    """Four failures a second for two hours, and a success after half of the first."""
    attack = failures(2 * 3_600 * 4, 250)
    entered = signal(NOON + 30 * MINUTE, 99_999, ENTERED)
    found = {each.hour_ms: each for each in found_in([*attack, entered]).values()}
    assert {at: each.severity for at, each in found.items()} == {
        NOON: "critical", NOON + HOUR: "high"
    }  # fmt: skip
    assert entered.seq in found[NOON].seqs
    slices = HOUR // (10 * MINUTE)
    assert slices * SIGNALS_KEPT_MAX <= len(found[NOON].seqs) <= (slices + 1) * SIGNALS_KEPT_MAX + 1


def test_a_flood_on_few_accounts_does_not_hide_the_others() -> None:
    """Nine accounts that are tried all the time, and a tenth that is tried once and entered."""
    flood = [
        signal(NOON + n * 100, n, FAILED, account=f"u{n % 9}@acme.example") for n in range(4_500)
    ]
    late = [
        signal(NOON + 8 * MINUTE, 8_000, FAILED, account=ADA),
        signal(NOON + 9 * MINUTE, 8_001, ENTERED, account=ADA),
    ]
    sprays = [each for each in found_in([*flood, *late]).values() if each.rule == "password_spray"]
    assert [(each.subject, each.severity) for each in sprays] == [("192.0.2.1", "critical")]
    assert {8_000, 8_001} <= {*sprays[0].seqs}


def test_a_spray_over_more_accounts_than_are_kept_is_critical_once_it_gets_in() -> None:
    """Also by an account whose failure is left out, read at once or in whatever order."""
    spray = [
        signal(NOON + n * 100, n, FAILED, account=f"u{n:04d}@acme.example") for n in range(3_500)
    ]
    entered = signal(NOON + 9 * MINUTE, 8_000, ENTERED, account="u1400@acme.example")
    other = entered._replace(account="nobody@acme.example")
    expected = [("password_spray", "192.0.2.1", "critical")]
    assert severities([*spray, entered]) == expected
    assert severities([entered, *spray[::-1]]) == expected
    assert severities([*spray, other]) == [("password_spray", "192.0.2.1", "high")]


def test_only_so_many_of_those_who_tried_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many accounts are tried, what is held for the address has a bound."""
    monkeypatch.setattr(subject, "TRIED_MAX", 100)
    reading, accounts = Reading(), 4_000
    for first in range(0, accounts, 500):
        reading.read(
            signal(NOON + n, n, FAILED, account=f"u{n}@acme.example")
            for n in range(first, first + 500)
        )
    # It counts in two hours, each of which takes a place, and for every account by itself.
    assert reading.hours.held == 2 * (1 + accounts + SIGNALS_KEPT_MAX + 100)


def test_ordinary_logins_do_not_hide_a_break_in_beside_an_alert() -> None:
    """A thousand logins through one address, and one on a new device there, where malice is."""
    office = [
        signal(NOON + n * 100, n, ENTERED, actor=f"u{n}@acme.example", account=f"u{n}@acme.example")
        for n in range(SIGNALS_KEPT_MAX + 100)
    ]
    eve = "eve@acme.example"
    new = {"actor": eve, "account": eve, "marks": frozenset({"success", "new_device"})}
    entered = signal(NOON + 10 * MINUTE, 8_000, ENTERED, **new)
    alert = signal(NOON + 11 * MINUTE, 8_001, ALERT, actor="", marks=frozenset({"malicious"}))
    (found,) = found_in([*office, entered, alert]).values()
    assert (found.rule, found.subject) == ("endpoint_alert", "192.0.2.1")
    assert found.severity == "critical"
    assert (found.seqs, found.alerts) == ((8_000,), (alert.id,))


@pytest.mark.parametrize(
    ("action", "account", "found"),
    [
        ("user.created", "eve@acme.example", True),
        ("user.created", ADA, False),  # signs up
        ("user.invited", "eve@acme.example", True),
        ("role.deleted", "", True),
        ("billing.plan_changed", "", True),
        ("audit.subscription_changed", "", True),
        ("audit.viewed", "", False),
        ("audit.finding_acknowledged", "", False),  # is what an alert asks for
    ],
)
def test_what_is_privileged_beside_an_alert(action: str, account: str, found: bool) -> None:
    """To let others in, to change what roles hold, to stop what a SIEM is told: as grants are."""
    act = signal(NOON, 1, action, account=account)
    alert = signal(NOON + MINUTE, 2, ALERT, address="", marks=frozenset({"malicious"}))
    assert severities([act, alert]) == ([("endpoint_alert", ADA, "critical")] if found else [])


def test_hours_are_let_go_when_there_are_too_many_signals() -> None:
    """With more signals than may be held, an hour is loaded again, and finds the same."""
    reading = Reading(signals_max=20)
    every = [*failures(9), *failures(30, 2 * MINUTE, NOON + 10 * HOUR), failures(10)[9]]
    every = [each._replace(id=f"{n}", seq=n) for n, each in enumerate(every)]
    reading.store(every)
    for each in every:
        reading.read([each])
    assert reading.kept == found_in(every)
    assert len(reading.kept) == 1


def test_nothing_is_held_for_the_rules_of_alerts_before_there_is_one() -> None:
    """An alert brings back what happened around it: most hours never have one."""
    at_ms = NOON + 20 * MINUTE
    grants = [signal(at_ms + n * MINUTE, n, "role.assigned") for n in range(4)]
    alert = signal(at_ms + 5 * MINUTE, 9, ALERT, marks=frozenset({"malicious"}))
    reading = Reading()
    reading.store(grants)
    reading.read(grants[:2])
    hours = 2  # its own and the one that is near
    assert reading.hours.held == len(grants) + hours
    reading.store([alert])
    reading.read([alert])
    reading.read(grants[2:])
    assert reading.kept == found_in([*grants, alert])
    assert [each.rule for each in reading.kept.values()] == ["endpoint_alert"]
    assert reading.hours.held == 3 * len(grants) + 2 + hours


def test_hours_in_which_nothing_is_for_any_rule_are_let_go() -> None:
    """An hour takes its place even when it is empty: of years of them only the last are held."""
    reading = Reading(signals_max=20)
    for n in range(100):
        reading.read([signal(NOON + n * HOUR, n, "permission.revoked")])
    assert 0 < reading.hours.held <= 20


def test_action_that_no_rule_takes_is_passed_over() -> None:
    """A topic that is read for one of its actions brings the others as well."""
    assert found_in([*failures(9), signal(NOON, 9, "permission.revoked")]) == {}


def test_hours_that_are_missing_are_named_once_begun_no_more() -> None:
    """A signal near the turn of an hour counts in both hours."""
    hours, near = Hours(1_000), signal(NOON - MINUTE, 1, FAILED)
    assert [*hours.missing(ORG, near)] == [(ORG, NOON - HOUR), (ORG, NOON)]
    hours.begin(ORG, NOON)
    assert [*hours.missing(ORG, near)] == [(ORG, NOON - HOUR)]
    assert [*hours_of(NOON + 31 * MINUTE, WINDOW_MS_MAX)] == [NOON, NOON + HOUR]
    assert [*hours_of(NOON + 15 * MINUTE, 10 * MINUTE)] == [NOON]


@pytest.mark.parametrize("window_ms", [10 * MINUTE, 30 * MINUTE])
def test_an_instant_counts_in_its_hours_alone(window_ms: int) -> None:
    """Asked for one hour, the answer is that of all of them: at every edge, and beside it."""
    for minutes in range(-70, 131, 10):
        for at_ms in (NOON + minutes * MINUTE + step for step in (-1, 0, 1)):
            counted = NOON in hours_of(at_ms, window_ms)
            assert counts_in(NOON, at_ms, window_ms) == counted, minutes


def test_what_is_told_a_day_late_is_no_signal() -> None:
    """An entry or report that the bus got more than a day after it happened is left out."""
    log = Log()
    assert of_entry(log.add(NOON, FAILED, ADA, late_ms=24 * HOUR)) is not None
    assert of_entry(log.add(NOON, FAILED, ADA, late_ms=24 * HOUR + 1)) is None
    report: Telemetry = {
        "id": "r", "time": "2026-06-01T12:00:00Z", "orgid": ORG, "host": {"id": "h"},
        "process": {"name": "p"}, "verdict": "suspicious",
    }  # fmt: skip
    assert of_alert(report, NOON + 24 * HOUR) is not None
    assert of_alert(report, NOON + 24 * HOUR + 1) is None


@pytest.mark.parametrize("later_ms", [0, SECOND, 20 * MINUTE])
@pytest.mark.parametrize("verdicts", [("malicious", "suspicious"), ("suspicious", "malicious")])
def test_of_an_alert_that_is_sent_twice_the_worse_counts(
    verdicts: tuple[str, str], later_ms: int
) -> None:
    """With the same id, another verdict and perhaps another time, in whatever order it comes."""
    act = signal(NOON + 12 * MINUTE, 1, "role.assigned")
    first, second = (signal(NOON, 2, ALERT, marks=frozenset({each})) for each in verdicts)
    second = second._replace(at_ms=NOON + later_ms)
    for order in ([first, second, act], [second, first, act], [act, second, first]):
        reading = Reading()
        for each in order:
            reading.store([each])
            reading.read([each])
        assert reading.kept == found_in(order)
        (found,) = (each for each in reading.kept.values() if each.subject_type == "account")
        assert found.severity == "critical"
        assert (found.first_ms, found.last_ms) == (NOON, max(act.at_ms, second.at_ms))


def test_every_rule_is_described() -> None:
    """The rules are those that the contract names, and no others."""
    assert {rule.name for rule in RULES} == set(RULE_TEXTS)


def test_what_is_kept_of_a_slice_is_enough_to_tell() -> None:
    """A slice lies within one hour and fits into a window, and enough of it is kept for a burst."""
    for rule in RULES:
        assert HOUR_MS % rule.window_ms == 0, rule.name
        assert rule.least <= SIGNALS_KEPT_MAX, rule.name
