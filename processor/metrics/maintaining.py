"""What `maintain` counts: days sealed and purged, and what waits."""

from collections.abc import Mapping

from processor.metrics.declare import counter, gauge

MAINTAINED = gauge("maintained_timestamp_seconds", "When a round of maintenance last went well.")
PURGED = counter("purged_days_total", "Days dropped by retention.", "table")
OVERDUE = gauge("overdue_partitions", "Days too old that wait for whoever reads them.")
UNANNOUNCED = gauge("unannounced_purges", "Purges their organizations were not told of yet.")
SEALED = counter("sealed_entries_total", "Entries in the days that were sealed.")
SEALING = counter("sealing_seconds_total", "Time spent on sealing.")
UNSEALED = gauge("unsealed_partitions", "Finished days that could not be sealed in the last round.")


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
