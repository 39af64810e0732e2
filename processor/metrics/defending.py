"""What `defend` counts: events taken in, findings, and how far behind it is."""

from processor.metrics.declare import Of

_of = Of("defend")

DEFENDED = _of.counter("defend_events_total", "Events that Defend has looked at.", "source")
FINDINGS = _of.counter("defend_findings_total", "Findings published, by rule.", "detection")
DEFEND_LAG = _of.gauge("defend_lag_records", "Records that Defend has not looked at yet.")
DEFEND_LEVEL = _of.gauge(
    "defend_level_timestamp_seconds", "When Defend last had nothing left to look at, or started."
)


def defended(source: str, events: int) -> None:
    """Count events that were looked at: those of the audit log or of endpoint telemetry."""
    DEFENDED.labels(source).inc(events)


def found(detection: str) -> None:
    """Count a finding that was published."""
    FINDINGS.labels(detection).inc()


def defend_started() -> None:
    """Begin: if it never catches up, Defend is behind from now on."""
    DEFEND_LEVEL.set_to_current_time()


def defend_lag(records: int) -> None:
    """Note how many records wait."""
    DEFEND_LAG.set(records)
    if not records:
        DEFEND_LEVEL.set_to_current_time()
