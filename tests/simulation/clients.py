"""The clients of the fake bus: what the lane's producer and the worker see of Kafka's.

``FakeProducer`` stands in for the client library's producer, under the product's own wrapper, and
has its habits: a request whose connection broke is sent again until it is answered, and what comes
of a refused batch is told by the batch's future alone.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import ConcurrentTransactions, IllegalOperation
from aiokafka.structs import OffsetAndMetadata

from processor.errors import BusOutage, Outage
from processor.ingest.consumer import Committed, Extent, Fetched
from processor.settings import Settings
from tests.simulation.broker import Broker, Place, Raw
from tests.simulation.group import Group
from tests.simulation.loop import Process
from tests.simulation.network import Network
from tests.simulation.reader import FakeReader

CONCURRENT_SECONDS = 0.02
ASK_SECONDS_MAX = 3.0
HEARTBEAT_SECONDS = 0.7
IDLE_SECONDS = 2.0
POLLED_MAX = 40


@dataclass
class Bus:
    """The bus as one process reaches it."""

    process: Process
    network: Network
    broker: Broker
    group: Group
    session_seconds: float = 3.0

    async def ask(self, act: Callable[[], Any]) -> Any:
        """Send one request."""
        return await self.network.ask(self.process, act)

    def producer(self, **options: Any) -> "FakeProducer":
        """Return a new producer, as the client library's class does."""
        return FakeProducer(self, **options)

    def reader(self, **options: Any) -> FakeReader:
        """Return a new consumer without a group."""
        return FakeReader(self.process, self.network, self.broker, **options)

    def consumer(self, settings: Settings, topics: Iterable[str], **listeners: Any) -> Any:
        """Return a new member of the group."""
        return FakeConsumer(self, settings, topics, **listeners)


class Builder:
    """Records of one batch."""

    def __init__(self) -> None:
        """Begin empty."""
        self.records: list[Raw] = []

    def append(self, *, timestamp: None, key: Any, value: Any, headers: Any) -> object:  # noqa: ARG002 - the client's signature
        """Add a record; a batch is never full here."""
        self.records.append(Raw(key, value, headers))
        return self


class FakeProducer:
    """A transactional producer of the client library."""

    def __init__(self, bus: Bus, **options: Any) -> None:
        """Prepare; ``start`` fences."""
        self._bus = bus
        self._name = options["transactional_id"]
        self._timeout_seconds = options["transaction_timeout_ms"] / 1000
        self._backoff_seconds = options["retry_backoff_ms"] / 1000
        self._epoch = -1
        self._numbers = count()
        self._stopped = False
        self._sending: dict[asyncio.Task[None], None] = {}
        # What the product looks at of the real one when it ends it.
        self._sender = SimpleNamespace(sender_task=None)
        self._txn_manager = SimpleNamespace(_transaction_waiter=None)
        self._message_accumulator = SimpleNamespace(fail_all=lambda _error: None)
        self.client = SimpleNamespace(close=self.stop)

    async def start(self) -> None:
        """Fence whoever had the id, and get an epoch."""
        broker = self._bus.broker
        act = lambda: broker.init_producer_id(self._name, self._timeout_seconds)  # noqa: E731
        _, self._epoch = await self._insist(act)

    async def begin_transaction(self) -> None:
        """Begin: nothing is sent."""

    def create_batch(self) -> Builder:
        """Return an empty batch."""
        return Builder()

    async def send_batch(
        self, builder: Builder, topic: str, *, partition: int
    ) -> "asyncio.Future[None]":
        """Send a batch; its future says how it ended."""
        broker, batch = self._bus.broker, (next(self._numbers), builder.records)
        act = lambda: broker.produce(self._name, self._epoch, (topic, partition), batch)  # noqa: E731
        sending = asyncio.ensure_future(self._insist(act))
        self._sending[sending] = None
        sending.add_done_callback(lambda done: self._sending.pop(done, None))
        return sending

    async def send_offsets_to_transaction(
        self, committed: Mapping[TopicPartition, OffsetAndMetadata], group: str
    ) -> None:
        """Commit offsets with the transaction."""
        broker = self._bus.broker
        offsets = {tuple(at): (to.offset, to.metadata) for at, to in committed.items()}
        name, epoch = self._name, self._epoch
        await self._insist(lambda: broker.add_offsets(name, epoch, group, {}))
        await self._insist(lambda: broker.commit_offsets(name, epoch, group, offsets))

    async def commit_transaction(self) -> None:
        """End the transaction, however often that has to be said."""
        broker = self._bus.broker
        await self._insist(lambda: broker.end_transaction(self._name, self._epoch))

    async def stop(self) -> None:
        """End; an open transaction stays open."""
        self._stopped = True
        for sending in list(self._sending):
            sending.cancel()
        await asyncio.sleep(0)

    async def _insist(self, act: Callable[[], Any]) -> Any:
        """Send a request until it is answered, as the client does."""
        while not self._stopped:
            try:
                return await self._bus.ask(act)
            except ConcurrentTransactions:
                await asyncio.sleep(CONCURRENT_SECONDS)
            except ConnectionError:
                await asyncio.sleep(self._backoff_seconds)
        raise IllegalOperation("stopped")


