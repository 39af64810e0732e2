"""A bus on which sending takes longer than a transaction may, on virtual time."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiokafka.errors import InvalidTransactionTimeout

from processor.emit.producer import LaneProducer
from processor.settings import Settings
from tests.simulation.broker import Broker
from tests.simulation.clients import Builder, Bus, FakeProducer
from tests.simulation.group import Group
from tests.simulation.judge import judge
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.network import Chances, Network
from tests.simulation.plan import Plan
from tests.simulation.scene import Scene
from tests.simulation.scripts_bus import outgoing
from tests.simulation.scripts_store import said


@dataclass
class SlowBus(Bus):
    """A bus that acknowledges batches late, and notes what its producers are started with."""

    seconds: float = 0.0
    seconds_max: float = 900.0
    started: list[tuple[int, int]] = field(default_factory=list)

    def producer(self, **options: Any) -> "SlowProducer":
        """Return a new producer."""
        self.started.append((options["transaction_timeout_ms"], options["request_timeout_ms"]))
        return SlowProducer(self, **options)


class SlowProducer(FakeProducer):
    """A producer whose batches wait to be acknowledged."""

    _bus: SlowBus

    async def start(self) -> None:
        """Start, unless that is to be for longer than the broker allows."""
        if self._timeout_seconds > self._bus.seconds_max:
            raise InvalidTransactionTimeout
        await super().start()

    async def send_batch(
        self, builder: Builder, topic: str, *, partition: int
    ) -> "asyncio.Future[None]":
        """Send a batch; its future is done late."""
        sent = await super().send_batch(builder, topic, partition=partition)
        return asyncio.ensure_future(self._late(sent))

    async def _late(self, sent: "asyncio.Future[None]") -> None:
        await asyncio.sleep(self._bus.seconds)
        await sent


def a_loop() -> VirtualLoop:
    """Return a loop of virtual time."""
    return VirtualLoop(Random(1))  # type: ignore[abstract] # what it lacks is for sockets


def a_bus(loop: VirtualLoop) -> SlowBus:
    """Return a bus with a topic."""
    broker = Broker(loop, Random(1), now_ms=0)
    broker.create("a", 1)
    network = Network(loop, Random(2), Chances())
    return SlowBus(Process("p"), network, broker, Group(loop, lanes=1, session_seconds=3.0))


async def publish(producer: LaneProducer, batch: int) -> None:
    """Publish a record."""
    await producer.publish([outgoing("a", b"1")], {"a": batch}, batch)


async def publish_anew(producer: LaneProducer, batch: int) -> None:
    """Start, and publish a record."""
    await producer.start()
    await publish(producer, batch)


def test_lane_flows_where_sending_takes_longer_than_a_transaction_may() -> None:
    """What failed as a batch and was then settled has more time: everything comes to its end."""

    def making(of: Settings, lane: int, bus: Bus) -> LaneProducer:
        slow = SlowBus(bus.process, bus.network, bus.broker, bus.group)
        slow.seconds = 1.5 * of.kafka.transaction_timeout_ms / 1000
        return LaneProducer(of, lane, slow.producer, bus.reader)

    scene = Scene(Plan(1, 1, 1, 20, 0.5, Chances(), Chances()), making)
    scene.run()
    assert not scene.bugs
    assert not judge(scene)


def test_time_that_was_needed_is_given_back() -> None:
    """A time-out is doubled by who ran into it, requests' with it, until one is quick again."""

    async def play(bus: SlowBus) -> list[str]:
        """Publish again and again, and return how each ended."""
        producer = LaneProducer(Settings(lanes=1), 0, bus.producer, bus.reader)
        bus.seconds = 15.0
        outcomes = [await said(publish_anew(producer, 1)) for _ in range(2)]
        bus.seconds = 6.0
        outcomes.append(await said(publish(producer, 2)))
        await producer.start()
        bus.seconds = 4.0
        outcomes.append(await said(publish(producer, 3)))
        await producer.start()
        return outcomes

    loop = a_loop()
    bus = a_bus(loop)
    assert loop.run(play(bus), until_seconds=99) == ["BusOutage", "done", "done", "done"]
    set_to, longer = (10_000, 10_000), (20_000, 20_000)
    assert bus.started == [set_to, longer, longer, set_to]


def test_no_more_time_is_asked_for_than_the_broker_took() -> None:
    """Beyond its maximum a broker starts no producer: that would hold the lane up for ever."""

    async def play(bus: SlowBus) -> list[str]:
        """Publish again and again, and return how each ended."""
        producer = LaneProducer(Settings(lanes=1), 0, bus.producer, bus.reader)
        bus.seconds, bus.seconds_max = 60.0, 30.0
        return [await said(publish_anew(producer, 1)) for _ in range(6)]

    loop = a_loop()
    bus = a_bus(loop)
    assert loop.run(play(bus), until_seconds=999) == ["BusOutage"] * 6
    assert [timeout_ms // 1000 for timeout_ms, _ in bus.started] == [10, 20, 40, 20, 20, 20]
