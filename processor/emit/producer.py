"""A transactional producer: all of a batch on the bus, or none of it.

What the client does by itself and must not (each has a test in ``tests/integration``):

* A transaction whose batch the broker refused commits without an error. Every batch's future is
  therefore awaited and looked at before the offsets are added.
* After any failure the producer is unusable or, worse, usable with a gap in its sequence numbers.
  It is never used again: whoever calls ``publish`` gets an exception and starts a new one.
* A commit that met a broken connection is sent again until it succeeds, and then returns as if
  nothing had happened, while the first copy may still be on its way and end a later transaction.
  The client waits ``RETRY_BACKOFF_SECONDS`` before it sends again, so a commit that took less was
  sent once; after any slower one the producer is replaced, which makes a late copy harmless.
* The same goes for the offsets: a late copy would put those of an earlier batch into a later
  transaction, number and all, and the next owner of the lane would emit a batch twice.
* ``stop()`` hangs when the broker is away and leaves a task that goes on speaking; ``_abandon``
  ends it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    IllegalOperation,
    InvalidTopicError,
    InvalidTransactionTimeout,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import OffsetAndMetadata

from processor.emit.lookup import holds
from processor.emit.route import Outgoing, partition_of_key
from processor.errors import BusOutage, Doubt, Fenced, TopicRefused
from processor.settings import Settings

RETRY_BACKOFF_SECONDS = 0.5
"""The client's pause before it repeats a request: a commit that took as long is in doubt.

Well above what a commit takes on a busy machine: at 0.1 s most of them were in doubt there, every
batch began with a new producer, and 2,000 events/s came 2.7 s late instead of 0.5 s.
"""

BATCH_BYTES_MAX = 1_000_000
"""Just under the broker's default ``message.max.bytes``: a batch of 1 MiB is refused."""

REQUEST_BYTES_MAX = 16 * 1024 * 1024
START_SECONDS_MAX = 15.0
STOP_SECONDS_MAX = 2.0
TRANSACTION_TIMEOUT_SECONDS_MAX = 900.0
"""The broker's default ``transaction.max.timeout.ms``; one that has less says so at the start."""

CLIENT_ERRORS = (
    KafkaError,
    IllegalOperation,
    OSError,
    TimeoutError,
    AttributeError,
    AssertionError,
)
"""What a producer raises when it or its broker is out of order.

IllegalOperation is no KafkaError, and is what a batch meets that comes after the one by which the
client learned that it is fenced. The last two are how the client reports a fatal error that struck
outside a transaction: it dereferences a waiter it does not have, or asserts a state it has left.
"""


Place = tuple[str, int]
"""Topic, as it is named on Kafka, and partition."""


TOPIC_FAULTS = {
    TopicAuthorizationFailedError: (
        "Hub Audit may not write to the topic: the bus's operators have to allow WRITE on it again"
    ),
    UnknownTopicOrPartitionError: "the topic does not exist",
    InvalidTopicError: "the topic's name is not one that Kafka takes",
    MessageSizeTooLargeError: (
        "an entry is larger than the topic's max.message.bytes: raise that to 1048588"
    ),
    RecordListTooLargeError: "an entry is larger than the topic's segment.bytes: raise that",
}
"""What is wrong with one topic and not with the bus."""


def batch_metadata(batch: int) -> str:
    """Return the text that ties committed offsets to a lane's batch number."""
    return f"batch={batch}"


class Position(NamedTuple):
    """What is committed for a partition along with what was published: an offset and a text."""

    offset: int
    metadata: str


