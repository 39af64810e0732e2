"""Every metric of the processor, declared once with its meaning, counted per batch.

Labels come from closed sets: topic, lane, stage, reason, rule, cause. Never an organization, a
user or an error's text. ``declared()`` is what the reference in the documentation is made of.
"""

import time
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from schemas.catalogue import CATALOGUE
from schemas.record import Record
from schemas.rejection import DeadLetter, Reason, Rule, Stage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

REQUEST_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0)
STAGE_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LATENCY_SECONDS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0)
"""2 s is the objective for 99 % of events, 0.3 s the target."""

SKEW_SECONDS = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0)

BATCH_RECORDS = (1, 10, 50, 100, 250, 500, 1000, 1500, 2000, 5000, 10000)

# When each series was made: as many series again, and nobody asks for them.
disable_created_metrics()  # type: ignore[no-untyped-call] # has no types
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)


class Declared(NamedTuple):
    """One metric, as the reference lists it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


_declared: list[Declared] = []


def declared() -> tuple[Declared, ...]:
    """Return every metric in the order of declaration."""
    return tuple(_declared)


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    _declared.append(Declared(f"hub_audit_{name}", "counter", labels, meaning))
    return Counter(f"hub_audit_{name}", meaning, labels, registry=REGISTRY)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    _declared.append(Declared(f"hub_audit_{name}", "gauge", labels, meaning))
    return Gauge(f"hub_audit_{name}", meaning, labels, registry=REGISTRY)


def _histogram(name: str, meaning: str, *labels: str, buckets: Iterable[float]) -> Histogram:
    _declared.append(Declared(f"hub_audit_{name}", "histogram", labels, meaning))
    return Histogram(
        f"hub_audit_{name}", meaning, labels, registry=REGISTRY, buckets=tuple(buckets)
    )


class WeightedHistogram(Collector):
    """A histogram that takes many equal observations at once, which the library's does not."""

    def __init__(self, name: str, meaning: str, buckets: tuple[float, ...]) -> None:
        """Declare it; ``buckets`` are upper bounds, infinity is added."""
        _declared.append(Declared(f"hub_audit_{name}", "histogram", (), meaning))
        self._name, self._meaning, self._bounds = f"hub_audit_{name}", meaning, buckets
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0
        REGISTRY.register(self)

    def observe(self, value: float, times: int) -> None:
        """Count ``value`` so many times."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the cumulative buckets, as the exposition format has them."""
        total, buckets = 0, []
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        yield HistogramMetricFamily(self._name, self._meaning, buckets=buckets, sum_value=self._sum)


RECORDS = _counter("records_total", "Records taken from the bus and settled.", "topic")
ENTRIES = _counter("entries_total", "Entries stored and emitted.", "category")
DUPLICATES = _counter("duplicates_total", "Upstream duplicates suppressed.")
DISCARDS = _counter("discards_total", "Events that are no audit events, by rule.", "topic", "rule")
DEAD_LETTERS = _counter(
    "dead_letters_total", "Records that could not pass, by stage and reason.", "stage", "reason"
)
STRAYS = _counter("strays_total", "Entries whose record came by another lane than its key's.")
SOURCE_GAPS = _counter(
    "source_gap_offsets_total", "Offsets the bus forgot before they were stored."
)
BATCH_SIZE = _histogram("batch_records", "Records in a batch.", buckets=BATCH_RECORDS)
STAGE = _histogram(
    "stage_seconds", "Time a batch spends in a stage.", "stage", buckets=STAGE_SECONDS
)
LATENCY = WeightedHistogram(
    "end_to_end_seconds",
    "From the bus's append time of a record to its committed canonical event.",
    LATENCY_SECONDS,
)
SKEW = _histogram(
    "recorded_after_occurred_seconds",
    "From when an event happened to the bus's append time, of one entry a batch; a clock that is"
    " ahead counts as 0.",
    buckets=SKEW_SECONDS,
)
LAG_RECORDS = _gauge("lag_records", "Offsets between what is stored and what is stable.", "lane")
LAG_SECONDS = _gauge("lag_seconds", "Age of the last stored record while more wait.", "lane")
LAST_PROGRESS = _gauge(
    "last_progress_timestamp_seconds", "When the last batch was finished.", "lane"
)
REQUESTS = _histogram(
    "request_seconds",
    "Time to answer a request, by route and status.",
    "route",
    "status",
    buckets=REQUEST_SECONDS,
)
FORWARDED = _counter("forwarded_records_total", "Records sent on SIEM topics.")
FORWARD_LAG = _gauge(
    "forward_lag_entries", "Entries that the subscription furthest behind lacks.", "shard"
)
LANES = _gauge("lanes_held", "Lanes this worker holds.")
LANE_BATCHES = _counter("transactions_total", "Batches, by how they ended.", "result")
LANE_RESETS = _counter("lane_resets_total", "Lanes taken over again, by cause.", "cause")
SETTLED = _counter("settled_batches_total", "Batches emitted by a take-over.", "redelivery")
TAKE_OVER = _histogram("take_over_seconds", "Time to take a lane over.", buckets=STAGE_SECONDS)
REBALANCES = _counter("rebalances_total", "Assignments received from the group.")
CONNECTIONS = _gauge("database_connections", "Connections to Postgres.", "state")
DAYS_AHEAD = _gauge("days_ahead", "Day partitions that are there beyond today's.")
OLDEST_DAY = _gauge("oldest_day_timestamp_seconds", "When the oldest day partition begins.")
UNBALANCED = _gauge("unbalanced_partitions", "Raw partitions whose books do not balance.")
LOOP_LAG = _gauge("loop_lag_seconds", "How late the event loop last woke a timer.")
MAINTAINED = _gauge("maintained_timestamp_seconds", "When a round of maintenance last went well.")
PURGED = _counter("purged_days_total", "Days dropped by retention.", "table")
OVERDUE = _gauge("overdue_partitions", "Days too old that wait for whoever reads them.")
UNANNOUNCED = _gauge("unannounced_purges", "Purges their organizations were not told of yet.")
SEALED = _counter("sealed_entries_total", "Entries in the days that were sealed.")
SEALING = _counter("sealing_seconds_total", "Time spent on sealing.")
UNSEALED = _gauge(
    "unsealed_partitions", "Finished days that could not be sealed in the last round."
)
BUILD = _gauge("build_info", "1, labelled with what runs.", "version", "normalizer")


