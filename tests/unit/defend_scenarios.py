"""Labelled scenarios: attacks with what has to be found, and quiet days with nothing to find."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from processor.defend.rules import Signal, of_alert, of_entry
from processor.normalize.fit import TRUNCATED
from processor.normalize.instant import render
from schemas.telemetry import Telemetry, Verdict
from tests.unit.defend_signals import HOUR, MINUTE, NOON, SECOND, Log

ADA, BOB, EVE = "ada@acme.example", "bob@acme.example", "eve@acme.example"
OFFICE, HOME, ABROAD = "192.0.2.10", "198.51.100.20", "203.0.113.66"
STAFF = tuple(f"user{number:02d}@acme.example" for number in range(40))

Expected = set[tuple[str, str]]
"""Rule and subject of each finding that there has to be."""


class Told(NamedTuple):
    """What happened, and the reports of endpoints with when the bus got each."""

    log: Log
    reports: list[tuple[Telemetry, int]]

    def alert(self, at_ms: int, who: str | None, ip: str, verdict: Verdict = "malicious") -> None:
        """Add an endpoint's report."""
        report: Telemetry = {
            "id": f"rep-{len(self.reports)}",
            "time": render(at_ms),
            "orgid": self.log.org_id,
            "host": {"id": "host-1", "name": "LAPTOP-1", "ip": ip},
            "user": {"email": who},
            "process": {"name": "mimikatz.exe"},
            "verdict": verdict,
        }
        self.reports.append((report, at_ms + 500))

    def signals(self) -> list[Signal]:
        """Return what the rules are told."""
        given = [of_entry(entry) for entry in self.log.entries]
        given += [of_alert(report, told_ms) for report, told_ms in self.reports]
        return [each for each in given if each is not None]


class Scenario(NamedTuple):
    """A story, and what is to be found in it."""

    name: str
    tell: Callable[[Told], None]
    expected: Expected


def stories(scenarios: tuple[Scenario, ...]) -> Iterator[tuple[Scenario, list[Signal]]]:
    """Yield each scenario with its signals, among those of an ordinary day."""
    for number, scenario in enumerate(scenarios):
        told = Told(Log(), [])
        _ordinary_day(told.log, Random(number))
        scenario.tell(told)
        yield scenario, told.signals()


def _ordinary_day(log: Log, chance: Random) -> None:
    """Tell of a day at work: some mistype, some administer, all from where they sit."""
    begin = NOON - 5 * HOUR
    for person, who in enumerate(STAFF):
        desk = f"192.0.2.{100 + person % 20}"
        for _ in range(chance.randint(1, 6)):
            at = begin + chance.randrange(10 * HOUR)
            log.failures(at, who, chance.choice((0, 0, 0, 1, 2)), 20 * SECOND, desk)
            log.login(at + MINUTE, who, desk, new_device=chance.random() < 0.05, mfa=True)
    for _ in range(12):
        at, admin = begin + chance.randrange(10 * HOUR), chance.choice(STAFF[:3])
        someone = chance.choice(STAFF)
        log.add(at, chance.choice(("role.assigned", "permission.granted")), admin,
                target={"type": "user", "id": someone, "email": someone})  # fmt: skip
    for at in range(3):
        log.add(begin + at * 2 * HOUR, "audit.exported", STAFF[1], target={"type": "audit_log"})


def _leavers(told: Told, count: int, every_ms: int, **actor: str) -> None:
    for number in range(count):
        who = STAFF[number]
        fields: dict[str, Any] = {"target": {"type": "user", "id": who, "email": who}}
        if actor:
            fields["actor"] = dict(actor)
        told.log.add(NOON + number * every_ms, "user.deactivated", ADA, **fields)


def _grants(told: Told, count: int, every_ms: int, **fields: Any) -> None:
    for number in range(count):
        target = {"type": "user", "id": STAFF[number % 40], "email": STAFF[number % 40]}
        told.log.add(NOON + number * every_ms, "role.assigned", ADA, target=target, **fields)


def _in_bulk(told: Told, **details: Any) -> None:
    for number in range(12):
        target = {"type": "user", "id": STAFF[number], "email": STAFF[number]}
        told.log.add(
            NOON + number * SECOND, "permission.bulk_updated", ADA, target=target, details=details
        )


def _access(told: Told, *steps: tuple[int, str]) -> None:
    for at_ms, action in steps:
        target = {"type": "product", "id": "prd-1", "name": "Atlas"}
        grantee = {"grantee": {"type": "user", "id": EVE}}
        told.log.add(at_ms, action, ADA, target=target, details=grantee)


def _many_accounts(told: Told, count: int, ip: str) -> None:
    for number in range(count):
        told.log.add(NOON + number * 30 * SECOND, "auth.login_failed", STAFF[number], ip=ip)


# --- attacks --------------------------------------------------------------------------------------


