"""What `defend` counts: events taken in, findings, and how far behind it is."""

import time

from processor.metrics.declare import Of

LATENCY_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0)

_of = Of("defend")

DEFENDED = _of.counter("defend_events_total", "Events that Defend has looked at.", "source")
UNUSED = _of.counter(
    "defend_unused_total",
    "Events that told Defend nothing, by why; what is no report at all is set aside.",
    "source",
    "unused",
)
STRAY_ALERTS = _of.counter(
    "defend_strays_total",
    "Endpoint alerts that came by another partition than their organization's; what follows one"
    " may be judged without it.",
)
FINDINGS = _of.counter(
    "defend_findings_total", "Findings kept, new ones and those that grew, by rule.", "detection"
)
PUBLISHED = _of.counter("defend_published_total", "Versions of findings put on their topic.")
UNPUBLISHED = _of.gauge(
    "defend_unpublished_findings",
    "Findings whose latest version their topic lacks, whichever worker is to put it there.",
)
LOADED = _of.counter(
    "defend_hours_loaded_total", "Hours of an organization that were loaded from the store."
)
LATENCY = _of.weighted_histogram(
    "defend_latency_seconds",
    "From an event's append time until what it makes different was kept.",
    LATENCY_SECONDS,
)
DEFEND_LAG = _of.gauge("defend_lag_records", "Records that Defend has not looked at yet.")
DEFEND_LEVEL = _of.gauge(
    "defend_level_timestamp_seconds", "When Defend last had nothing left to look at, or started."
)


def defended(source: str, events: int, oldest_at: float) -> None:
    """Count events that were looked at: those of the audit log or of endpoint telemetry.

    ``oldest_at`` is the append time of the oldest of them, in seconds of UNIX time.
    """
    DEFENDED.labels(source).inc(events)
    LATENCY.observe(max(0.0, time.time() - oldest_at), events)


def told_nothing(source: str, why: str) -> None:
    """Count an event that was of no use."""
    UNUSED.labels(source, why).inc()


def alert_strayed() -> None:
    """Count an alert that came by the wrong partition."""
    STRAY_ALERTS.inc()


def found(detection: str) -> None:
    """Count a finding that was kept."""
    FINDINGS.labels(detection).inc()


def findings_published(count: int) -> None:
    """Count versions of findings that the topic has."""
    PUBLISHED.inc(count)


def findings_unpublished(count: int) -> None:
    """Note how many findings the topic lacks."""
    UNPUBLISHED.set(count)


def hours_loaded(count: int) -> None:
    """Count hours that were loaded from the store."""
    LOADED.inc(count)


def defend_started() -> None:
    """Begin: if it never catches up, Defend is behind from now on."""
    DEFEND_LEVEL.set_to_current_time()


def defend_lag(records: int) -> None:
    """Note how many records wait."""
    DEFEND_LAG.set(records)
    if not records:
        DEFEND_LEVEL.set_to_current_time()
