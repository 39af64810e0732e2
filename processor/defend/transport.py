"""Faust's way to Kafka, with the consumer that Defend needs instead of Faust's own.

Faust reads what aborted transactions left behind, and deals partitions out round robin, so that
the topics of one organization come to different workers. Ours reads what is committed, and has
partition p of every topic on one worker. And Faust's commits lag behind what transactions wrote.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from processor.settings import Settings

FETCH_BYTES_MAX = 4 * 1024 * 1024
FETCH_WAIT_MS = 200
ASK_SECONDS_MAX = 10.0


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which Faust's consumer lives."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        self._assignor = RangePartitionAssignor
        consumer = AIOKafkaConsumer(**transport.options)
        transport.reader = consumer, self.thread_loop
        return consumer

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go on at what was committed, asking for all partitions at once.

        Faust's own way asks for one after the other, and reads nothing meanwhile.
        """
        return cast("Mapping[TP, int]", await self.call_thread(self._seek_to_committed))

    async def _seek_to_committed(self) -> Mapping[TopicPartition, int | None]:
        consumer = self._ensure_consumer()
        partitions = list(consumer.assignment())
        offsets = await asyncio.gather(*map(consumer.committed, partitions))
        for partition, offset in zip(partitions, offsets, strict=True):
            if offset is not None:
                consumer.seek(partition, offset)
        return dict(zip(partitions, offsets, strict=True))


class Consumer(driver.Consumer):
    """Faust's consumer, in our thread, which commits up to what was acknowledged last.

    Faust's own takes the mark at the end of every transaction for a hole, and a hole together with
    the record behind it: each commit goes on for one transaction, and with more than one a second
    falls behind for ever. Defend acknowledges in the order of reading, so nothing is left out.
    """

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _new_offset(self, tp: TP) -> int | None:
        """Return what is to be committed of a partition; None when nothing was acknowledged."""
        acked = self._acked[tp]
        if not acked:
            return None
        offset = max(acked) + 1
        acked.clear()
        self._acked_index[tp].clear()
        return offset

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Keep no account of holes."""

    async def verify_all_partitions_active(self) -> None:
        """Leave it to Defend to see that it moves, which ends a process that stands.

        No setting spares us Faust's own way. It waits for a stream to be iterated, which ours never
        is, and for every partition to get records: it calls idle ones, and each that moves, broken.
        """


class Producer(driver.Producer):
    """Faust's producer, connecting as every client of ours does."""

    def _settings_auth(self) -> dict[str, Any]:
        return cast("Transport", self.transport).client_options


class Transport(driver.Transport):
    """Faust's transport with our consumer and our way to connect."""

    Consumer = Consumer
    Producer = Producer
    options: dict[str, Any]
    client_options: dict[str, Any]
    reader: tuple[AIOKafkaConsumer, asyncio.AbstractEventLoop]

    async def records_waiting(self) -> int:
        """Return how many records of the assigned partitions were not read yet.

        The bus is asked about those alone that were never fetched. Raises TimeoutError or
        KafkaError when neither the bus nor the consumer says.
        """
        return await self._of_reader(_waiting)

    async def records_behind(self) -> int:
        """Return the same by what the bus says of all, in case the consumer asks no more."""
        return await self._of_reader(_behind)

    async def _of_reader(self, question: Callable[[AIOKafkaConsumer], Any]) -> int:
        """Ask the consumer something, in its own thread's loop."""
        consumer, loop = self.reader
        asked = asyncio.run_coroutine_threadsafe(question(consumer), loop)
        return int(await asyncio.wrap_future(asked))

    def connect_as(self, settings: Settings, group: str) -> None:
        """Take over how to connect, and as which group."""
        kafka = settings.kafka
        self.client_options = kafka.client_options()
        self.options = {
            **self.client_options,
            "group_id": group,
            "client_id": group,
            "partition_assignment_strategy": (RangePartitionAssignor,),
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",  # reading something again changes nothing
            "isolation_level": "read_committed",
            "session_timeout_ms": kafka.session_timeout_ms,
            "heartbeat_interval_ms": kafka.heartbeat_interval_ms,
            "request_timeout_ms": kafka.request_timeout_ms,
            "max_partition_fetch_bytes": FETCH_BYTES_MAX,
            "fetch_max_wait_ms": FETCH_WAIT_MS,
        }


async def _waiting(consumer: AIOKafkaConsumer) -> int:
    """Return what is to be read by what the consumer itself was told with its fetches."""
    told = {at: consumer.last_stable_offset(at) for at in consumer.assignment()}
    known = {at: end for at, end in told.items() if end is not None}
    return await _before(consumer, known, asking=told.keys() - known.keys())


async def _behind(consumer: AIOKafkaConsumer) -> int:
    """Return what is to be read by what the bus says."""
    return await _before(consumer, {}, asking=consumer.assignment())


async def _before(
    consumer: AIOKafkaConsumer,
    ends: Mapping[TopicPartition, int],
    *,
    asking: Collection[TopicPartition],
) -> int:
    """Return how many offsets lie between positions and these ends, and those the bus tells."""
    count = 0
    async with asyncio.timeout(ASK_SECONDS_MAX):
        asked = await consumer.end_offsets(asking) if asking else {}
        for partition, end in {**ends, **asked}.items():
            try:
                count += max(0, end - await consumer.position(partition))
            except IllegalStateError:  # it went to somebody else just now
                continue
    return count
