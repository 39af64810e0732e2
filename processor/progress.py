"""How far a lane has come against what the bus holds."""

import time
from collections.abc import Mapping
from typing import NamedTuple

SEEN_SECONDS_MAX = 10.0
"""After a longer silence ends say nothing of the time between: the bus was away, or we were."""


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
        self._seen_at = self._still_since = time.monotonic()

    def moved(self, positions: Mapping[str, int], recorded_at: float | None = None) -> None:
        """Note the lane's new next offsets, and the append time of the last record among them."""
        self.positions = positions
        self._still_since = time.monotonic()
        if recorded_at is not None:
            self._stored_through_at = recorded_at

    def seen(self, ends: Ends) -> None:
        """Note where the topics end now."""
        self.ends = ends
        now = time.monotonic()
        if now - self._seen_at > SEEN_SECONDS_MAX or not self.lag_records():
            self._still_since = now
        self._seen_at = now

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
        """Return for how long the bus has been seen to hold more, and nothing has moved."""
        return time.monotonic() - self._still_since if self.lag_records() else 0.0
