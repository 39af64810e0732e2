"""F1, F2, F3: workers that are killed at random, at every named moment, or asked to end."""

import os
import re
import signal
from collections.abc import Callable, Sequence

import psycopg
import pytest

from tests.faults.harness import PATIENCE_SECONDS, Stage, Worker, until
from tests.faults.points import IN_A_BATCH, IN_A_TAKE_OVER

RECORDS = int(os.environ.get("FAULTS_RECORDS", "3000"))
KILLS = int(os.environ.get("FAULTS_KILLS", "3"))

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


# A batch waits in its store for as long as a test holds the lock.
HELD_BATCH = """
CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END';
CREATE TRIGGER held AFTER UPDATE OF batch ON lanes FOR EACH STATEMENT
EXECUTE FUNCTION held();
SELECT pg_advisory_lock(7);
"""
WAITING = """SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event = 'advisory'"""
LAG = re.compile(r'^hub_audit_lag_records{lane="0"} ([0-9.]+)$', re.MULTILINE)


def lag(worker: Worker) -> float:
    """Return how many records wait in the only lane, as far as the worker knows."""
    found = LAG.search(worker.answer("/metrics"))
    return float(found.group(1)) if found else 0.0


def test_what_waits_behind_a_batch_is_left_to_the_next_owner(stage: New) -> None:
    """Records that wait while the last batch of a drain runs are not counted as read."""
    here = stage(seed=4, lanes=1)
    worker = here.start()
    here.feed(50)
    here.rest()
    with psycopg.connect(here.dsn, autocommit=True) as db:
        db.execute(HELD_BATCH)
        here.feed(50)
        until(lambda: here.sql(WAITING)[0][0] > 0, "a batch is stored")
        here.feed(50)
        until(lambda: lag(worker) > 50, "the ends were asked for")
        worker.send(signal.SIGTERM)
        until(lambda: "0 lanes" in worker.answer("/readyz"), "the lane is given back")
        db.execute("SELECT pg_advisory_unlock(7)")
        assert worker.process.wait(PATIENCE_SECONDS) == 0, worker.said()[-3000:]
        db.execute("DROP TRIGGER held ON lanes")
    here.start()
    verdict = here.judge()
    assert verdict.clean, verdict


def test_a_worker_asked_to_end_finishes_its_batch(stage: New) -> None:
    """SIGTERM in mid-flow: the worker ends by itself, and nothing has to be settled."""
    here = stage(seed=3)
    first = here.start()
    here.feed(500)
    here.progress(1)
    second = here.start()
    here.feed_until(lambda: "lane_taken_over" in second.said(), "the second holds lanes")
    here.progress(200)
    shared = len(second.said())  # when they were, a batch may have been cut off: it gets 2 s
    first.send(signal.SIGTERM)
    here.feed_until(lambda: not first.running, "the first worker ends")
    assert first.process.returncode == 0, first.said()[-3000:]
    verdict = here.judge()
    assert verdict.clean, verdict
    assert "batch_settled" not in second.said()[shared:]
    assert second.process.poll() is None
    assert second.drain()[0] == 0
