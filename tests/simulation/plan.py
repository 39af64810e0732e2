"""What happens in one run, all of it drawn from the seed."""

from dataclasses import dataclass, field
from random import Random

from tests.simulation.network import Chances

KINDS = {
    "kill": 5,
    "freeze": 4,
    "leave": 2,
    "join": 2,
    "bus_away": 3,
    "store_crash": 4,
    "offsets_moved": 1,
    "offsets_gone": 1,
    "bus_forgets": 1,
    "store_restored": 1,
}
"""What can happen besides what happens to single requests, with its weight."""

OF_PROCESSES = ("kill", "freeze", "leave", "join")
RESTARTS = 0.2
"""How many of the runs have a broker's restart: drawn apart from the rest."""

RELOAD_SECONDS = (0.5, 2.0, 4.0)
LATE = 1_000_000
"""The first seed of those that are about late copies of requests."""

SLEEPY = 2_000_000
"""The first seed of those that are about slow answers, and workers that sleep among them."""

REFUSING = 3_000_000
"""The first seed of those in which the database refuses rows, mixed otherwise."""

FREEZE_SECONDS = (0.2, 1.0, 3.0, 5.0, 5.0, 9.0)
AWAY_SECONDS = (0.1, 0.5, 2.0, 5.0)


@dataclass
class Blow:
    """One thing that goes wrong: when, what, for how long, and to whom.

    With ``ambush`` it befalls the process whose lane makes the so-manieth request from then on.
    """

    at: float
    kind: str
    seconds: float
    victim: int
    ambush: int = 0


@dataclass
class Plan:
    """One run."""

    seed: int
    lanes: int
    workers: int
    records: int
    load_seconds: float
    bus: Chances
    store: Chances
    blows: list[Blow] = field(default_factory=list)
    refusing: bool = False

    @classmethod
    def drawn(cls, seed: int) -> "Plan":
        """Draw a run: small enough to be quick, mixed enough to be nasty.

        From ``LATE`` on a run is about late copies of requests, and workers that die among them;
        from ``SLEEPY`` on about slow answers, and workers that freeze and wake among them; from
        ``REFUSING`` on some rows are refused.
        """
        plan = cls._mixed(seed % LATE)
        if seed >= REFUSING:
            plan.refusing = True
        elif seed >= SLEEPY:
            rng = Random(f"sleepy {seed}")
            plan.bus, plan.store, plan.workers = Chances(slow=0.1), Chances(), 2
            plan.blows = [
                Blow(at, "freeze", 5.0, rng.randrange(2), rng.randint(1, 30)) for at in (0.5, 2.0)
            ]
        elif seed >= LATE:
            plan.bus, plan.store = Chances(held=0.12), Chances()
            plan.blows = [blow for blow in plan.blows if blow.kind in OF_PROCESSES]
            plan.blows += [Blow(1.0, "kill", 0.1, 0, 7), Blow(2.0, "kill", 0.1, 0, 12)]
            plan.blows.sort(key=lambda blow: blow.at)
        return plan

    @classmethod
    def _mixed(cls, seed: int) -> "Plan":
        rng = Random(seed)
        load_seconds = rng.uniform(0.3, 5.0)
        plan = cls(
            seed=seed,
            lanes=rng.choice((1, 1, 2, 2, 3)),
            workers=rng.choice((1, 2, 2, 3)),
            records=rng.randint(10, 70),
            load_seconds=load_seconds,
            bus=_chances(rng, held=True),
            store=_chances(rng, held=False),
        )
        for _ in range(rng.choice((0, 1, 1, 2, 3, 5))):
            kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
            times = FREEZE_SECONDS if kind == "freeze" else AWAY_SECONDS
            at = rng.uniform(0.0, load_seconds + 1.0)
            blow = Blow(at, kind, rng.choice(times), rng.randrange(3))
            if kind in ("kill", "freeze") and rng.random() < 0.7:
                blow.ambush = rng.randint(1, 40)
            plan.blows.append(blow)
        apart = Random(f"restart {seed}")
        # A store that lost commits while the coordinator reads just up to the number left in it is
        # not told from one that lost none.
        if apart.random() < RESTARTS and not plan.restored:
            at = apart.uniform(0.0, load_seconds + 1.0)
            plan.blows.append(Blow(at, "bus_restart", apart.choice(RELOAD_SECONDS), 0))
        plan.blows.sort(key=lambda blow: blow.at)
        return plan

    @property
    def restored(self) -> bool:
        """Whether the store loses commits on the way: lanes that lost some have to stop."""
        return any(blow.kind == "store_restored" for blow in self.blows)

    @property
    def tampered(self) -> bool:
        """Whether somebody takes the group's offsets away."""
        return any(blow.kind in ("offsets_moved", "offsets_gone") for blow in self.blows)


def _chances(rng: Random, *, held: bool) -> Chances:
    """Draw how bad the way to a server is: mostly good, sometimes dreadful."""
    if rng.random() < 0.3:
        return Chances()
    scale = rng.choice((0.002, 0.01, 0.04))
    if held and rng.random() < 0.2:
        # Late copies of requests, and little else: what tears transactions.
        return Chances(held=rng.choice((0.05, 0.1)))
    return Chances(
        slow=rng.random() * scale * 2,
        lost=rng.random() * scale,
        unanswered=rng.random() * scale,
        held=rng.random() * scale if held else 0.0,
    )