def _fast(told: Told) -> None:
    told.log.failures(NOON + MINUTE, ADA, 40, 9 * SECOND, ABROAD)
    told.log.login(NOON + 8 * MINUTE, ADA, ABROAD, new_device=False)


def _distributed(told: Told) -> None:
    for number in range(12):
        told.log.add(
            NOON + number * 50 * SECOND, "auth.login_failed", ADA, ip=f"203.0.113.{number}"
        )


def _over_the_hour(told: Told) -> None:
    told.log.failures(NOON - 5 * MINUTE, ADA, 11, 55 * SECOND, ABROAD)


def _told_late(told: Told) -> None:
    for number in Random(1).sample(range(20), 20):
        told.log.add(NOON + number * 10 * SECOND, "auth.login_failed", ADA, ip=ABROAD,
                     late_ms=(20 - number) * 3 * MINUTE)  # fmt: skip


def _spray(told: Told) -> None:
    _many_accounts(told, 15, ABROAD)
    told.log.login(NOON + 9 * MINUTE, STAFF[7], ABROAD, mfa=True)


def _spray_right_at_once(told: Told) -> None:
    _many_accounts(told, 15, ABROAD)
    told.log.login(NOON + 8 * MINUTE, EVE, ABROAD, new_device=True, mfa=False)


def _spray_v6(told: Told) -> None:
    _many_accounts(told, 12, "2001:db8::66")


def _travel(told: Told) -> None:
    told.log.login(NOON, ADA, OFFICE, mfa=True)
    told.log.login(NOON + 7 * MINUTE, ADA, ABROAD, new_device=True, mfa=False)


def _travel_before(told: Told) -> None:
    told.log.login(NOON + MINUTE, ADA, ABROAD, new_device=True, mfa=False)
    told.log.login(NOON + 7 * MINUTE, ADA, OFFICE, mfa=True)


def _grant_burst(told: Told) -> None:
    _grants(told, 12, 20 * SECOND)


def _bulk_grants(told: Told) -> None:
    _in_bulk(told, old={"permissions": ["b"]}, new={"permissions": ["a"]})


def _large_bulk_grants(told: Told) -> None:
    _in_bulk(told, old={"permissions": []}, new={"permissions": TRUNCATED})


def _brief(told: Told) -> None:
    _access(told, (NOON, "product_access.granted"), (NOON + 9 * MINUTE, "product_access.revoked"))


def _at_once(told: Told) -> None:
    _access(told, (NOON, "product_access.granted"), (NOON + 40 * SECOND, "product_access.revoked"))


def _mass_deactivation(told: Told) -> None:
    _leavers(told, 18, 70 * SECOND)


def _export_burst(told: Told) -> None:
    for number in range(6):
        told.log.add(
            NOON + number * 4 * MINUTE, "audit.exported", EVE, target={"type": "audit_log"}
        )


def _alert_and_grant(told: Told) -> None:
    told.alert(NOON, ADA, "10.0.0.7")
    _grants(told, 1, SECOND, ip=HOME)


def _alert_at_address(told: Told) -> None:
    told.alert(NOON, None, HOME)
    told.log.add(NOON + 5 * MINUTE, "permission.granted", BOB, ip=HOME)


def _alert_and_silence(told: Told) -> None:
    told.alert(NOON, ADA, "10.0.0.7")
    told.log.add(NOON + 3 * MINUTE, "audit.subscription_changed", ADA, ip=HOME,
                 target={"type": "subscription", "id": "sub-1"},
                 details={"old": {"state": "active"}, "new": {"state": "paused"}})  # fmt: skip


def _suspicion_and_export(told: Told) -> None:
    told.log.add(NOON - 10 * MINUTE, "audit.exported", ADA, target={"type": "audit_log"}, ip=HOME)
    told.alert(NOON, ADA, HOME, "suspicious")


ATTACKS = (
    Scenario("brute force that gets in", _fast, {("brute_force", ADA)}),
    Scenario("brute force from twelve addresses", _distributed, {("brute_force", ADA)}),
    Scenario("brute force over the turn of an hour", _over_the_hour, {("brute_force", ADA)}),
    Scenario("brute force told late and in disorder", _told_late, {("brute_force", ADA)}),
    Scenario("password spray that gets in", _spray, {("password_spray", ABROAD)}),
    Scenario(
        "password spray that is right at once", _spray_right_at_once, {("password_spray", ABROAD)}
    ),
    Scenario("password spray over IPv6", _spray_v6, {("password_spray", "2001:db8::66")}),
    Scenario("a login from elsewhere", _travel, {("impossible_travel", ADA)}),
    Scenario("a login elsewhere, then the owner's", _travel_before, {("impossible_travel", ADA)}),
    Scenario("a dozen grants at once", _grant_burst, {("grant_burst", ADA)}),
    Scenario("a dozen grants in bulk", _bulk_grants, {("grant_burst", ADA)}),
    Scenario("more in bulk than an entry holds", _large_bulk_grants, {("grant_burst", ADA)}),
    Scenario("access for nine minutes", _brief, {("brief_access", ADA)}),
    Scenario("access for forty seconds", _at_once, {("brief_access", ADA)}),
    Scenario("half the company leaves", _mass_deactivation, {("mass_deactivation", ADA)}),
    Scenario("six exports", _export_burst, {("export_burst", EVE)}),
    Scenario("malware, then a grant", _alert_and_grant, {("endpoint_alert", ADA)}),
    Scenario("malware, then no word to the SIEM", _alert_and_silence, {("endpoint_alert", ADA)}),
    Scenario("malware at an address", _alert_at_address, {("endpoint_alert", HOME)}),
    Scenario("an export, then suspicion", _suspicion_and_export, {("endpoint_alert", ADA)}),
)


