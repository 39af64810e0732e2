"""What the demo shows, as it is known so far: no I/O, only what was told."""

from collections import Counter, deque
from datetime import datetime
from typing import NamedTuple

from schemas.catalogue import CATEGORY_LABELS
from schemas.entry import Entry

NEWEST = 50
# The last seconds at the usual rate, so that the figure follows what happens.
LATENCIES = 600
TAIL = 20


class Totals(NamedTuple):
    """The books of all raw partitions together, as Postgres keeps them, or what they grew by."""

    passed: int = 0
    entries: int = 0
    duplicates: int = 0
    discards: int = 0
    dead_letters: int = 0
    offset_holes: int = 0
    balanced: bool = True

    def since(self, before: "Totals") -> "Totals":
        """Return by how much they have grown; they balance where these do."""
        grown = [now - then for now, then in zip(self[:-1], before[:-1], strict=True)]
        return Totals._make([*grown, self.balanced])


class Scene:
    """Counts, latencies and the newest of everything since the demo began."""

    def __init__(self, tailed: str) -> None:
        """Begin with nothing; ``tailed`` is the canonical topic of which values are shown."""
        self.tailed = tailed
        self.totals = Totals()
        self.lag_records = 0
        self.away: str | None = None
        self._before: Totals | None = None
        self.categories: Counter[str] = Counter(dict.fromkeys(CATEGORY_LABELS, 0))
        self.reasons: Counter[str] = Counter()
        self.newest: deque[Entry] = deque(maxlen=NEWEST)
        self.tail: deque[str] = deque(maxlen=TAIL)
        self._latencies: deque[float] = deque(maxlen=LATENCIES)

    @property
    def published(self) -> int:
        """How many records had been put on the raw topics when somebody last looked."""
        return self.totals.passed + self.lag_records

    def looked(self, totals: Totals, lag_records: int) -> None:
        """Note the books, and how many records wait; what stood in them before is none of ours."""
        if self._before is None:
            self._before = totals
        self.totals, self.lag_records = totals.since(self._before), lag_records
        self.away = None

    def canonical(self, topic: str, value: bytes, entry: Entry, *, seen_at: float) -> None:
        """Note a canonical event that came in at a time (UNIX seconds)."""
        self.categories[entry["category"]] += 1
        self.newest.append(entry)
        self._latencies.append(seen_at - datetime.fromisoformat(entry["recorded_at"]).timestamp())
        if topic == self.tailed:
            self.tail.append(value.decode())

    def dead_letter(self, reason: str) -> None:
        """Note a dead letter."""
        self.reasons[reason] += 1

    def latency_ms(self, share: float) -> float | None:
        """Return the latency from the raw topic to a subscriber that this share stays under."""
        if not self._latencies:
            return None
        ordered = sorted(self._latencies)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]
