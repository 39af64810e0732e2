"""What every process tells of itself: what it is, its memory and processor, its connections."""

import logging
from collections.abc import Callable

from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from processor.metrics.declare import Of, show

log = logging.getLogger(__name__)

_of = Of()
ProcessCollector(registry=_of.registry)
PlatformCollector(registry=_of.registry)
GCCollector(registry=_of.registry)

CONNECTIONS = _of.gauge(
    "database_connections", "Connections to Postgres, by whether they work.", "connection_state"
)
LOOP_LAG = _of.gauge("loop_lag_seconds", "How late the event loop last woke a timer.")
BUILD = _of.gauge("build_info", "1, labelled with what runs.", "version", "normalizer")

Occupation = Callable[[], tuple[int, int]]


def started(process: str, version: str, normalizer: str) -> None:
    """Note what runs, in the log too, and expose what it measures alone."""
    log.info("started", extra={"command": process, "version": version, "normalizer": normalizer})
    show(process)
    BUILD.labels(version, normalizer).set(1)


def watch_connections(*pools: Occupation) -> None:
    """Have the connections of these pools counted, idle and busy, whenever somebody looks."""
    CONNECTIONS.labels("idle").set_function(lambda: sum(pool()[0] for pool in pools))
    CONNECTIONS.labels("busy").set_function(lambda: sum(pool()[1] for pool in pools))
