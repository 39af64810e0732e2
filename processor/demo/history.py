"""Ninety days of two organizations, with a few stories in them: a pure function of now and a seed.

Everything is told in raw events and made into entries by the very decode and normalize that serve
live traffic. What belongs to a story says so in ``correlation_id``, for whoever wants to find it.
"""

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from processor.demo.events import KINDS, Kind
from processor.demo.generator import Publication, draw, publish, timestamp
from processor.demo.issuer import PEOPLE
from processor.demo.world import Organization, Person, person
from processor.ingest.decode import decode
from processor.normalize import Limits, normalize
from schemas.entry import Entry
from schemas.raw import FAMILIES
from schemas.record import RawRecord
from schemas.rejection import Discard, Rejection

DAYS = 89
DAY_MS, HOUR_MS, MINUTE_MS = 86_400_000, 3_600_000, 60_000
APPEND_MS = 240
"""From when something happens to the bus's append time."""

COLLEAGUES = 34
ACME_A_DAY, GLOBEX_A_DAY = 940, 120
WEEKEND = 0.15
MORNING_HOUR, EVENING_HOUR, NOON_HOUR = 6, 20, 11
MONDAY_TO_FRIDAY = 5
FOREIGN_ADDRESS, SPRAYING_ADDRESS = "203.0.113.66", "198.51.100.77"

_BY_TYPE = {kind.type: kind for kind in KINDS}


class Told(NamedTuple):
    """Something that happened in a story: when, what, who did it from where."""

    at_ms: int
    type: str
    who: Person
    data: dict[str, Any]


def known(org_id: str, name: str) -> Organization:
    """Return an organization with the people who can log in to the demo, and their colleagues."""
    chance = Random(org_id)
    colleagues = [
        person(chance, f"usr-{org_id}-{n:03d}", f"{org_id}.example") for n in range(COLLEAGUES)
    ]
    login = [
        person(chance, each.subject, f"{org_id}.example")._replace(
            name=each.name, email=each.email, role=each.role
        )
        for each in PEOPLE
        if each.org_id == org_id
    ]
    return Organization(org_id, name, (*login, *colleagues), 1.0)


ACME, GLOBEX = known("acme", "Acme"), known("globex", "Globex")


def history(now_ms: int, seed: int = 1) -> Iterator[Entry]:
    """Yield the entries of the last ninety days in the order in which they were recorded."""
    chance = Random(seed)
    events = [
        *_ordinary(chance, ACME, now_ms, ACME_A_DAY),
        *_ordinary(chance, GLOBEX, now_ms, GLOBEX_A_DAY),
        *_stories(now_ms),
    ]
    limits = Limits((DAYS + 1) * DAY_MS, 0, {f"raw.{family}": family for family in FAMILIES})
    for offset, (at_ms, published) in enumerate(sorted(events, key=lambda each: each[0])):
        record = RawRecord(
            published.topic, 0, offset, at_ms + APPEND_MS, published.key, published.value,
            published.headers,
        )  # fmt: skip
        event = decode(record, "raw.redrive")
        entry = event if isinstance(event, Rejection) else normalize(event, limits)
        if not isinstance(entry, Rejection | Discard):
            yield entry


