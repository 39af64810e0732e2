"""How a metric is declared: once, with its meaning, under our name, in one registry.

Labels come from closed sets: topic, lane, stage, reason, rule, cause. Never an organization, a
user or an error's text. ``declared()`` is what the reference in the documentation is made of.
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
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from schemas.catalogue import CATALOGUE
from schemas.rejection import Reason, Rule, Stage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

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


def counter(name: str, meaning: str, *labels: str) -> Counter:
    """Declare a counter."""
    _declared.append(Declared(f"hub_audit_{name}", "counter", labels, meaning))
    return Counter(f"hub_audit_{name}", meaning, labels, registry=REGISTRY)


def gauge(name: str, meaning: str, *labels: str) -> Gauge:
    """Declare a gauge."""
    _declared.append(Declared(f"hub_audit_{name}", "gauge", labels, meaning))
    return Gauge(f"hub_audit_{name}", meaning, labels, registry=REGISTRY)


def histogram(name: str, meaning: str, *labels: str, buckets: Iterable[float]) -> Histogram:
    """Declare a histogram; ``buckets`` are upper bounds, infinity is added."""
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
