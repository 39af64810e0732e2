"""What `process` counts: how records end, how long they take, how the lanes are doing."""

import time
from collections import Counter as Tally
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from prometheus_client import Counter

from processor.metrics.declare import LABELS, Of
from schemas.record import Record
from schemas.rejection import DeadLetter, Reason, Stage

STAGE_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LATENCY_SECONDS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0)
"""2 s is the objective for 99 % of events, 0.3 s the target."""

SKEW_SECONDS = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0)
BATCH_RECORDS = (1, 10, 50, 100, 250, 500, 1000, 1500, 2000, 5000, 10000)

_of = Of("process")

RECORDS = _of.counter("records_total", "Records taken from the bus and settled.", "topic")
ENTRIES = _of.counter("entries_total", "Entries stored and emitted.", "category")
DUPLICATES = _of.counter("duplicates_total", "Upstream duplicates suppressed.")
DISCARDS = _of.counter(
    "discards_total", "Events that are no audit events, by rule.", "topic", "rule"
)
DEAD_LETTERS = _of.counter(
    "dead_letters_total", "Records that could not pass, by stage and reason.", "stage", "reason"
)
STRAYS = _of.counter("strays_total", "Entries whose record came by another lane than its key's.")
SOURCE_GAPS = _of.counter(
    "source_gap_offsets_total", "Offsets the bus forgot before they were stored."
)
BATCH_SIZE = _of.histogram("batch_records", "Records in a batch.", buckets=BATCH_RECORDS)
STAGE = _of.histogram(
    "stage_seconds", "Time a batch spends in a stage.", "stage", buckets=STAGE_SECONDS
)
LATENCY = _of.weighted_histogram(
    "end_to_end_seconds",
    "From the bus's append time of a record to its committed canonical event.",
    LATENCY_SECONDS,
)
SKEW = _of.histogram(
    "recorded_after_occurred_seconds",
    "From when an event happened to the bus's append time, of one entry a batch; a clock that is"
    " ahead counts as 0.",
    buckets=SKEW_SECONDS,
)
LAG_RECORDS = _of.gauge("lag_records", "Offsets between what is stored and what is stable.", "lane")
LAG_SECONDS = _of.gauge("lag_seconds", "Age of the last stored record while more wait.", "lane")
LAST_PROGRESS = _of.gauge(
    "last_progress_timestamp_seconds",
    "When the last batch of the lane was finished, or the lane was assigned.",
    "lane",
)
LANES = _of.gauge("lanes_held", "Lanes this worker holds.")
CONFIGURED = _of.gauge("lanes_configured", "Lanes there are, as it is set.")
LANE_BATCHES = _of.counter("transactions_total", "Batches, by how they ended.", "result")
LANE_RESETS = _of.counter("lane_resets_total", "Lanes taken over again, by cause.", "cause")
SETTLED = _of.counter("settled_batches_total", "Batches emitted by a take-over.", "redelivery")
TAKE_OVER = _of.histogram("take_over_seconds", "Time to take a lane over.", buckets=STAGE_SECONDS)
REBALANCES = _of.counter("rebalances_total", "Assignments received from the group.")
LANE_STATES = _of.gauge(
    "lanes",
    "Lanes this worker holds, by what they do: flowing, being taken over, or waiting for the"
    " database, the bus, an outcome in doubt or the end of a fencing; stopped until an operator"
    " acts.",
    "lane_state",
)

# What an alert counts the first of has to be there before it, as 0.
DEAD_LETTERS.labels(Stage.STORE, Reason.REFUSED_BY_DATABASE)
for _result in sorted(LABELS["result"].known or ()):
    LANE_BATCHES.labels(_result)
for _cause in sorted(LABELS["cause"].known or ()):
    LANE_RESETS.labels(_cause)


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


def rebalanced(lanes: Collection[int]) -> None:
    """Note an assignment of lanes; a lane that never gets to a batch stands still from now on."""
    REBALANCES.inc()
    LANES.set(len(lanes))
    for lane in lanes:
        LAST_PROGRESS.labels(str(lane)).set_to_current_time()


def watch_lanes(lanes: int, count: Callable[[], Mapping[str, int]]) -> None:
    """Have the lanes counted by state whenever somebody looks, of so many that there are."""
    CONFIGURED.set(lanes)

    def of_state(state: str) -> Callable[[], float]:
        """Return what tells the lanes of one state."""
        return lambda: count().get(state, 0)

    for state in sorted(LABELS["lane_state"].known or ()):
        LANE_STATES.labels(state).set_function(of_state(state))
