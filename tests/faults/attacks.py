"""Attacks in the load, for Defend to find: each a few events, sent among many others.

They happened some hours ago, each within minutes, so that they are found whatever the load's rate
and size; of what else there is to be found, a large load has enough and a small one nothing.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from tests.faults.drafts import Draft, Scene, assembled, rfc3339_ms
from tests.faults.outcomes import Data, Outcome, login_succeeded, role_binding, user_left

AT_ONCE = 8
"""So many are under way: each takes a good while, and faults come in the middle of it."""

SECOND_MS, MINUTE_MS, HOUR_MS = 1_000, 60_000, 3_600_000
BURST = 12


class Step(NamedTuple):
    """One event of an attack: when it happened, from where, and what it is."""

    after_ms: int
    address: str
    build: Callable[[Random, Data, str], Outcome]


class Plot(NamedTuple):
    """An attack that is under way: on whom, since when, and what is still to come of it."""

    org: str
    marker: str
    who: Data
    began_ms: int
    steps: list[Step]


class Plots:
    """Attacks under way, from one seed."""

    def __init__(self, rng: Random, now_ms: int) -> None:
        """Begin with none."""
        self._rng, self._now_ms = rng, now_ms
        self._under_way: list[Plot] = []

    def go_on(self, org: str, marker: str, name: str) -> tuple[str, Draft]:
        """Return the next event of some attack, a new one on ``org`` when there is room for it."""
        rng = self._rng
        if len(self._under_way) < AT_ONCE:
            email = f"victim.{name}@{marker}.example"
            who = {"type": "user", "id": f"v{name}", "email": email, "name": f"Vic {marker}"}
            began_ms = self._now_ms - rng.randrange(HOUR_MS, 6 * HOUR_MS)
            steps = list(rng.choice(ATTACKS)(rng))
            self._under_way.append(Plot(org, marker, who, began_ms, steps))
        plot = rng.choice(self._under_way)
        step = plot.steps.pop(0)
        if not plot.steps:
            self._under_way.remove(plot)
        occurred_ms = plot.began_ms + step.after_ms
        made = step.build(rng, plot.who, name)
        told = rfc3339_ms(occurred_ms), occurred_ms, "exact"
        address = step.address, {"ip": step.address}
        scene = Scene(plot.org, plot.marker, name, plot.who, address, told)
        return plot.org, assembled(rng, scene, made)


def guessed_password(rng: Random) -> Iterator[Step]:
    """Guess one account's password, and get in."""
    address = _somewhere(rng)
    for number in range(BURST):
        yield Step(number * 20 * SECOND_MS, address, _failed)
    yield Step(5 * MINUTE_MS, address, login_succeeded)


def traveller(rng: Random) -> Iterator[Step]:
    """Log in here, and five minutes later somewhere else on a new device."""
    yield Step(0, "192.0.2.7", login_succeeded)
    yield Step(5 * MINUTE_MS, _somewhere(rng), _on_new_device)


def borrowed_access(rng: Random) -> Iterator[Step]:
    """Give access, and take it away again."""
    address = _somewhere(rng)
    yield Step(0, address, _access(given=True))
    yield Step(9 * MINUTE_MS, address, _access(given=False))


def gave_much(rng: Random) -> Iterator[Step]:
    """Give many people a role."""
    address = _somewhere(rng)
    return (Step(n * 30 * SECOND_MS, address, _given_role) for n in range(BURST))


def removed_many(rng: Random) -> Iterator[Step]:
    """Remove many people, more slowly."""
    address = _somewhere(rng)
    return (Step(n * 90 * SECOND_MS, address, user_left) for n in range(BURST))


def _somewhere(rng: Random) -> str:
    return f"198.18.{rng.randrange(256)}.{rng.randrange(1, 255)}"


def _failed(_rng: Random, who: Data, _name: str) -> Outcome:
    extra = {"method": "password", "attempt": 1}
    data = {**extra, "reason": "invalid_credentials", "identifier": who["email"]}
    target = {"type": "user", "id": who["id"], "email": who["email"]}
    entry = {"outcome": "failure", "outcome_reason": "invalid_credentials"}
    action = "auth.login_failed"
    return Outcome("identity.login.failed.v1", data, action, target, {"extra": extra}, entry)


def _on_new_device(_rng: Random, who: Data, _name: str) -> Outcome:
    extra = {"method": "password", "mfa": False, "new_device": True}
    target = {"type": "user", **{k: v for k, v in who.items() if k in ("id", "name", "email")}}
    action = "auth.login_success"
    return Outcome("identity.login.succeeded.v1", dict(extra), action, target, {"extra": extra})


def _given_role(rng: Random, who: Data, name: str) -> Outcome:
    while (made := role_binding(rng, who, name)).action != "role.assigned":
        pass
    return made


def _access(*, given: bool) -> Callable[[Random, Data, str], Outcome]:
    def build(_rng: Random, who: Data, _name: str) -> Outcome:
        """Build access given to a friend of this person's, or taken."""
        product = {"id": "p-vault", "name": "Hub Vault"}
        grantee = {"type": "user", "id": f"friend-{who['id']}", "email": "friend@example.org"}
        data: Data = {"product": product, "grantee": grantee, "level_before": "read"}
        details: Data = {"grantee": grantee, "old": {"level": "read"}}
        action = "product_access.revoked"
        if given:
            data |= {"level_before": None, "level_after": "read"}
            details = {"grantee": grantee, "new": {"level": "read"}}
            action = "product_access.granted"
        target = {"type": "product", **product}
        return Outcome("permission.product_access.changed.v1", data, action, target, details)

    return build


ATTACKS = (guessed_password, traveller, borrowed_access, gave_much, removed_many)
