"""The faults of the subscribers' own processes: each does its harm, mends it, and returns."""

import time
from collections.abc import Callable

from tests.faults.field import Field, freeze, thaw
from tests.faults.forwarders import Forwarder
from tests.faults.harness import until
from tests.faults.subscribers import Crew, Subscribers

CrewOf = Callable[[Subscribers], Crew]
STRUCK_SECONDS_MAX = 20.0


def forwarders(subscribers: Subscribers) -> Crew:
    """Return those who serve the SIEMs."""
    return subscribers.forwarders


def defenders(subscribers: Subscribers) -> Crew:
    """Return those who watch."""
    return subscribers.defenders


def killed(crew_of: CrewOf) -> Callable[[Field], None]:
    """Return the fault of a kill -9."""

    def strike(here: Field) -> None:
        """Kill -9 of one of a crew."""
        crew = crew_of(here.subscribers)
        crew.kill([here.rng.choice(crew.members)])
        crew.start()

    return strike


def frozen(crew_of: CrewOf) -> Callable[[Field], None]:
    """Return the fault of a freeze for less or more than a lease, or a session."""

    def strike(here: Field) -> None:
        """Freeze one of a crew, and wake it."""
        victim = here.rng.choice(crew_of(here.subscribers).members)
        freeze(victim.process.pid)
        time.sleep(here.rng.choice((0.5, 1.5, 4.0, 8.0)))
        thaw(victim.process.pid)

    return strike


def drained(crew_of: CrewOf) -> Callable[[Field], None]:
    """Return what is no fault: SIGTERM."""

    def strike(here: Field) -> None:
        """SIGTERM to one of a crew, which ends by itself."""
        crew = crew_of(here.subscribers)
        victim = here.rng.choice(crew.members)
        crew.members.remove(victim)
        code, _ = victim.drain()
        crew.start()
        assert code == 0, victim.said()[-2000:]

    return strike


def killed_at_a_step(here: Field) -> None:
    """A forwarder that joins, and kills or freezes itself around a step of a delivery."""
    crew = here.subscribers.forwarders
    log = here.stage.directory / "forward-struck.log"
    armed = Forwarder(crew.environment(), log, here.rng.randrange(1_000_000))

    def struck() -> bool:
        armed.tend(time.monotonic())
        return armed.kills + armed.freezes > 1

    try:
        until(struck, "its moments come", STRUCK_SECONDS_MAX)
    except TimeoutError:
        return
    finally:
        armed.kill()