def _ordinary(
    chance: Random, org: Organization, now_ms: int, a_day: int
) -> Iterator[tuple[int, Publication]]:
    """Yield what happens in working hours, with some of it at night and on weekends."""
    often = [kind.weight for kind in KINDS]
    for day in range(DAYS, -1, -1):
        midnight = (now_ms // DAY_MS - day) * DAY_MS
        busy = 1.0 if (midnight // DAY_MS + 3) % 7 < MONDAY_TO_FRIDAY else WEEKEND
        for _ in range(round(a_day * busy * chance.uniform(0.8, 1.2))):
            hour = chance.triangular(MORNING_HOUR, EVENING_HOUR, NOON_HOUR)
            at_ms = midnight + round(hour * 60 * MINUTE_MS)
            if at_ms < now_ms - MINUTE_MS:
                kind = chance.choices(KINDS, often)[0]
                yield at_ms, publish(kind, draw(chance, org, kind, at_ms))


def _stories(now_ms: int) -> Iterator[tuple[int, Publication]]:
    """Yield the stories, each marked with its name."""
    olivia, adam = ACME.people[0], ACME.people[1]
    told = {
        "story-brute-force": _brute_force(story_ms(now_ms, 2), adam),
        "story-off-boarding": _off_boarding(story_ms(now_ms, 12), olivia),
        "story-plan-change": _plan_change(story_ms(now_ms, 30), olivia),
        "story-grant-burst": _grant_burst(story_ms(now_ms, 6), adam),
        "story-short-access": _short_access(story_ms(now_ms, 1), adam),
        "story-password-spray": _password_spray(story_ms(now_ms, 4)),
    }
    for name, events in told.items():
        for number, each in enumerate(events):
            yield each.at_ms, published(name, number, each)


def story_ms(now_ms: int, days_ago: int) -> int:
    """Return when a story of some days ago begins: ten minutes into an hour.

    So none goes over the turn of an hour, which Defend would tell as two.
    """
    return now_ms - now_ms % HOUR_MS - 50 * MINUTE_MS - days_ago * DAY_MS


def published(story: str, number: int, told: Told) -> Publication:
    """Return the record of something that happened in a story, as upstream publishes it."""
    return publish(_kind(told.type), _event(story, number, told))


def _brute_force(at_ms: int, victim: Person) -> Iterator[Told]:
    """Tell of forty wrong passwords from abroad within minutes, and then a right one."""
    stranger = victim._replace(ip=FOREIGN_ADDRESS, user_agent="python-requests/2.32")
    for attempt in range(40):
        yield Told(
            at_ms + attempt * 9_000,
            "identity.login.failed.v1",
            stranger,
            {
                "method": "password",
                "reason": "invalid_credentials",
                "identifier": victim.email,
                "attempt": attempt + 1,
            },
        )
    success = {"method": "password", "mfa": False, "new_device": True}
    yield Told(at_ms + 40 * 9_000, "identity.login.succeeded.v1", stranger, success)


def _password_spray(at_ms: int) -> Iterator[Told]:
    """Tell of one password tried on fourteen accounts from one address."""
    for number, victim in enumerate(ACME.people[8:22]):
        stranger = victim._replace(ip=SPRAYING_ADDRESS, user_agent="Go-http-client/2.0")
        yield Told(
            at_ms + number * 21_000,
            "identity.login.failed.v1",
            stranger,
            {
                "method": "password",
                "reason": "invalid_credentials",
                "identifier": victim.email,
                "attempt": 1,
            },
        )


def _off_boarding(at_ms: int, owner: Person) -> Iterator[Told]:
    """Tell of half the company leaving in one afternoon."""
    for number, leaver in enumerate(ACME.people[-18:]):
        user = {"id": leaver.id, "email": leaver.email, "name": leaver.name}
        yield Told(
            at_ms + number * 70_000,
            "identity.user.deactivated.v1",
            owner,
            {"user": user, "reason": "office closed"},
        )


def _plan_change(at_ms: int, owner: Person) -> Iterator[Told]:
    """Tell of an upgrade."""
    team = {"plan": {"id": "pln-team", "name": "Team"}, "seats": 25, "interval": "month"}
    business = {"plan": {"id": "pln-business", "name": "Business"}, "seats": 60, "interval": "year"}
    yield Told(
        at_ms,
        "billing.subscription.updated.v1",
        owner,
        {"subscription": {"id": "sub-acme"}, "previous": team, "current": business},
    )


def _grant_burst(at_ms: int, admin: Person) -> Iterator[Told]:
    """Tell of one admin giving a dozen people every right within minutes."""
    for number, friend in enumerate(ACME.people[5:17]):
        target = {"type": "user", "id": friend.id, "email": friend.email, "name": friend.name}
        added = ["billing.view", "members.remove", "keys.rotate"]
        yield Told(
            at_ms + number * 20_000,
            "permission.grants.changed.v1",
            admin,
            {"target": target, "added": added, "removed": []},
        )


def _short_access(at_ms: int, admin: Person) -> Iterator[Told]:
    """Tell of access that was granted and taken away nine minutes later."""
    friend = ACME.people[9]
    shared = {
        "product": {"id": "prd-atlas", "name": "Atlas"},
        "grantee": {"type": "user", "id": friend.id, "email": friend.email},
    }
    steps = ((at_ms, None, "admin"), (at_ms + 9 * MINUTE_MS, "admin", None))
    for when, before, after in steps:
        levels = {"level_before": before, "level_after": after}
        yield Told(when, "permission.product_access.changed.v1", admin, shared | levels)


def _event(story: str, number: int, told: Told) -> dict[str, Any]:
    """Return a whole event in its structured form."""
    who = told.who
    common = {
        "actor": {"type": "user", "id": who.id, "email": who.email, "name": who.name},
        "client": {"ip": who.ip, "user_agent": who.user_agent, "session_id": f"ses-{story}"},
        "correlation_id": story,
    }
    kind = _kind(told.type)
    return {
        "specversion": "1.0",
        "id": f"{story}-{number:03d}",
        "source": f"/hub/{kind.topic.removeprefix('raw.')}",
        "type": told.type,
        "time": timestamp(told.at_ms),
        "orgid": ACME.id,
        "datacontenttype": "application/json",
        "data": common | told.data,
    }


def _kind(name: str) -> Kind:
    return _BY_TYPE[name]
