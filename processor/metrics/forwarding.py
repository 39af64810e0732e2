"""What `forward` counts: records on SIEM topics, and how far behind they are."""

from processor.metrics.declare import counter, gauge

FORWARDED = counter("forwarded_records_total", "Records sent on SIEM topics.")
FORWARD_LAG = gauge(
    "forward_lag_entries", "Entries that the subscription furthest behind lacks.", "shard"
)


def forwarded(records: int) -> None:
    """Count records that were committed on SIEM topics."""
    FORWARDED.inc(records)


def forward_lag(shard: int, entries: int) -> None:
    """Note how far the slowest subscription of a shard is behind."""
    FORWARD_LAG.labels(str(shard)).set(entries)
