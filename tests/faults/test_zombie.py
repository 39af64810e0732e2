"""F4: a worker that is frozen past its session, loses its lanes, and wakes up again."""

import signal
from collections.abc import Callable

import pytest

from tests.faults.harness import SESSION_TIMEOUT_MS, Stage, until

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    "point", ["before_store", "mid_copy", "after_pg_commit", "after_produce", "before_end_txn"]
)
def test_a_zombie_writes_nothing(stage: Callable[..., Stage], point: str) -> None:
    """What a woken worker goes on with is void, in the database and on the bus."""
    here = stage(seed=11)
    zombie = here.start(point, passes=2, number=signal.SIGSTOP)
    here.feed_until(lambda: zombie.frozen, f"{point} comes")
    here.start()
    here.feed(600)
    here.rest()  # the successor has everything, the zombie's lanes too
    epochs = dict(here.sql("SELECT lane, epoch FROM lanes"))
    zombie.send(signal.SIGCONT)
    here.feed(600)
    until(
        lambda: dict(here.sql("SELECT lane, epoch FROM lanes")) != epochs,
        "the zombie is a member again",
        seconds=10 * SESSION_TIMEOUT_MS / 1000,
    )
    here.feed(600)
    verdict = here.judge()
    assert verdict.clean, f"{verdict}\n{zombie.said()[-3000:]}"
    assert zombie.running, zombie.said()[-3000:]
