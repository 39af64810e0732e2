"""The metrics: all declared, closed label sets, counted right, readable by Prometheus."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from processor import metrics
from processor.metrics import reference
from schemas.record import RawRecord
from schemas.rejection import DeadLetter, Reason, Rejection, Stage
from tests.scraped import PREFIX, sample

UNITS = re.compile(
    r"_(seconds|records|offsets|batches|total|info|held|ahead|connections|partitions|purges"
    r"|entries|findings|lanes|subscriptions|in_flight|running|configured)$"
)
UNBOUNDED = {"organization", "org", "org_id", "user", "actor", "email", "error", "subscription"}


def letter(reason: Reason) -> DeadLetter:
    """Return a dead letter of a reason."""
    record = RawRecord("raw.identity", 0, 0, 0, None, None)
    return DeadLetter(record, Rejection(Stage.DECODE, reason))


def a_batch(recorded_ms: int, **counts: object) -> metrics.Batch:
    """Return a batch of three records."""
    records = [RawRecord("raw.identity", 3, n, recorded_ms, None, b"{}") for n in range(3)]
    fields: dict[str, object] = {
        "lane": 3,
        "records": records,
        "categories": {"authentication": 1},
        "duplicates": 0,
        "discards": {},
        "dead_letters": [],
        "strays": 0,
    }
    return metrics.Batch(**(fields | counts))  # type: ignore[arg-type] # the test says which


def exposed() -> dict[str, str]:
    """Return the kind of everything that is scraped under our name."""
    return {
        family.name: family.type
        for family in text_string_to_metric_families(metrics.rendered().decode())
        if family.name.startswith(PREFIX)
    }


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """Give a time that stands still."""
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    yield 1_000_000.0
    metrics.lane_released(3)


def test_everything_exposed_is_declared() -> None:
    """What is scraped under our name stands in the table, with its kind and a sentence."""
    declared = {each.name.removesuffix("_total"): each.kind for each in metrics.declared()}
    assert exposed() == declared
    assert len(declared) == len(metrics.declared())


@pytest.mark.parametrize("metric", metrics.declared(), ids=lambda metric: metric.name)
def test_metric_is_described_and_bounded(metric: metrics.Declared) -> None:
    """It begins with our name, ends with its unit, says what it means, has only known labels."""
    assert metric.name.startswith(PREFIX)
    assert UNITS.search(metric.name)
    assert metric.meaning.endswith(".") or metric.kind == "gauge"
    assert set(metric.labels) <= set(metrics.LABELS)
    assert set(metric.processes) <= set(metrics.PROCESSES)


def test_labels_are_closed() -> None:
    """Each label is a set written down, or says what bounds it; none is a name or a text."""
    assert not UNBOUNDED & set(metrics.LABELS)
    for values in metrics.LABELS.values():
        assert (values.known is None) == bool(values.bound)
    used = {label for metric in metrics.declared() for label in metric.labels}
    assert used == set(metrics.LABELS)


@pytest.mark.parametrize("process", metrics.PROCESSES)
def test_process_exposes_what_it_measures(process: str) -> None:
    """A gauge that nobody sets would say 0, and that no day partition is there: an alarm."""
    metrics.started(process, "0.1.0", "1")
    mine = {each.name for each in metrics.declared() if process in each.processes}
    assert exposed().keys() == {name.removesuffix("_total") for name in mine}


def test_reference_is_up_to_date() -> None:
    """The reference is what the declarations come to (`make reference`)."""
    written = Path(__file__).parents[2] / "deploy" / "metrics.md"
    assert written.read_text(encoding="utf-8") == reference.document()


def test_lanes_are_counted_when_somebody_looks() -> None:
    """Each lane counts under what it does; states without a lane are 0."""
    metrics.watch_lanes(12, lambda: {"flowing": 2, "database": 1})
    assert sample("lanes_configured") == 12
    assert sample("lanes", lane_state="database") == 1
    assert sample("lanes", lane_state="flowing") == 2
    assert sample("lanes", lane_state="bus") == 0
    metrics.watch_lanes(12, dict)


def cut_off() -> None:
    """Begin an export whose reader goes away."""
    with metrics.exporting("csv"):
        metrics.exported("csv", 5, 70)
        raise ConnectionResetError


def test_export_that_is_cut_off_is_counted() -> None:
    """What was begun, what went out, and that it never came to its end."""
    names = ("exports_total", "exported_rows_total", "exports_cut_off_total")
    before = [sample(name, form="csv") for name in names]
    with pytest.raises(ConnectionResetError):
        cut_off()
    with metrics.exporting("csv"):
        metrics.exported("csv", 2, 30)
        assert sample("exports_running") == 1
    grown = [sample(name, form="csv") - was for name, was in zip(names, before, strict=True)]
    assert grown == [2, 7, 1]
    assert sample("exports_running") == 0


def test_shard_is_level_as_of_what_was_sent(now: float) -> None:
    """Being taken counts as well: who never catches up is behind from then on. Gone with it."""
    metrics.shard_taken(5)
    metrics.forward_lag(5, 3)
    assert sample("forward_level_timestamp_seconds", shard="5") == now
    metrics.forward_level(5, now + 60)
    assert sample("forward_lag_entries", shard="5") == 3
    assert sample("forward_level_timestamp_seconds", shard="5") == now + 60
    metrics.shard_released(5)
    metrics.shard_released(5)
    assert b'shard="5"' not in metrics.rendered()


def test_batch_is_counted_by_what_became_of_it(now: float) -> None:
    """Each end of a record has its counter; latency counts every record, not every batch."""
    names = [
        ("records_total", {"topic": "raw.identity"}),
        ("entries_total", {"category": "authentication"}),
        ("duplicates_total", {}),
        ("discards_total", {"topic": "raw.identity", "rule": "no_change"}),
        ("dead_letters_total", {"stage": "decode", "reason": "invalid_json"}),
        ("strays_total", {}),
        ("transactions_total", {"result": "committed"}),
        ("end_to_end_seconds_count", {}),
        ("end_to_end_seconds_sum", {}),
        ("end_to_end_seconds_bucket", {"le": "0.2"}),
        ("end_to_end_seconds_bucket", {"le": "0.3"}),
        ("batch_records_sum", {}),
        ("recorded_after_occurred_seconds_sum", {}),
    ]
    before = [sample(name, **labels) for name, labels in names]
    metrics.batch_done(
        a_batch(
            int(now * 1000) - 250,
            duplicates=2,
            discards={("raw.identity", "no_change"): 4},
            dead_letters=[letter(Reason.INVALID_JSON)] * 5,
            strays=6,
            skew_seconds=1.5,
        )
    )
    after = [sample(name, **labels) for name, labels in names]
    grown = [round(b - a, 6) for a, b in zip(before, after, strict=True)]
    assert grown == [3, 1, 2, 4, 5, 6, 1, 3, 0.75, 0, 3, 3, 1.5]
    assert sample("last_progress_timestamp_seconds", lane="3") == now


def test_clock_behind_the_bus_is_no_negative_time(now: float) -> None:
    """A record from the future counts as 0 seconds, in latency as in skew."""
    before = sample("end_to_end_seconds_sum"), sample("recorded_after_occurred_seconds_sum")
    metrics.batch_done(a_batch(int(now * 1000) + 9_000, skew_seconds=-3.0))
    after = sample("end_to_end_seconds_sum"), sample("recorded_after_occurred_seconds_sum")
    assert after == before


@pytest.mark.usefixtures("now")
def test_released_lane_leaves_no_gauge() -> None:
    """The lag of a lane that is somebody else's is not shown as ours; to release twice is fine."""
    metrics.lane_lag(3, 7, 1.5)
    metrics.rebalanced([3])
    assert sample("lag_records", lane="3") == 7
    metrics.lane_released(3)
    metrics.lane_released(3)
    assert b'lane="3"' not in metrics.rendered()


