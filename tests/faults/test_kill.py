"""F1, F2, F3: workers that are killed at random, at every named moment, or asked to end."""

import os
import signal
import time
from collections.abc import Callable, Sequence

import psycopg
import pytest

from tests.faults.harness import Stage, until
from tests.faults.points import IN_A_BATCH, IN_A_TAKE_OVER

RECORDS = int(os.environ.get("FAULTS_RECORDS", "3000"))
KILLS = int(os.environ.get("FAULTS_KILLS", "3"))
DRAIN_SECONDS = 10.0

pytestmark = pytest.mark.timeout(300)
New = Callable[..., Stage]


def die_in_turn(stage: Stage, points: Sequence[str]) -> None:
    """Let one worker after another die at its moment, then let a sound one finish."""
    for turn, point in enumerate(points):
        worker = stage.start(point, passes=1 + turn % 3)
        stage.feed_until(lambda: not worker.running, f"{point} comes")  # noqa: B023 - ends here
        assert worker.died(), f"{point}: {worker.said()[-3000:]}"
    stage.start()


@pytest.mark.parametrize(
    "points", [IN_A_BATCH[:5], IN_A_BATCH[5:]], ids=["until the store", "until the bus"]
)
def test_a_worker_killed_at_a_moment_of_its_batch(stage: New, points: Sequence[str]) -> None:
    """Whatever the moment of a batch, its successor neither loses nor repeats anything."""
    here = stage()
    here.feed_transactions()
    die_in_turn(here, points)
    verdict = here.judge()
    assert verdict.clean, verdict


def test_a_worker_killed_while_it_takes_over(stage: New) -> None:
    """A successor that dies while it settles leaves its own successor the same work."""
    here = stage()
    settling = ("before_settle", "after_settle")
    fresh = ("after_fencing", "after_take_over")
    assert {*settling, *fresh} == {*IN_A_TAKE_OVER}
    here.feed(500)
    for point, passes in (
        ("after_pg_commit", 2),
        ("before_settle", 1),
        ("after_settle", 1),
        ("after_pg_commit", 1),
        ("after_fencing", 2),
        ("after_take_over", 1),
    ):
        worker = here.start(point, passes=passes)
        here.feed_until(lambda: not worker.running, f"{point} comes")  # noqa: B023 - ends here
        assert worker.died(), f"{point}: {worker.said()[-3000:]}"
    here.start()
    verdict = here.judge()
    assert verdict.clean, verdict


def test_workers_killed_at_random(stage: New) -> None:
    """Two workers under load, one of them killed again and again: nothing lost, nothing twice."""
    here = stage(seed=7)
    workers = [here.start(), here.start()]
    for _ in range(KILLS):
        here.progress(here.rng.randrange(1, RECORDS // KILLS))
        victim = workers.pop(here.rng.randrange(2))
        victim.kill()
        workers.append(here.start())
    verdict = here.judge()
    assert verdict.clean, verdict


# A batch takes longer than the worker's look at the ends of the topics, every 2 s.
SLOW_BATCH = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM pg_sleep(3.2); RETURN NULL; END';
CREATE TRIGGER slow AFTER UPDATE OF batch ON lanes FOR EACH STATEMENT
EXECUTE FUNCTION slow();
"""


def test_what_waits_behind_a_batch_is_left_to_the_next_owner(stage: New) -> None:
    """Records that wait while the last batch of a drain runs are not counted as read."""
    here = stage(seed=4, lanes=1)
    worker = here.start()
    here.feed(50)
    here.rest()
    with psycopg.connect(here.dsn, autocommit=True) as db:
        db.execute(SLOW_BATCH)
        here.feed(50)
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        until(lambda: here.sql(asleep)[0][0] > 0, "a batch is stored")
        began = time.monotonic()
        here.feed(50)
        until(lambda: time.monotonic() - began > 2.5, "the ends were asked for")
        code, _ = worker.drain()
        db.execute("DROP TRIGGER slow ON lanes")
    assert code == 0, worker.said()[-3000:]
    here.start()
    verdict = here.judge()
    assert verdict.clean, verdict


def test_a_worker_asked_to_end_finishes_its_batch(stage: New) -> None:
    """SIGTERM in mid-flow: the worker ends by itself, in time, and nothing has to be settled."""
    here = stage(seed=3)
    first = here.start()
    here.feed(500)
    here.progress(1)
    second = here.start()
    here.feed_until(lambda: "lane_taken_over" in second.said(), "the second holds lanes")
    here.progress(200)
    shared = len(second.said())  # when they were, a batch may have been cut off: it gets 2 s
    first.send(signal.SIGTERM)
    seconds = here.feed_until(lambda: not first.running, "the first worker ends")
    assert (first.process.returncode, seconds < DRAIN_SECONDS) == (0, True), first.said()[-3000:]
    verdict = here.judge()
    assert verdict.clean, verdict
    assert "batch_settled" not in second.said()[shared:]
    assert second.process.poll() is None
    second.send(signal.SIGTERM)
    assert second.process.wait(DRAIN_SECONDS) == 0
