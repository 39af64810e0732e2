"""How a metric is declared: once, with its meaning, under our name, in one registry.

Labels come from closed sets, which ``LABELS`` lists: never an organization, a user or an error's
text. ``declared()`` is what the reference, ``deploy/metrics.md``, is made of. A process exposes
what it measures and nothing else.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
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
from prometheus_client.registry import Collector

from schemas.catalogue import CATALOGUE
from schemas.finding import RULE_TEXTS
from schemas.rejection import Reason, Rule, Stage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# When each series was made: as many series again, and nobody asks for them.
disable_created_metrics()  # type: ignore[no-untyped-call] # has no types

PROCESSES = ("process", "serve", "forward", "defend", "maintain")


class Declared(NamedTuple):
    """One metric, as the reference lists it, and the processes that expose it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    processes: tuple[str, ...]


_declared: list[Declared] = []
_registries: dict[tuple[str, ...], CollectorRegistry] = {}
_shown: set[str] = set(PROCESSES)


def declared() -> tuple[Declared, ...]:
    """Return every metric in the order of declaration."""
    return tuple(_declared)


def show(*processes: str) -> None:
    """Expose from now on what these processes measure, and nothing else.

    A gauge that nobody sets would say 0: ``serve`` would report that no day partition is there.
    """
    _shown.clear()
    _shown.update(processes)


def rendered() -> bytes:
    """Return the metrics of this process in the text format of Prometheus; all until ``show``."""
    return b"".join(
        generate_latest(registry)
        for processes, registry in _registries.items()
        if _shown.intersection(processes)
    )


class Of:
    """Declares the metrics of some processes; of every process when none is named."""

    def __init__(self, *processes: str) -> None:
        """Take the processes that expose what is declared here."""
        self._processes = processes or PROCESSES
        self.registry = _registries.setdefault(self._processes, CollectorRegistry())

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """Declare a counter."""
        return Counter(
            self._name("counter", name, labels, meaning), meaning, labels, registry=self.registry
        )

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        """Declare a gauge."""
        return Gauge(
            self._name("gauge", name, labels, meaning), meaning, labels, registry=self.registry
        )

    def histogram(
        self, name: str, meaning: str, *labels: str, buckets: Iterable[float]
    ) -> Histogram:
        """Declare a histogram; ``buckets`` are upper bounds, infinity is added."""
        full = self._name("histogram", name, labels, meaning)
        return Histogram(full, meaning, labels, registry=self.registry, buckets=tuple(buckets))

    def weighted_histogram(
        self, name: str, meaning: str, buckets: tuple[float, ...]
    ) -> "WeightedHistogram":
        """Declare a histogram without labels that takes many equal observations at once."""
        made = WeightedHistogram(self._name("histogram", name, (), meaning), meaning, buckets)
        self.registry.register(made)
        return made

    def _name(self, kind: str, name: str, labels: tuple[str, ...], meaning: str) -> str:
        _declared.append(Declared(f"hub_audit_{name}", kind, labels, meaning, self._processes))
        return f"hub_audit_{name}"


class WeightedHistogram(Collector):
    """A histogram that takes many equal observations at once, which the library's does not."""

    def __init__(self, name: str, meaning: str, buckets: tuple[float, ...]) -> None:
        """Begin with nothing observed; ``buckets`` are upper bounds, infinity is added."""
        self._name, self._meaning, self._bounds = name, meaning, buckets
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0

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


class Values(NamedTuple):
    """What a label can say: a closed set, or what settings, release or code bound it to."""

    known: frozenset[str] | None
    bound: str = ""


def _set(*values: str) -> Values:
    return Values(frozenset(values))


LABELS: Mapping[str, Values] = {
    "topic": Values(None, "the raw topics, as they are set"),
    "lane": Values(None, "0 to the number of lanes less one"),
    "version": Values(None, "the release"),
    "normalizer": Values(None, "the normalizer's version"),
    "category": _set(*{action.category for action in CATALOGUE.values()}),
    "rule": _set(*Rule),
    "stage": _set(*Stage, "emit"),
    "reason": _set(*Reason),
    "result": _set("committed", "reset"),
    "cause": _set("database", "bus", "doubt", "fenced", "stopped"),
    "redelivery": _set("yes", "no"),
    "lane_state": _set(
        *("flowing", "taking_over", "database", "bus", "doubt", "fenced", "stopped")
    ),
    "connection_state": _set("idle", "busy"),
    "subscription_state": _set("active", "paused", "failing"),
    "shard": Values(None, "0 to the number of shards less one"),
    "route": Values(None, "the templates of the addresses, as they are declared"),
    "status": Values(None, "HTTP's status codes"),
    "form": _set("csv", "ndjson"),
    "table": _set("audit_entries", "dead_letters"),
    "source": _set("audit", "telemetry"),
    "detection": _set(*RULE_TEXTS),
    "unused": _set("late", "benign", "empty", "too_large", "invalid", "in_future"),
}
"""Every label, and what it can say."""