class TransactionalProducer:
    """Publishes batches under one transactional id; starting it fences who had that id before."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        group: str,
        client: Callable[..., AIOKafkaProducer] = AIOKafkaProducer,
    ) -> None:
        """Prepare a producer; ``name`` ends its id, ``group`` is whose offsets it commits.

        ``client`` makes the client under it: the simulation has one of its own.
        """
        self._settings = settings
        self._client = client
        self._id = f"{settings.environment}.{settings.group}.{name}"
        self._group = group
        self._producer: AIOKafkaProducer | None = None
        self._doubtful = False
        self._set_seconds = settings.kafka.transaction_timeout_ms / 1000
        self._transaction_seconds = self._next_seconds = self._set_seconds
        self._seconds_max = TRANSACTION_TIMEOUT_SECONDS_MAX

    async def start(self) -> None:
        """Fence the previous producer, end its open transaction, and be ready to publish.

        Raises BusOutage when the bus does not answer in time.
        """
        await self.abandon()
        kafka, self._transaction_seconds = self._settings.kafka, self._next_seconds
        producer = self._client(
            **kafka.client_options(),
            transactional_id=self._id,
            transaction_timeout_ms=int(self._transaction_seconds * 1000),
            request_timeout_ms=int(self._request_seconds() * 1000),
            retry_backoff_ms=int(RETRY_BACKOFF_SECONDS * 1000),
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=REQUEST_BYTES_MAX,
        )
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                await producer.start()
        except CLIENT_ERRORS as error:
            await _abandon(producer)
            if isinstance(error, InvalidTransactionTimeout):
                self._take_back()
            raise BusOutage(f"producer does not start: {error!r}") from error
        except asyncio.CancelledError:
            await _abandon(producer)
            raise
        self._producer = producer
        self._doubtful = False

    @property
    def ready(self) -> bool:
        """Whether it can publish as it is; otherwise it is to be started first."""
        return self._producer is not None and not self._doubtful

    async def renew(self) -> None:
        """Start again where it is not ready.

        Only before anything is decided about what to publish next, since it fences whoever has
        taken over meanwhile: one who was frozen between the two would publish what is published.
        """
        if not self.ready:
            await self.start()

    async def transact(
        self, outgoing: Iterable[Outgoing], positions: Mapping[Place, Position]
    ) -> None:
        """Publish ``outgoing`` and commit ``positions`` in one transaction.

        Raises BusOutage when it certainly did not happen, Doubt when that is not known, Fenced when
        another producer has the id. After any of them this object must be started again.
        """
        producer = self._producer
        if producer is None or self._doubtful:
            raise BusOutage("producer is not started, or its last commit is in doubt")
        try:
            await self._send(producer, outgoing, positions)
            await self._commit(producer)
        except (BusOutage, asyncio.CancelledError):
            await self.abandon()
            raise
        except ProducerFenced as error:
            await self.abandon()
            raise Fenced(f"{self._id} has another producer") from error

    async def abandon(self) -> None:
        """End the producer, whatever its state; an open transaction is left to the successor."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _abandon(producer)

    # --- its time ----------------------------------------------------------------------------

    def _request_seconds(self) -> float:
        """Return how long the client waits for an answer: longer by what was added to transactions.

        Then it closes the connection and sends again, and gives up what waits behind.
        """
        more = self._transaction_seconds - self._set_seconds
        return self._settings.kafka.request_timeout_ms / 1000 + more

    def _took(self, seconds: float, *, failed: bool) -> None:
        """Double the time-out for the next start after a transaction that ran into it.

        After one that took less than half of what is set, that is enough again.
        """
        if not failed:
            if seconds < self._set_seconds / 2:
                self._next_seconds = self._set_seconds
        elif seconds >= min(self._transaction_seconds, self._request_seconds()):
            self._next_seconds = min(self._transaction_seconds * 2, self._seconds_max)

    def _take_back(self) -> None:
        """Go back to the last time-out that the broker took: its own maximum is below this one."""
        self._seconds_max = max(self._transaction_seconds / 2, self._set_seconds)
        self._next_seconds = self._seconds_max

    # --- a transaction -----------------------------------------------------------------------

    async def _send(
        self,
        producer: AIOKafkaProducer,
        outgoing: Iterable[Outgoing],
        positions: Mapping[Place, Position],
    ) -> None:
        batches = self._batches(producer, outgoing)
        committed = {
            TopicPartition(*place): OffsetAndMetadata(*position)
            for place, position in positions.items()
        }
        try:
            async with asyncio.timeout(self._transaction_seconds):
                await producer.begin_transaction()
                await self._await_all(producer, batches)
                if committed:
                    await self._send_offsets(producer, committed)
        except (ProducerFenced, TopicRefused):
            raise
        except tuple(TOPIC_FAULTS) as error:
            raise TopicRefused(TOPIC_FAULTS[type(error)]) from error
        except CLIENT_ERRORS as error:
            raise BusOutage(f"transaction failed before its commit: {error!r}") from error

    async def _send_offsets(
        self, producer: AIOKafkaProducer, committed: Mapping[TopicPartition, OffsetAndMetadata]
    ) -> None:
        """Add the offsets; when that took so long that they may have been sent twice, doubt."""
        clock = asyncio.get_running_loop().time
        started = clock()
        await producer.send_offsets_to_transaction(committed, self._group)
        self._doubtful = clock() - started >= RETRY_BACKOFF_SECONDS

    async def _await_all(
        self, producer: AIOKafkaProducer, batches: list[tuple[str, int, BatchBuilder]]
    ) -> None:
        """Send the batches and look at what became of each: the client's commit would not."""
        futures: list[asyncio.Future[Any]] = []
        stopped: list[IllegalOperation] = []
        try:
            for topic, partition, builder in batches:
                futures.append(await producer.send_batch(builder, topic, partition=partition))
        except IllegalOperation as unsent:
            stopped.append(unsent)  # one of those before it has failed, and says why
        results = await asyncio.gather(*futures, return_exceptions=True)
        failed = {
            topic: result
            for (topic, _, _), result in zip(batches, results, strict=False)
            if isinstance(result, BaseException)
        }
        for topic, error in failed.items():
            if type(error) in TOPIC_FAULTS:
                raise TopicRefused(TOPIC_FAULTS[type(error)], _named(topic, error)) from error
        for error in (*failed.values(), *stopped):
            raise error

    async def _commit(self, producer: AIOKafkaProducer) -> None:
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            async with asyncio.timeout(self._transaction_seconds):
                await producer.commit_transaction()
        except ProducerFenced:
            raise
        except CLIENT_ERRORS as error:
            raise Doubt(f"commit was not answered: {error!r}") from error
        self._doubtful = self._doubtful or clock() - started >= RETRY_BACKOFF_SECONDS

    def _batches(
        self, producer: AIOKafkaProducer, outgoing: Iterable[Outgoing]
    ) -> list[tuple[str, int, BatchBuilder]]:
        """Pack records by topic and partition; a full batch is followed by another."""
        prefix, lanes = self._settings.kafka.topic_prefix, self._settings.lanes
        packed: list[tuple[str, int, BatchBuilder]] = []
        open_batches: dict[tuple[str, int], BatchBuilder] = {}
        for topic, partition, key, value, headers in outgoing:
            at = partition if partition is not None else partition_of_key(key, lanes)
            builder = open_batches.get((topic, at))
            if builder is None or not builder.append(
                timestamp=None, key=key, value=value, headers=headers
            ):
                builder = open_batches[topic, at] = producer.create_batch()
                builder.append(timestamp=None, key=key, value=value, headers=headers)
                packed.append((prefix + topic, at, builder))
        return packed


