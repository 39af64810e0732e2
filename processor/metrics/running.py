"""What every process tells of itself."""

from processor.metrics.declare import gauge

CONNECTIONS = gauge("database_connections", "Connections to Postgres.", "state")
LOOP_LAG = gauge("loop_lag_seconds", "How late the event loop last woke a timer.")
BUILD = gauge("build_info", "1, labelled with what runs.", "version", "normalizer")


def connections(*, idle: int, busy: int) -> None:
    """Note what the connections to Postgres do."""
    CONNECTIONS.labels("idle").set(idle)
    CONNECTIONS.labels("busy").set(busy)


def started(version: str, normalizer: str) -> None:
    """Note what runs."""
    BUILD.labels(version, normalizer).set(1)
