"""How far a lane has come against what the bus holds."""

import time
from collections.abc import Mapping
from typing import NamedTuple


class Ends(NamedTuple):
    """Where the topics of a lane ended, by topic, and when that was asked (UNIX seconds)."""

    by_topic: Mapping[str, int]
    asked_at: float


class Progress:
    """A lane's next offsets, against the last ends it was told."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.positions: Mapping[str, int] = {}
        self.ends = Ends({}, 0.0)
        self._stored_through_at = 0.0
        self._moved_at = time.monotonic()

    def moved(self, positions: Mapping[str, int], recorded_at: float | None = None) -> None:
        """Note the lane's new next offsets, and the append time of the last record among them."""
        self.positions = positions
        self._moved_at = time.monotonic()
        if recorded_at is not None:
            self._stored_through_at = recorded_at

    def caught_up(self) -> bool:
        """Whether every topic's position has reached the end it had when last asked."""
        return bool(self.ends.by_topic) and self.lag_records() == 0

    def lag_records(self) -> int:
        """Return how many offsets the lane is behind."""
        positions = self.positions
        ends = self.ends.by_topic.items()
        return sum(max(0, end - positions.get(topic, end)) for topic, end in ends)

    def lag_seconds(self) -> float:
        """Return the age of the last stored record while more of them wait; else 0."""
        if not self.lag_records() or not self._stored_through_at:
            return 0.0
        return max(0.0, time.time() - self._stored_through_at)

    def still_seconds(self) -> float:
        """Return for how long the position has not moved although the bus holds more."""
        if not self.lag_records():
            self._moved_at = time.monotonic()
        return time.monotonic() - self._moved_at
