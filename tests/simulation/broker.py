"""A bus that keeps in memory what matters of Kafka: logs, transactions, groups, and their races.

Transactions are those of the first protocol version, as the client speaks it: the epoch changes
with a producer's start alone, so that a late copy of a request can meet a later transaction.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from aiokafka.errors import (
    ConcurrentTransactions,
    InvalidProducerIdMapping,
    InvalidTxnState,
    MessageSizeTooLargeError,
    ProducerFenced,
    UnknownTopicOrPartitionError,
)

from schemas.record import RawRecord
from tests.simulation.loop import VirtualLoop

Place = tuple[str, int]
Offsets = Mapping[Place, tuple[int, str]]
READ_SECONDS = 0.25
"""Coordinators read a log far faster than it was written: a million records a second."""

MARKER_SECONDS = (0.0, 0.02)
"""How long after its answer a transaction's end stands in the logs and in the offsets."""

SCAN_SECONDS = 0.5
"""How often transactions that took too long and members that said nothing are looked for."""


class Raw(NamedTuple):
    """What a producer appends."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(eq=False)
class Transaction:
    """One transaction: where it wrote, which offsets it commits, how it ended."""

    producer_id: int
    since: float
    ended: str = "open"
    first: dict[Place, int] = field(default_factory=dict)
    offsets: dict[str, dict[Place, tuple[int, str]]] = field(default_factory=dict)


@dataclass
class Log:
    """One partition: records, and None where a marker stands."""

    begin: int = 0
    items: list[tuple[RawRecord, Transaction | None] | None] = field(default_factory=list)
    open: dict[Transaction, int] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """Return the offset after the last one."""
        return len(self.items)

    @property
    def stable(self) -> int:
        """Return the last stable offset."""
        return min(self.open.values(), default=len(self.items))

    def end_visible(self) -> int:
        """Return the offset after the last record that a reader of committed data gets."""
        for at in range(self.stable - 1, self.begin - 1, -1):
            item = self.items[at]
            if item is not None and (item[1] is None or item[1].ended == "committed"):
                return at + 1
        return self.begin

    def visible(self, offset: int, end: int) -> Iterable[RawRecord]:
        """Yield what a reader of committed data gets between two offsets."""
        for at in range(max(offset, self.begin), min(end, self.stable)):
            item = self.items[at]
            if item is not None and (item[1] is None or item[1].ended == "committed"):
                yield item[0]


@dataclass
class Transactional:
    """What the coordinator knows of one transactional id."""

    producer_id: int
    epoch: int = -1
    state: str = "empty"
    timeout_seconds: float = 0.0
    current: Transaction | None = None
    seen: set[int] = field(default_factory=set)


@dataclass
class Reload:
    """A coordinator that reads so many commits again: nothing at first, then quickly all."""

    ends_at: float = 0.0
    count: int = 0

    def read(self, now: float, commits: list[tuple[str, Offsets]]) -> Iterable[tuple[str, Offsets]]:
        """Return the commits that it knows by now: the first ones, and those made meanwhile."""
        share = max(0.0, 1 - (self.ends_at - now) / READ_SECONDS)
        return [*commits[: int(self.count * share)], *commits[self.count :]]


class Broker:
    """The state of the bus; every method is what one request does."""

    def __init__(self, loop: VirtualLoop, rng: Random, *, now_ms: int) -> None:
        """Begin without topics."""
        self.loop = loop
        self.logs: dict[Place, Log] = {}
        self.committed: dict[str, dict[Place, tuple[int, str]]] = {}
        self.partitions: dict[str, int] = {}
        self.bytes_max: dict[str, int] = {}
        self.listeners: dict[asyncio.Event, None] = {}
        self._rng = rng
        self._now_ms = now_ms
        self._ids: dict[str, Transactional] = {}
        self._next_producer_id = 1
        self._commits: list[tuple[str, Offsets]] = []
        self._reload = Reload()
        self._later(SCAN_SECONDS, self._scan)

    def create(self, topic: str, partitions: int, *, bytes_max: int = 1 << 20) -> None:
        """Make a topic."""
        self.partitions[topic] = partitions
        self.bytes_max[topic] = bytes_max
        for partition in range(partitions):
            self.logs[topic, partition] = Log()

    # --- producers ---------------------------------------------------------------------------

    def append(
        self, place: Place, records: Iterable[Raw], transaction: Transaction | None = None
    ) -> int:
        """Append records; return the offset of the last one."""
        log = self.logs[place]
        for raw in records:
            at_ms = self._now_ms + int(self.loop.time() * 1000)
            record = RawRecord(*place, log.end, at_ms, raw.key, raw.value, list(raw.headers))
            log.items.append((record, transaction))
        self._wake()
        return log.end - 1

    def append_aborted(self, place: Place, raw: Raw) -> None:
        """Append a record that an upstream service took back: it and the marker are holes."""
        self.append(place, [raw], Transaction(0, self.loop.time(), "aborted"))
        self.logs[place].items.append(None)

    def init_producer_id(self, name: str, timeout_seconds: float) -> tuple[int, int]:
        """Start a producer: the one before is fenced, and what it left open is aborted."""
        known = self._ids.get(name)
        if known is None:
            known = self._ids[name] = Transactional(self._next_producer_id)
            self._next_producer_id += 1
        if known.state == "ongoing":
            known.epoch += 1
            self._prepare(known, "aborted")
        if known.state == "ending":
            raise ConcurrentTransactions
        known.epoch += 1
        known.state, known.current = "empty", None
        known.timeout_seconds = timeout_seconds
        known.seen.clear()
        return known.producer_id, known.epoch

    def produce(
        self, name: str, epoch: int, place: Place, batch: tuple[int, Sequence[Raw]]
    ) -> None:
        """Add a partition to the transaction and append a batch; a repeated batch is known."""
        known = self._known(name, epoch)
        number, records = batch
        if place not in self.logs:
            raise UnknownTopicOrPartitionError
        if number in known.seen:
            return
        if any(len(raw.value or b"") > self.bytes_max[place[0]] for raw in records):
            raise MessageSizeTooLargeError
        transaction = self._begin(known)
        known.seen.add(number)
        log = self.logs[place]
        if place not in transaction.first:
            transaction.first[place] = log.open[transaction] = log.end
        self.append(place, records, transaction)

    def add_offsets(self, name: str, epoch: int, group: str, offsets: Offsets) -> None:
        """Commit offsets with the transaction: what comes last counts."""
        transaction = self._begin(self._known(name, epoch))
        transaction.offsets.setdefault(group, {}).update(offsets)

    def commit_offsets(self, name: str, epoch: int, group: str, offsets: Offsets) -> None:
        """Commit offsets in a transaction that has begun, whichever that is by now."""
        known = self._known(name, epoch)
        if known.state != "ongoing" or known.current is None:
            raise InvalidTxnState
        known.current.offsets.setdefault(group, {}).update(offsets)

    def end_transaction(self, name: str, epoch: int) -> None:
        """Commit: decided when it is answered, seen a moment later."""
        known = self._known(name, epoch, ending=True)
        if known.state == "ongoing":
            self._prepare(known, "committed")
        elif known.state == "ending":
            raise ConcurrentTransactions
        elif known.state != "committed":
            raise InvalidTxnState

    def _known(self, name: str, epoch: int, *, ending: bool = False) -> Transactional:
        known = self._ids.get(name)
        if known is None:
            raise InvalidProducerIdMapping
        if epoch != known.epoch:
            raise ProducerFenced
        if known.state == "ending" and not ending:
            raise ConcurrentTransactions
        return known

    def _begin(self, known: Transactional) -> Transaction:
        if known.state != "ongoing" or known.current is None:
            known.current = Transaction(known.producer_id, self.loop.time())
            known.state = "ongoing"
        return known.current

    def _prepare(self, known: Transactional, outcome: str) -> None:
        """Decide a transaction; its markers follow."""
        transaction = known.current
        assert transaction is not None
        known.state = "ending"
        self._later(self._rng.uniform(*MARKER_SECONDS), self._complete, known, transaction, outcome)

    def _complete(self, known: Transactional, transaction: Transaction, outcome: str) -> None:
        transaction.ended = outcome
        for place in transaction.first:
            log = self.logs[place]
            log.items.append(None)
            del log.open[transaction]
        if outcome == "committed":
            for group, offsets in transaction.offsets.items():
                self.committed.setdefault(group, {}).update(offsets)
                self._commits.append((group, offsets))
        known.state = outcome
        self._wake()

    def _scan(self) -> None:
        """Abort transactions that take too long; their producers are fenced."""
        now = self.loop.time()
        for known in self._ids.values():
            current = known.current
            if known.state != "ongoing" or current is None:
                continue
            if now - current.since > known.timeout_seconds:
                known.epoch += 1
                self._prepare(known, "aborted")
        self._later(SCAN_SECONDS, self._scan)

    # --- readers -----------------------------------------------------------------------------

    def read(self, place: Place, offset: int, records_max: int) -> tuple[list[RawRecord], int]:
        """Return committed records from an offset on, and the next offset to ask for."""
        log = self.logs[place]
        found: list[RawRecord] = []
        end = log.stable
        for at in range(offset, end):
            item = log.items[at]
            if item is not None and (item[1] is None or item[1].ended == "committed"):
                found.append(item[0])
                if len(found) == records_max:
                    return found, at + 1
        return found, max(offset, end)

    def group_offsets(self, group: str, places: Iterable[Place]) -> dict[Place, tuple[int, str]]:
        """Return what a group has committed; -1 where it has nothing.

        While the coordinator reloads it answers from what it has read again: the defect of Kafka's
        for which ``processor.lane`` looks on the topics.
        """
        known = self.committed.get(group, {})
        if self.loop.time() < self._reload.ends_at:
            known = {}
            for of, offsets in self._reload.read(self.loop.time(), self._commits):
                if of == group:
                    known.update(offsets)
        return {place: known.get(place, (-1, "")) for place in places}

    def reload_coordinator(self, seconds: float) -> None:
        """Have the group's coordinator read its log again from the beginning, and answer."""
        self._reload = Reload(self.loop.time() + seconds, len(self._commits))

    def _wake(self) -> None:
        for listener in self.listeners:
            listener.set()

    def _later(self, seconds: float, callback: object, *args: object) -> None:
        self.loop.call_later(seconds, callback, *args, context=self.loop.outside)  # type: ignore[arg-type]
