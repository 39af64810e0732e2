"""What `process` and `maintain` both tell of the store."""

from collections.abc import Mapping

from processor.metrics.declare import Of

_of = Of("process", "maintain")

DAYS_AHEAD = _of.gauge(
    "days_ahead",
    "Day partitions that are there beyond today's without a gap; -1 where today's is missing.",
    "table",
)
OLDEST_DAY = _of.gauge("oldest_day_timestamp_seconds", "When the oldest day partition begins.")
RETENTION = _of.gauge("retention_seconds", "How long entries are kept, as it is set.")
UNBALANCED = _of.gauge("unbalanced_partitions", "Raw partitions whose books do not balance.")
OFF_BY = _of.gauge("unbalanced_records", "Records by which the books do not balance, in all.")
LOST = _of.gauge(
    "recently_lost_offsets",
    "Offsets the bus forgot before they were stored, found within the last hour.",
)


def store_seen(
    *,
    days_ahead: Mapping[str, int],
    oldest_day_at: float,
    unbalanced: int,
    off_by: int,
    lost_offsets: int,
) -> None:
    """Note what the store says of its partitions and books."""
    for table, days in days_ahead.items():
        DAYS_AHEAD.labels(table).set(days)
    OLDEST_DAY.set(oldest_day_at)
    UNBALANCED.set(unbalanced)
    OFF_BY.set(off_by)
    LOST.set(lost_offsets)


def kept(retention_days: int) -> None:
    """Note how long entries are kept."""
    RETENTION.set(retention_days * 86_400)
