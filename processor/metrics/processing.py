"""What `process` counts: how records end, how long they take, how the lanes are doing."""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from prometheus_client import Counter

from processor.metrics.declare import WeightedHistogram, counter, gauge, histogram
from schemas.record import Record
from schemas.rejection import DeadLetter

STAGE_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LATENCY_SECONDS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0)
"""2 s is the objective for 99 % of events, 0.3 s the target."""

SKEW_SECONDS = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0)
BATCH_RECORDS = (1, 10, 50, 100, 250, 500, 1000, 1500, 2000, 5000, 10000)

RECORDS = counter("records_total", "Records taken from the bus and settled.", "topic")
ENTRIES = counter("entries_total", "Entries stored and emitted.", "category")
DUPLICATES = counter("duplicates_total", "Upstream duplicates suppressed.")
DISCARDS = counter("discards_total", "Events that are no audit events, by rule.", "topic", "rule")
DEAD_LETTERS = counter(
    "dead_letters_total", "Records that could not pass, by stage and reason.", "stage", "reason"
)
STRAYS = counter("strays_total", "Entries whose record came by another lane than its key's.")
SOURCE_GAPS = counter("source_gap_offsets_total", "Offsets the bus forgot before they were stored.")
BATCH_SIZE = histogram("batch_records", "Records in a batch.", buckets=BATCH_RECORDS)
STAGE = histogram(
    "stage_seconds", "Time a batch spends in a stage.", "stage", buckets=STAGE_SECONDS
)
LATENCY = WeightedHistogram(
    "end_to_end_seconds",
    "From the bus's append time of a record to its committed canonical event.",
    LATENCY_SECONDS,
)
SKEW = histogram(
    "recorded_after_occurred_seconds",
    "From when an event happened to the bus's append time, of one entry a batch; a clock that is"
    " ahead counts as 0.",
    buckets=SKEW_SECONDS,
)
LAG_RECORDS = gauge("lag_records", "Offsets between what is stored and what is stable.", "lane")
LAG_SECONDS = gauge("lag_seconds", "Age of the last stored record while more wait.", "lane")
LAST_PROGRESS = gauge(
    "last_progress_timestamp_seconds", "When the last batch was finished.", "lane"
)
LANES = gauge("lanes_held", "Lanes this worker holds.")
LANE_BATCHES = counter("transactions_total", "Batches, by how they ended.", "result")
LANE_RESETS = counter("lane_resets_total", "Lanes taken over again, by cause.", "cause")
SETTLED = counter("settled_batches_total", "Batches emitted by a take-over.", "redelivery")
TAKE_OVER = histogram("take_over_seconds", "Time to take a lane over.", buckets=STAGE_SECONDS)
REBALANCES = counter("rebalances_total", "Assignments received from the group.")
DAYS_AHEAD = gauge("days_ahead", "Day partitions that are there beyond today's.")
OLDEST_DAY = gauge("oldest_day_timestamp_seconds", "When the oldest day partition begins.")
UNBALANCED = gauge("unbalanced_partitions", "Raw partitions whose books do not balance.")


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Measure a block as the ``stage`` (decode, normalize, store, emit) of a batch."""
    began = time.perf_counter()
    try:
        yield
    finally:
        STAGE.labels(stage).observe(time.perf_counter() - began)


class SliceClock:
    """Adds up what the slices of a batch spend in their stages, to be counted once a batch."""

    def __init__(self) -> None:
        """Begin with nothing spent."""
        self._spent: dict[str, float] = {}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Measure a block as part of the ``stage``."""
        began = time.perf_counter()
        yield
        self._spent[stage] = self._spent.get(stage, 0.0) + time.perf_counter() - began

    def count(self) -> None:
        """Count what the batch has spent."""
        for stage, seconds in self._spent.items():
            STAGE.labels(stage).observe(seconds)


@contextmanager
def timed_take_over() -> Iterator[None]:
    """Measure a take-over that succeeds."""
    began = time.perf_counter()
    yield
    TAKE_OVER.observe(time.perf_counter() - began)


class Batch(NamedTuple):
    """What a finished batch counts as."""

    lane: int
    records: Sequence[Record]
    categories: Mapping[str, int]
    duplicates: int
    discards: Mapping[tuple[str, str], int]
    dead_letters: Iterable[DeadLetter]
    strays: int
    skew_seconds: float | None = None


def batch_done(batch: Batch) -> None:
    """Count a batch that is stored and emitted."""
    now = time.time()
    for topic, count in Tally(record.topic for record in batch.records).items():
        RECORDS.labels(topic).inc(count)
    for recorded_ms, count in Tally(record.timestamp for record in batch.records).items():
        LATENCY.observe(max(0.0, now - recorded_ms / 1000), count)
    _add(ENTRIES, batch.categories)
    for (topic, rule), count in batch.discards.items():
        DISCARDS.labels(topic, rule).inc(count)
    for letter in batch.dead_letters:
        DEAD_LETTERS.labels(letter.rejection.stage, letter.rejection.reason).inc()
    DUPLICATES.inc(batch.duplicates)
    STRAYS.inc(batch.strays)
    BATCH_SIZE.observe(len(batch.records))
    if batch.skew_seconds is not None:
        SKEW.observe(max(0.0, batch.skew_seconds))
    LANE_BATCHES.labels("committed").inc()
    LAST_PROGRESS.labels(str(batch.lane)).set(now)


def _add(counter: Counter, by_label: Mapping[str, int]) -> None:
    for label, count in by_label.items():
        counter.labels(label).inc(count)


def lane_lag(lane: int, records: int, seconds: float) -> None:
    """Note how far behind a lane is."""
    LAG_RECORDS.labels(str(lane)).set(records)
    LAG_SECONDS.labels(str(lane)).set(seconds)


def lane_released(lane: int) -> None:
    """Forget the gauges of a lane that is somebody else's now."""
    forget: tuple[Callable[[str], None], ...] = (
        LAG_RECORDS.remove,
        LAG_SECONDS.remove,
        LAST_PROGRESS.remove,
    )
    for remove in forget:
        remove(str(lane))


def lane_reset(cause: str) -> None:
    """Count a lane that is taken over again."""
    LANE_RESETS.labels(cause).inc()
    LANE_BATCHES.labels("reset").inc()


def settled(*, redelivery: bool) -> None:
    """Count a batch that a take-over emitted."""
    SETTLED.labels("yes" if redelivery else "no").inc()


def source_gap(offsets: int) -> None:
    """Count offsets that are lost to us."""
    SOURCE_GAPS.inc(offsets)


def rebalanced(lanes: int) -> None:
    """Note an assignment of so many lanes."""
    REBALANCES.inc()
    LANES.set(lanes)


def store_seen(*, days_ahead: int, oldest_day_at: float, unbalanced: int) -> None:
    """Note what the store says of its partitions and books."""
    DAYS_AHEAD.set(days_ahead)
    OLDEST_DAY.set(oldest_day_at)
    UNBALANCED.set(unbalanced)
