"""Every metric of every process, declared once with its meaning, counted per batch.

One module for each process and one for what they share; all is reached from here.
"""

from processor.metrics.declare import (
    CONTENT_TYPE,
    LABELS,
    REGISTRY,
    Declared,
    WeightedHistogram,
    declared,
    rendered,
)
from processor.metrics.forwarding import forward_lag, forwarded
from processor.metrics.maintaining import day_sealed, maintained
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
    store_seen,
    timed,
    timed_take_over,
)
from processor.metrics.running import LOOP_LAG, connections, started
from processor.metrics.serving import requested

__all__ = [
    "CONTENT_TYPE",
    "LABELS",
    "LOOP_LAG",
    "REGISTRY",
    "Batch",
    "Declared",
    "SliceClock",
    "WeightedHistogram",
    "batch_done",
    "connections",
    "day_sealed",
    "declared",
    "forward_lag",
    "forwarded",
    "lane_lag",
    "lane_released",
    "lane_reset",
    "maintained",
    "rebalanced",
    "rendered",
    "requested",
    "settled",
    "source_gap",
    "started",
    "store_seen",
    "timed",
    "timed_take_over",
]