LABELS: Mapping[str, frozenset[str] | None] = {
    "topic": None,  # the raw topics, as they are set
    "lane": None,  # a number below that of the lanes
    "version": None,
    "normalizer": None,
    "category": frozenset(action.category for action in CATALOGUE.values()),
    "rule": frozenset(Rule),
    "stage": frozenset((*Stage, "emit")),
    "reason": frozenset(Reason),
    "result": frozenset(("committed", "reset")),
    "cause": frozenset(("outage", "fenced", "stopped")),
    "redelivery": frozenset(("yes", "no")),
    "state": frozenset(("idle", "busy")),
    "shard": None,  # a number below that of the shards
    "route": None,  # the templates of the addresses, as they are declared
    "status": None,  # what HTTP knows
    "table": frozenset(("audit_entries", "dead_letters")),
}
"""Every label, and what it can say; None where the settings or the release decide."""


def rendered() -> bytes:
    """Return all metrics in the text format of Prometheus."""
    return generate_latest(REGISTRY)


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


def requested(route: str, status: int, seconds: float) -> None:
    """Count a request and how long its answer took."""
    REQUESTS.labels(route, str(status)).observe(seconds)


def forwarded(records: int) -> None:
    """Count records that were committed on SIEM topics."""
    FORWARDED.inc(records)


def forward_lag(shard: int, entries: int) -> None:
    """Note how far the slowest subscription of a shard is behind."""
    FORWARD_LAG.labels(str(shard)).set(entries)


def rebalanced(lanes: int) -> None:
    """Note an assignment of so many lanes."""
    REBALANCES.inc()
    LANES.set(lanes)


def store_seen(*, days_ahead: int, oldest_day_at: float, unbalanced: int) -> None:
    """Note what the store says of its partitions and books."""
    DAYS_AHEAD.set(days_ahead)
    OLDEST_DAY.set(oldest_day_at)
    UNBALANCED.set(unbalanced)


def connections(*, idle: int, busy: int) -> None:
    """Note what the connections to Postgres do."""
    CONNECTIONS.labels("idle").set(idle)
    CONNECTIONS.labels("busy").set(busy)


def day_sealed(entries: int, seconds: float) -> None:
    """Count a day that was sealed."""
    SEALED.inc(entries)
    SEALING.inc(seconds)


def maintained(*, purged: Mapping[str, int], overdue: int, unsealed: int, unannounced: int) -> None:
    """Note a round of maintenance."""
    for table, days in purged.items():
        PURGED.labels(table).inc(days)
    OVERDUE.set(overdue)
    UNSEALED.set(unsealed)
    UNANNOUNCED.set(unannounced)
    MAINTAINED.set_to_current_time()


def started(version: str, normalizer: str) -> None:
    """Note what runs."""
    BUILD.labels(version, normalizer).set(1)