def test_resets_and_settles_are_told_apart() -> None:
    """A reset has a cause, a settled batch says whether it may be there twice."""
    before = (
        sample("lane_resets_total", cause="fenced"),
        sample("settled_batches_total", redelivery="yes"),
    )
    metrics.lane_reset("fenced")
    metrics.settled(redelivery=True)
    after = (
        sample("lane_resets_total", cause="fenced"),
        sample("settled_batches_total", redelivery="yes"),
    )
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1]


def test_stages_are_timed_even_when_they_fail() -> None:
    """A store that raises has taken its time all the same; a take-over counts when it succeeds."""
    stored, taken = sample("stage_seconds_count", stage="store"), sample("take_over_seconds_count")
    with pytest.raises(RuntimeError), metrics.timed("store"):
        raise RuntimeError
    with pytest.raises(RuntimeError), metrics.timed_take_over():
        raise RuntimeError
    assert sample("stage_seconds_count", stage="store") == stored + 1
    assert sample("take_over_seconds_count") == taken


def test_labels_stay_within_their_sets() -> None:
    """No label of what is exposed says anything that is not in its closed set."""
    metrics.watch_connections(lambda: (1, 2), lambda: (3, 0))
    ahead = {"audit_entries": 8, "dead_letters": 8}
    metrics.store_seen(days_ahead=ahead, oldest_day_at=0.0, unbalanced=0, off_by=0, lost_offsets=0)
    metrics.dead_letters_waiting({"invalid_json": 3})
    metrics.day_purged("audit_entries", 7)
    assert sample("database_connections", connection_state="idle") == 4
    assert sample("waiting_dead_letter_records", reason="invalid_json") == 3
    assert sample("waiting_dead_letter_records", reason="invalid_time") == 0
    for family in text_string_to_metric_families(metrics.rendered().decode()):
        for found in family.samples:
            for label, value in found.labels.items():
                known = metrics.LABELS[label].known if label in metrics.LABELS else None
                assert known is None or not found.name.startswith(PREFIX) or value in known
