"""Every metric of every process, declared once with its meaning, counted per batch.

One module for each process and one for what they share; all is reached from here.
"""

from processor.metrics.declare import (
    CONTENT_TYPE,
    LABELS,
    PROCESSES,
    Declared,
    Values,
    WeightedHistogram,
    declared,
    rendered,
    show,
)
from processor.metrics.defending import (
    defend_lag,
    defend_started,
    defended,
    findings_published,
    found,
    hours_loaded,
    told_nothing,
)
from processor.metrics.forwarding import (
    forward_lag,
    forwarded,
    forwarder_seen,
    shard_released,
    shard_taken,
)
from processor.metrics.keeping import kept, store_seen
from processor.metrics.maintaining import (
    day_purged,
    day_sealed,
    dead_letters_waiting,
    maintained,
)
from processor.metrics.processing import (
    Batch,
    SliceClock,
    batch_done,
    lane_lag,
    lane_released,
    lane_reset,
    rebalanced,
    settled,
    source_gap,
    timed,
    timed_take_over,
    watch_lanes,
)
from processor.metrics.running import LOOP_LAG, started, watch_connections
from processor.metrics.serving import IN_FLIGHT, exported, exporting, requested

__all__ = [
    "CONTENT_TYPE",
    "IN_FLIGHT",
    "LABELS",
    "LOOP_LAG",
    "PROCESSES",
    "Batch",
    "Declared",
    "SliceClock",
    "Values",
    "WeightedHistogram",
    "batch_done",
    "day_purged",
    "day_sealed",
    "dead_letters_waiting",
    "declared",
    "defend_lag",
    "defend_started",
    "defended",
    "exported",
    "exporting",
    "findings_published",
    "forward_lag",
    "forwarded",
    "forwarder_seen",
    "found",
    "hours_loaded",
    "kept",
    "lane_lag",
    "lane_released",
    "lane_reset",
    "maintained",
    "rebalanced",
    "rendered",
    "requested",
    "settled",
    "shard_released",
    "shard_taken",
    "show",
    "source_gap",
    "started",
    "store_seen",
    "timed",
    "timed_take_over",
    "told_nothing",
    "watch_connections",
    "watch_lanes",
]
