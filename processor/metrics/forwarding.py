"""What `forward` counts: records on SIEM topics, subscriptions, and how far behind they are."""

from collections.abc import Mapping
from contextlib import suppress

from processor.metrics.declare import Of

_of = Of("forward")

FORWARDED = _of.counter("forwarded_records_total", "Records sent on SIEM topics.")
FORWARD_LAG = _of.gauge(
    "forward_lag_entries", "Entries that the subscription furthest behind lacks.", "shard"
)
FORWARD_LEVEL = _of.gauge(
    "forward_level_timestamp_seconds",
    "Up to when all that was there then has been sent, or when the shard was taken.",
    "shard",
)
SHARDS = _of.gauge("shards_held", "Shards of subscriptions that this forwarder holds.")
RENEWED = _of.gauge(
    "leases_renewed_timestamp_seconds", "When the leases of the shards were last renewed."
)
SUBSCRIPTIONS = _of.gauge(
    "subscriptions", "Subscriptions of all organizations, by state.", "subscription_state"
)


def forwarded(records: int) -> None:
    """Count records that were committed on SIEM topics."""
    FORWARDED.inc(records)


def shard_taken(shard: int) -> None:
    """Note that a shard is ours: if it never catches up, it is behind from now on."""
    FORWARD_LEVEL.labels(str(shard)).set_to_current_time()


def forward_lag(shard: int, entries: int) -> None:
    """Note how far the slowest subscription of a shard is behind."""
    FORWARD_LAG.labels(str(shard)).set(entries)


def forward_level(shard: int, at: float) -> None:
    """Note a moment, in UNIX seconds: what was there then has been sent."""
    FORWARD_LEVEL.labels(str(shard)).set(at)


def shard_released(shard: int) -> None:
    """Forget the gauges of a shard that is somebody else's now."""
    for gauge in (FORWARD_LAG, FORWARD_LEVEL):
        with suppress(KeyError):
            gauge.remove(str(shard))


def forwarder_seen(shards: int, subscriptions: Mapping[str, int]) -> None:
    """Note a renewal of so many leases, and the subscriptions there are."""
    SHARDS.set(shards)
    RENEWED.set_to_current_time()
    for state, count in subscriptions.items():
        SUBSCRIPTIONS.labels(state).set(count)
