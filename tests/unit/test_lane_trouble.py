"""What a lane knows of its troubles and of how far it is, without servers."""

import pytest

from processor import progress
from processor.lane import BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_MIN, Trouble
from processor.progress import SEEN_SECONDS_MAX, Ends, Progress

BEHIND, LEVEL = Ends({"raw.identity": 7}, 1.0), Ends({"raw.identity": 3}, 1.0)
LOOK_SECONDS = 2.0


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self.now = 1_000.0

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return self.now

    def time(self) -> float:
        """Return the same as the time of day."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the clock by which progress is measured."""
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def looked(lane: Progress, clock: Clock, ends: Ends, times: int, every: float) -> None:
    """Ask the bus so many times where it ends."""
    for _ in range(times):
        clock.now += every
        lane.seen(ends)


def test_outage_of_hours_is_waited_out() -> None:
    """However often a lane has failed, it tries again within seconds."""
    trouble = Trouble()
    waits = [trouble.backoff_seconds()]
    for _ in range(5_000):
        trouble.met(0, "database", OSError("away"))
        waits.append(trouble.backoff_seconds())
    assert waits[:3] == [BACKOFF_SECONDS_MIN, 2 * BACKOFF_SECONDS_MIN, 4 * BACKOFF_SECONDS_MIN]
    assert set(waits[10:]) == {BACKOFF_SECONDS_MAX}


def test_lane_that_gets_nothing_is_still(clock: Clock) -> None:
    """While the bus is seen to hold more and nothing moves, the time counts; else it does not."""
    lane = Progress()
    lane.moved({"raw.identity": 3})
    looked(lane, clock, LEVEL, 100, LOOK_SECONDS)
    assert lane.still_seconds() == 0
    looked(lane, clock, BEHIND, 31, LOOK_SECONDS)
    assert lane.still_seconds() == 31 * LOOK_SECONDS
    lane.moved({"raw.identity": 5})
    assert lane.still_seconds() == 0
    looked(lane, clock, BEHIND, 1, LOOK_SECONDS)
    assert lane.still_seconds() == LOOK_SECONDS


def test_time_in_which_nobody_looked_does_not_count(clock: Clock) -> None:
    """What is there after the bus was away, or the worker frozen, has waited for nobody yet."""
    lane = Progress()
    lane.moved({"raw.identity": 3})
    looked(lane, clock, LEVEL, 3, LOOK_SECONDS)
    looked(lane, clock, BEHIND, 1, 90.0)
    assert lane.still_seconds() == 0
    looked(lane, clock, BEHIND, 1, SEEN_SECONDS_MAX)
    assert lane.still_seconds() == SEEN_SECONDS_MAX