# --- quiet days -----------------------------------------------------------------------------------


def _nothing(_told: Told) -> None:
    """Tell nothing beyond the day itself."""


def _forgetful(told: Told) -> None:
    told.log.failures(NOON, ADA, 9, MINUTE, HOME)
    told.log.login(NOON + 10 * MINUTE, ADA, HOME, mfa=False)


def _stale_client(told: Told) -> None:
    told.log.failures(NOON - HOUR, ADA, 90, 2 * MINUTE, HOME)


def _shared_address(told: Told) -> None:
    _many_accounts(told, 9, OFFICE)


def _provisioning(told: Told) -> None:
    service = {"type": "service", "id": "svc-scim"}
    _grants(told, 200, SECOND, actor=service)
    _leavers(told, 40, SECOND, type="service", id="svc-scim")


def _half_a_day(told: Told) -> None:
    _access(told, (NOON, "product_access.granted"), (NOON + 4 * HOUR, "product_access.revoked"))


def _refused_grants(told: Told) -> None:
    _grants(told, 15, SECOND, outcome="failure")


def _bulk_revocation(told: Told) -> None:
    _in_bulk(told, old={"permissions": ["b"]}, new={"permissions": []})


def _new_phone(told: Told) -> None:
    told.log.login(NOON, ADA, OFFICE, mfa=True)
    told.log.login(NOON + 6 * MINUTE, ADA, ABROAD, new_device=True, mfa=True)


def _new_laptop(told: Told) -> None:
    told.log.login(NOON, ADA, OFFICE, mfa=True)
    told.log.login(NOON + 6 * MINUTE, ADA, "192.0.2.11", new_device=True, mfa=False)


def _program(told: Told) -> None:
    service = {"type": "service", "id": "svc-scim"}
    for number, address in enumerate((OFFICE, ABROAD, HOME)):
        told.log.add(NOON + number * MINUTE, "auth.login_success", "svc-scim", ip=address,
                     actor=service, details={"extra": {"new_device": True}})  # fmt: skip


def _auditor(told: Told) -> None:
    for number in range(8):
        told.log.add(
            NOON + number * 8 * MINUTE, "audit.exported", EVE, target={"type": "audit_log"}
        )


def _reorganization(told: Told) -> None:
    _leavers(told, 9, 2 * MINUTE)


def _alert_alone(told: Told) -> None:
    told.alert(NOON, ADA, HOME)
    told.log.login(NOON + MINUTE, ADA, HOME, mfa=True)


def _benign(told: Told) -> None:
    told.alert(NOON, ADA, HOME, "benign")
    _grants(told, 1, SECOND, ip=HOME)


def _neighbor(told: Told) -> None:
    told.alert(NOON, EVE, OFFICE, "suspicious")
    _grants(told, 1, SECOND, ip=OFFICE)


def _import(told: Told) -> None:
    for number in range(60):
        told.log.add(NOON + number * SECOND, "auth.login_failed", ADA, late_ms=48 * HOUR)


QUIET_DAYS = (
    Scenario("an ordinary day", _nothing, set()),
    Scenario("nine wrong passwords, then the right one", _forgetful, set()),
    Scenario("a phone that still has the old password", _stale_client, set()),
    Scenario("nine colleagues mistype behind one address", _shared_address, set()),
    Scenario("a directory provisions and deactivates", _provisioning, set()),
    Scenario("access for half a day", _half_a_day, set()),
    Scenario("grants that were refused", _refused_grants, set()),
    Scenario("permissions taken away in bulk", _bulk_revocation, set()),
    Scenario("a new phone with a second factor", _new_phone, set()),
    Scenario("a new laptop in the same network", _new_laptop, set()),
    Scenario("a program logs in from several networks", _program, set()),
    Scenario("an auditor's exports, one by one", _auditor, set()),
    Scenario("nine leavers in a reorganization", _reorganization, set()),
    Scenario("an alert, and nothing privileged", _alert_alone, set()),
    Scenario("a benign report", _benign, set()),
    Scenario("suspicion about a neighbor in the office", _neighbor, set()),
    Scenario("an import of what happened days ago", _import, set()),
)
