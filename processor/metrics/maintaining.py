"""What `maintain` counts: days sealed and purged, dead letters there are, and what waits."""

from collections.abc import Mapping

from processor.metrics.declare import Of
from schemas.rejection import Reason

_of = Of("maintain")

MAINTAINED = _of.gauge(
    "maintained_timestamp_seconds",
    "When maintenance last went on: with a round, or with a day that it seals.",
)
PURGED = _of.counter("purged_days_total", "Days dropped by retention.", "table")
PURGED_ROWS = _of.counter(
    "purged_rows_total", "Rows in the days dropped by retention, by the server's estimate.", "table"
)
OVERDUE = _of.gauge("overdue_partitions", "Days too old that wait for whoever reads them.")
UNANNOUNCED = _of.gauge("unannounced_purges", "Purges their organizations were not told of yet.")
SEALED = _of.counter("sealed_entries_total", "Entries in the days that were sealed.")
SEALING = _of.counter("sealing_seconds_total", "Time spent on sealing.")
UNSEALED = _of.gauge("unsealed_partitions", "Finished days that are not sealed.")
WAITING_DEAD_LETTERS = _of.gauge(
    "waiting_dead_letter_records", "Dead letters that are kept and were not redriven.", "reason"
)


def day_sealed(entries: int, seconds: float) -> None:
    """Count a day that was sealed."""
    SEALED.inc(entries)
    SEALING.inc(seconds)


def day_purged(table: str, rows: int) -> None:
    """Count a day that was dropped, with about so many rows."""
    PURGED.labels(table).inc()
    PURGED_ROWS.labels(table).inc(max(0, rows))


def maintained(*, overdue: int, unsealed: int, unannounced: int) -> None:
    """Note what waits for a maintainer."""
    OVERDUE.set(overdue)
    UNSEALED.set(unsealed)
    UNANNOUNCED.set(unannounced)


def days_unsealed(count: int) -> None:
    """Note how many finished days wait to be sealed."""
    UNSEALED.set(count)


def went_on() -> None:
    """Note that maintenance goes on."""
    MAINTAINED.set_to_current_time()


def dead_letters_waiting(by_reason: Mapping[str, int]) -> None:
    """Note how many dead letters wait for somebody, by reason; a reason that is gone is 0."""
    for reason in Reason:
        WAITING_DEAD_LETTERS.labels(reason).set(by_reason.get(reason, 0))