class LaneProducer(TransactionalProducer):
    """Publishes the batches of one lane; starting it fences whoever held the lane before."""

    def __init__(
        self,
        settings: Settings,
        lane: int,
        client: Callable[..., AIOKafkaProducer] = AIOKafkaProducer,
        reader: Callable[..., AIOKafkaConsumer] = AIOKafkaConsumer,
    ) -> None:
        """Prepare a producer for ``lane``; nothing is sent before ``start``."""
        super().__init__(settings, str(lane), settings.group, client)
        self.lane = lane
        self._reader = reader

    async def publish(
        self, outgoing: Iterable[Outgoing], offsets: Mapping[str, int], batch: int
    ) -> None:
        """Publish a batch, and with it its number and the lane's offsets by topic; see transact.

        A batch that did not pass in time gets more of it next time, when it is settled: it is the
        same one, and the bus may be no quicker.
        """
        clock, metadata = asyncio.get_running_loop().time, batch_metadata(batch)
        began, failed = clock(), True
        try:
            await self.transact(
                outgoing,
                {(topic, self.lane): Position(at, metadata) for topic, at in offsets.items()},
            )
            failed = False
        finally:
            self._took(clock() - began, failed=failed)

    async def published(self, outgoing: Outgoing, made_ms: int) -> bool | None:
        """Return whether one record of a batch, and so all of it, is on the bus; see lookup.holds.

        Only of a producer that was started: what its predecessors left open has ended then.
        """
        return await holds(self._settings, outgoing, made_ms, self._reader)


def _named(topic: str, error: BaseException) -> frozenset[str]:
    """Return the topics at fault: a missing ACL fails every batch, and names those it is about."""
    if isinstance(error, TopicAuthorizationFailedError) and isinstance(error.args[0], set):
        return frozenset(error.args[0])
    return frozenset({topic})


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Stop ``producer`` in bounded time and leave no task and no connection of it behind."""
    try:
        async with asyncio.timeout(STOP_SECONDS_MAX):
            await producer.stop()
    except CLIENT_ERRORS:
        pass
    else:
        _look_at_outcome(producer)
        return
    sender = producer._sender.sender_task  # noqa: SLF001 - stop() leaves it running
    for _ in range(10):  # one cancel() is swallowed per request in flight
        if sender is None or sender.done():
            break
        sender.cancel()
        await asyncio.wait([sender], timeout=0.2)
    producer._message_accumulator.fail_all(ConnectionError("abandoned"))  # noqa: SLF001
    _look_at_outcome(producer)
    try:
        async with asyncio.timeout(STOP_SECONDS_MAX):
            await producer.client.close()
    except CLIENT_ERRORS:
        pass


def _look_at_outcome(producer: AIOKafkaProducer) -> None:
    """Take note of the transaction's end, which nobody awaits: else asyncio logs it as an error."""
    waiter = producer._txn_manager._transaction_waiter  # noqa: SLF001 - has no public name
    if waiter is not None and waiter.done() and not waiter.cancelled():
        waiter.exception()