class FakeConsumer:
    """The product's consumer, to its last method, over the fake bus."""

    _names = count()

    def __init__(
        self,
        bus: Bus,
        settings: Settings,
        topics: Iterable[str],
        *,
        on_assigned: Any,
        on_revoked: Any,
        on_trouble: Callable[[int, Outage], None],
    ) -> None:
        """Prepare a member; ``start`` joins."""
        self._bus = bus
        self._settings = settings
        self._topics = tuple(topics)
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._on_trouble = on_trouble
        self._name = f"{bus.process.name}-{next(self._names)}"
        self._lanes: frozenset[int] = frozenset()
        self._positions: dict[Place, int] = {}
        self._seeks: dict[Place, int] = {}
        self._paused: set[Place] = set()
        self._kick = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.joined = False

    async def start(self) -> None:
        """Reach the bus, and join."""
        try:
            await self._bus.ask(lambda: None)
        except ConnectionError as error:
            raise BusOutage("consumer does not start") from error
        self._bus.broker.listeners[self._kick] = None
        self._bus.process.at_death.append(self._unlisten)
        self._task = asyncio.ensure_future(self._coordinate())

    async def stop(self) -> None:
        """Leave the group."""
        self._unlisten()
        if self._task is not None:
            self._task.cancel()
        with suppress(ConnectionError):
            await self._bus.ask(lambda: self._bus.group.leave(self._name))

    async def poll(self) -> list[Fetched]:
        """Return what has arrived on lanes that are not paused."""
        self._kick.clear()
        wanted = {
            place: (self._positions[place], self._seeks[place])
            for place in self._places(self._lanes)
            if place not in self._paused
        }
        fetched: list[Fetched] = []
        if wanted:
            try:
                answer = await self._bus.ask(lambda: self._read(wanted))
            except ConnectionError:
                await asyncio.sleep(0.1)
                return []
            fetched = self._accept(wanted, answer)
        if not fetched:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._kick.wait()
            except TimeoutError:
                pass
        return fetched

    def pause(self, lane: int) -> None:
        """Stop fetching for a lane."""
        self._paused.update(self._places((lane,)))

    def resume(self, lane: int) -> None:
        """Go on fetching for a lane."""
        self._paused.difference_update(self._places((lane,)))
        self._kick.set()

    def seek(self, lane: int, positions: Mapping[str, int]) -> None:
        """Set the next offsets of a lane."""
        for place in self._places((lane,)):
            self._positions[place] = positions[place[0]]
            self._seeks[place] += 1

    async def position(self, lane: int, topic: str) -> int | None:
        """Return the offset of the next record to come."""
        return self._positions[topic, lane] if lane in self._lanes else None

    async def ends(self) -> dict[int, dict[str, int]]:
        """Return the last stable offsets of what is ours."""
        lanes, logs = self._lanes, self._bus.broker.logs
        act = lambda: {  # noqa: E731
            lane: {topic: logs[topic, lane].stable for topic in self._topics} for lane in lanes
        }
        return dict(await self._asked(act)) if lanes else {}

    async def extents(self, lane: int) -> dict[str, Extent]:
        """Return where the logs of a lane begin and end."""
        logs = self._bus.broker.logs
        act = lambda: {  # noqa: E731
            topic: Extent(logs[topic, lane].begin, logs[topic, lane].stable)
            for topic in self._topics
        }
        return dict(await self._asked(act))

    async def committed(self, lane: int) -> dict[str, Committed | None]:
        """Return what the group has committed for a lane."""
        places = [(topic, lane) for topic in self._topics]
        group = self._settings.group
        answer = await self._asked(lambda: self._bus.broker.group_offsets(group, places))
        return {place[0]: _committed(*answer[place]) for place in places}

    async def _asked(self, act: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(ASK_SECONDS_MAX):
                return await self._bus.ask(act)
        except (ConnectionError, TimeoutError) as error:
            raise BusOutage("not answered") from error

    def _read(self, wanted: Mapping[Place, tuple[int, int]]) -> dict[Place, Any]:
        broker, rng = self._bus.broker, self._bus.network.rng
        answer: dict[Place, Any] = {}
        for place, (position, _) in wanted.items():
            log = broker.logs[place]
            inside = log.begin <= position <= log.end
            size = rng.randint(1, POLLED_MAX)
            answer[place] = broker.read(place, position, size) if inside else None
        return answer

    def _accept(
        self, wanted: Mapping[Place, tuple[int, int]], answer: Mapping[Place, Any]
    ) -> list[Fetched]:
        """Take what was asked for and is still wanted."""
        fetched = []
        for place, (_, seek) in wanted.items():
            if (
                place in self._paused
                or self._seeks.get(place) != seek
                or place[1] not in self._lanes
            ):
                continue
            if answer[place] is None:
                self._on_trouble(place[1], Outage("the broker does not have the position"))
                continue
            records, self._positions[place] = answer[place]
            if records:
                fetched.append(Fetched(*place, records))
        return fetched

    async def _coordinate(self) -> None:
        """Be a member: join, hold lanes while heartbeats pass, give them back, join again."""
        while True:
            try:
                share = await self._bus.ask(lambda: self._bus.group.join(self._name))
            except ConnectionError:
                await asyncio.sleep(0.1)
                continue
            generation, self._lanes = share
            for place in self._places(self._lanes):
                self._positions[place] = 0
                self._seeks[place] = self._seeks.get(place, 0) + 1
                self._paused.add(place)
            self.joined = True
            await self._on_assigned(self._lanes)
            await self._heartbeat(generation)
            lanes, self._lanes = self._lanes, frozenset()
            if lanes:
                await self._on_revoked(lanes)

    async def _heartbeat(self, generation: int) -> None:
        """Return when the group wants us to join again, or we have not reached it for a session."""
        clock = asyncio.get_running_loop().time
        heard_at = clock()
        while clock() - heard_at < self._bus.session_seconds:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                fine = await self._bus.ask(
                    lambda: self._bus.group.heartbeat(self._name, generation)
                )
            except ConnectionError:
                continue
            if not fine:
                return
            heard_at = clock()

    def _places(self, lanes: Iterable[int]) -> list[Place]:
        held = self._lanes
        return [(topic, lane) for lane in lanes if lane in held for topic in self._topics]

    def _unlisten(self) -> None:
        self._bus.broker.listeners.pop(self._kick, None)


def _committed(offset: int, metadata: str) -> Committed | None:
    if offset < 0:
        return None
    key, _, number = metadata.partition("=")
    return Committed(offset, int(number) if key == "batch" and number.isdecimal() else None)
