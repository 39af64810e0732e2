"""THE PATH of a record: decode, normalize, store, emit.

::

    consume -> decode -> normalize -> store, one Postgres transaction -> emit, one Kafka transaction
                  |          |          |
                  +----------+----------+-- rejection -> dead letter, in both transactions as well

Bad input is a value and goes on as a dead letter; an outage is an exception and leaves this module
for ``processor.lane``, which takes the lane over again and settles what was left half done.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from processor import metrics, tracing
from processor.emit import dead_letter as dead_letters
from processor.emit.producer import LaneProducer
from processor.emit.route import Outgoing, Unnumbered, numbered, partition_of, unnumbered
from processor.ingest.decode import decode, redriven
from processor.normalize import Limits, known_org, normalize
from processor.settings import Settings
from processor.store.pool import Database
from processor.store.writer import Advance, Batch, Candidate, Stored, encoded, write
from schemas.entry import Entry
from schemas.raw.envelope import Event
from schemas.record import Record
from schemas.rejection import DeadLetter, Discard, Rejection

SLICE_RECORDS = 50
"""Decoded and normalized without a break: 1 ms, so that heartbeats and other lanes get their turn.

Also what stays in the processor's cache between the two steps: slices of 1,000 cost a quarter more.
"""


class Holding(NamedTuple):
    """What a worker holds of a lane: its fencing epoch, the next offset of each topic, its batch.

    ``batch`` is the number of the last one stored; None leaves it unchecked. ``repeats``: it held
    duplicates. Who sends twice does so many times over.
    """

    lane: int
    epoch: int
    positions: Mapping[str, int]
    batch: int | None = None
    repeats: bool = False


class Ready(NamedTuple):
    """An entry as it goes into the store, and its event as it will go out."""

    candidate: Candidate
    event: Unnumbered


@dataclass(slots=True)
class Sorted:
    """Where the records of a batch go, before the store has spoken."""

    ready: list[Ready] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    discards: Counter[tuple[str, str]] = field(default_factory=Counter)
    redriven: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, end: Entry | Discard | Rejection, event: Event) -> None:
        """Note the end of an event; an entry is encoded at once, while it is in the cache."""
        record = event.record
        if isinstance(end, Rejection):
            self.dead_letters.append(DeadLetter(record, end, known_org(event.org_id)))
        elif isinstance(end, Discard):
            self.discards[record.topic, end.rule] += 1
        elif isinstance(candidate := encoded(end, record), Candidate):
            self.ready.append(Ready(candidate, unnumbered(end, candidate.rendered)))
        else:
            self.dead_letters.append(candidate)


class Pipeline:
    """Takes batches of records down the path; one object serves all lanes of a worker."""

    def __init__(self, settings: Settings, db: Database, limits: Limits) -> None:
        """Bind the path to its store; ``limits`` may be renewed at any time.

        ``clock`` is the one by which the client stamps events: virtual in the simulation.
        """
        self.clock: Callable[[], float] = time.time
        self._db = db
        self._lanes = settings.lanes
        self._redrive_topic = settings.topic(settings.topics.redrive)
        self.limits = limits

    async def run(
        self, records: Sequence[Record], holding: Holding, producer: LaneProducer
    ) -> Holding:
        """Take one batch from its records to its canonical events.

        Returns the lane as it then stands. Raises Outage or Fenced; then nothing, or all, or
        only the Postgres half has happened, and settling finds out which.
        """
        with tracing.batch(holding.lane, len(records)) as span:
            return await self._run(records, holding, producer, span)

    async def _run(
        self,
        records: Sequence[Record],
        holding: Holding,
        producer: LaneProducer,
        span: tracing.Span,
    ) -> Holding:
        outcome = await self._sort_out(records)
        outcome.ready.sort(key=_bus_order)
        span.holds(event.traceparent for _, event in outcome.ready)
        advances = _advances(records, holding.positions, outcome.discards)
        batch = _batch(outcome, holding, advances, int(self.clock() * 1000))
        with metrics.timed("store"):
            stored = await write(self._db, batch)
        positions = {**holding.positions, **{t: a.stored_through for t, a in advances.items()}}
        events = _numbered(outcome.ready, stored.seqs)
        with metrics.timed("emit"):
            leaving = outgoing(events, stored.dead_letters)
            await producer.publish(leaving, positions, stored.batch)
        counted = _counted(records, holding, outcome, stored, self._lanes)
        metrics.batch_done(counted)
        span.counted(
            {
                "entries": sum(counted.categories.values()),
                "duplicates": stored.duplicates,
                "discards": outcome.discards.total(),
                "dead_letters": len(stored.dead_letters),
            }
        )
        return holding._replace(
            positions=positions, batch=stored.batch, repeats=stored.duplicates > 0
        )

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
            for record, event in zip(records, events, strict=True):
                if record.topic == redrive_topic:
                    outcome.redriven.extend(redriven(record.headers))
                if isinstance(event, Rejection):
                    outcome.dead_letters.append(DeadLetter(record, event))
                else:
                    outcome.add(normalize(event, limits), event)


def outgoing(events: Iterable[Outgoing], rejected: Iterable[DeadLetter]) -> Iterator[Outgoing]:
    """Yield what a stored batch puts on the bus: its canonical events, then its dead letters."""
    return chain(events, map(dead_letters.outgoing, rejected))


def _numbered(ready: Sequence[Ready], seqs: Sequence[int | None]) -> Iterator[Outgoing]:
    """Yield the events of what was stored, with their numbers."""
    for (_, event), seq in zip(ready, seqs, strict=True):
        if seq is not None:
            yield numbered(event, seq)


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


def _batch(outcome: Sorted, holding: Holding, advances: Mapping[str, Advance], at_ms: int) -> Batch:
    return Batch(
        lane=holding.lane,
        epoch=holding.epoch,
        entries=[candidate for candidate, _ in outcome.ready],
        dead_letters=outcome.dead_letters,
        advances=dict(advances),
        redriven=outcome.redriven,
        after=holding.batch,
        repeats=holding.repeats,
        at_ms=at_ms,
    )


def _counted(
    records: Sequence[Record], holding: Holding, outcome: Sorted, stored: Stored, lanes: int
) -> metrics.Batch:
    """Return what the batch counts as in the metrics."""
    passed = [
        ready for ready, seq in zip(outcome.ready, stored.seqs, strict=True) if seq is not None
    ]
    orgs = Counter([candidate.org_id for candidate, _ in passed])
    return metrics.Batch(
        lane=holding.lane,
        records=records,
        categories=Counter([event.action.category for _, event in passed]),
        duplicates=stored.duplicates,
        discards=outcome.discards,
        dead_letters=stored.dead_letters,
        strays=sum(n for org, n in orgs.items() if partition_of(org, lanes) != holding.lane),
        skew_seconds=_skew_seconds(passed[-1].candidate.entry) if passed else None,
    )


def _skew_seconds(entry: Entry) -> float:
    """Return how long after it happened the bus took an event."""
    occurred, recorded = entry["occurred_at"], entry["recorded_at"]
    return (datetime.fromisoformat(recorded) - datetime.fromisoformat(occurred)).total_seconds()


def _bus_order(ready: Ready) -> tuple[int, str, int]:
    record = ready.candidate.record
    return record.timestamp, record.topic, record.offset
