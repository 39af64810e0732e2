"""THE PATH of a record: decode, normalize, store, emit.

::

    consume -> decode -> normalize -> store, one Postgres transaction -> emit, one Kafka transaction
                  |          |          |
                  +----------+----------+-- rejection -> dead letter, in both transactions as well

Bad input is a value and goes on as a dead letter; an outage is an exception and leaves this module
for ``processor.lane``, which takes the lane over again and settles what was left half done.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from processor import metrics
from processor.emit import dead_letter as dead_letters
from processor.emit.producer import LaneProducer
from processor.emit.route import Outgoing, canonical, partition_of
from processor.ingest.decode import decode, original
from processor.normalize import Limits, known_org, normalize
from processor.settings import Settings
from processor.store.pool import Database
from processor.store.writer import Advance, Batch, Candidate, Stored, write
from schemas.entry import Entry
from schemas.raw.envelope import Origin
from schemas.record import Record
from schemas.rejection import DeadLetter, Discard, Rejection

SLICE_RECORDS = 50
"""Decoded and normalized without a break: 1 ms, so that heartbeats and other lanes get their turn.

Also what stays in the processor's cache between the two steps: slices of 1,000 cost a quarter more.
"""


class Holding(NamedTuple):
    """What a worker holds of a lane: its fencing epoch, and the next offset of each topic."""

    lane: int
    epoch: int
    positions: Mapping[str, int]


@dataclass(slots=True)
class Sorted:
    """Where the records of a batch go, before the store has spoken."""

    candidates: list[Candidate] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    discards: Counter[tuple[str, str]] = field(default_factory=Counter)
    redriven: list[tuple[str, int, int]] = field(default_factory=list)


class Pipeline:
    """Takes batches of records down the path; one object serves all lanes of a worker."""

    def __init__(self, settings: Settings, db: Database, limits: Limits) -> None:
        """Bind the path to its store; ``limits`` may be renewed at any time."""
        self._db = db
        self._lanes = settings.lanes
        self._redrive_topic = settings.topic(settings.topics.redrive)
        self.limits = limits

    async def run(
        self, records: Sequence[Record], holding: Holding, producer: LaneProducer
    ) -> dict[str, int]:
        """Take one batch from its records to its canonical events.

        Returns the lane's new positions by topic. Raises Outage or Fenced; then nothing, or all, or
        only the Postgres half has happened, and settling finds out which.
        """
        outcome = await self._sort_out(records)
        advances = _advances(records, holding.positions, outcome.discards)
        with metrics.timed("store"):
            stored = await write(self._db, _batch(outcome, holding, advances))
        positions = {**holding.positions, **{t: a.stored_through for t, a in advances.items()}}
        with metrics.timed("emit"):
            await producer.publish(outgoing(stored), positions, stored.batch)
        metrics.batch_done(_counted(records, holding, outcome, stored, self._lanes))
        return positions

    async def _sort_out(self, records: Sequence[Record]) -> Sorted:
        """Decode and normalize, a slice at a time."""
        outcome, clock = Sorted(), metrics.SliceClock()
        for start in range(0, len(records), SLICE_RECORDS):
            self._sort_slice(records[start : start + SLICE_RECORDS], outcome, clock)
            await asyncio.sleep(0)
        clock.count()
        return outcome

    def _sort_slice(
        self, records: Sequence[Record], outcome: Sorted, clock: metrics.SliceClock
    ) -> None:
        redrive_topic, limits = self._redrive_topic, self.limits
        with clock.timed("decode"):
            events = [decode(record, redrive_topic) for record in records]
        with clock.timed("normalize"):
            ends = [
                event if isinstance(event, Rejection) else normalize(event, limits)
                for event in events
            ]
        for record, event, end in zip(records, events, ends, strict=True):
            if record.topic == redrive_topic and isinstance(
                origin := original(record.headers), Origin
            ):
                outcome.redriven.append(origin[:3])
            if isinstance(end, Rejection):
                org_id = None if isinstance(event, Rejection) else known_org(event.org_id)
                outcome.dead_letters.append(DeadLetter(record, end, org_id))
            elif isinstance(end, Discard):
                outcome.discards[record.topic, end.rule] += 1
            else:
                outcome.candidates.append(Candidate(end, record))


def outgoing(stored: Stored) -> Iterator[Outgoing]:
    """Yield what a stored batch puts on the bus: its canonical events, then its dead letters."""
    return chain(map(canonical, stored.entries), map(dead_letters.outgoing, stored.dead_letters))


def _advances(
    records: Sequence[Record],
    positions: Mapping[str, int],
    discards: Mapping[tuple[str, str], int],
) -> dict[str, Advance]:
    """Return by topic how far the batch goes and what of it leaves no row behind."""
    seen = Counter(record.topic for record in records)
    through = {record.topic: record.offset + 1 for record in records}  # the last one stays
    return {
        topic: Advance(
            stored_through=through[topic],
            offset_holes=through[topic] - positions[topic] - count,
            discards=sum(n for (of_topic, _), n in discards.items() if of_topic == topic),
        )
        for topic, count in seen.items()
    }


def _batch(outcome: Sorted, holding: Holding, advances: Mapping[str, Advance]) -> Batch:
    return Batch(
        lane=holding.lane,
        epoch=holding.epoch,
        entries=sorted(outcome.candidates, key=_bus_order),
        dead_letters=outcome.dead_letters,
        advances=dict(advances),
        redriven=outcome.redriven,
    )


def _counted(
    records: Sequence[Record], holding: Holding, outcome: Sorted, stored: Stored, lanes: int
) -> metrics.Batch:
    """Return what the batch counts as in the metrics."""
    orgs = Counter(entry["org_id"] for entry in stored.entries)
    return metrics.Batch(
        lane=holding.lane,
        records=records,
        categories=Counter(entry["category"] for entry in stored.entries),
        duplicates=stored.duplicates,
        discards=outcome.discards,
        dead_letters=stored.dead_letters,
        strays=sum(n for org, n in orgs.items() if partition_of(org, lanes) != holding.lane),
        skew_seconds=_skew_seconds(stored.entries[-1]) if stored.entries else None,
    )


def _skew_seconds(entry: Entry) -> float:
    """Return how long after it happened the bus took an event."""
    occurred, recorded = entry["occurred_at"], entry["recorded_at"]
    return (datetime.fromisoformat(recorded) - datetime.fromisoformat(occurred)).total_seconds()


def _bus_order(candidate: Candidate) -> tuple[int, str, int]:
    record = candidate.record
    return record.timestamp, record.topic, record.offset
