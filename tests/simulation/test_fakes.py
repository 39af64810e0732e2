"""The fakes answer as the real servers do: one suite of scenarios, run against both."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from processor.emit.producer import LaneProducer
from processor.ingest.consumer import Consumer
from processor.settings import Settings
from processor.store.partitions import ensure_days
from processor.store.pool import Database
from tests.integration import bus
from tests.simulation import scripts_bus, scripts_store
from tests.simulation.broker import Broker
from tests.simulation.clients import Bus, FakeProducer
from tests.simulation.connections import FakeDatabase
from tests.simulation.database import Store
from tests.simulation.group import Group
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.network import Chances, Network
from tests.simulation.plants import PLANTS

TODAY = datetime.now(UTC).date()
NAMES = ("a", "b")
SESSION_MS = 6_000

Scenario = Callable[[Any], Awaitable[Any]]


class RealStore:
    """Postgres."""

    def __init__(self, dsn: str, stack: AsyncExitStack) -> None:
        """Speak with a database."""
        self._dsn = dsn
        self._stack = stack

    async def open(self) -> Database:
        """Return a client, closed at the end."""
        db = await Database.open(self._dsn)
        self._stack.push_async_callback(db.close)
        return db


class FakeStore:
    """The fake store."""

    def __init__(self, loop: VirtualLoop) -> None:
        """Make an empty one."""
        self._loop = loop
        self._store = Store(loop, TODAY, 3)

    async def open(self) -> Database:
        """Return a client."""
        network = Network(self._loop, Random(1), Chances())
        return FakeDatabase(Process("client"), network, self._store)


class RealBus:
    """Kafka."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        """Speak with a broker, within a prefix."""
        self.prefix = prefix
        self.settings = Settings(
            group=f"group-{prefix}",
            lanes=1,
            kafka={
                "bootstrap_servers": bootstrap,
                "topic_prefix": prefix,
                "session_timeout_ms": SESSION_MS,
            },
        )

    def producer(self) -> LaneProducer:
        """Return a producer of lane 0."""
        return LaneProducer(self.settings, 0)

    def client(self, name: str) -> AIOKafkaProducer:
        """Return a transactional producer."""
        return AIOKafkaProducer(
            bootstrap_servers=self.settings.kafka.bootstrap_servers, transactional_id=name
        )

    def consumer(self, **listeners: Any) -> Consumer:
        """Return a member of the group."""
        return Consumer(self.settings, [self.prefix + name for name in NAMES], **listeners)


class FakeBus:
    """The fake bus."""

    prefix = ""

    def __init__(self, loop: VirtualLoop) -> None:
        """Make one with the topics."""
        self.settings = Settings(group="group", lanes=1)
        broker = Broker(loop, Random(1), now_ms=0)
        for name in NAMES:
            broker.create(name, 1)
        broker.create("narrow", 1, bytes_max=2048)
        network = Network(loop, Random(2), Chances())
        group = Group(loop, lanes=1, session_seconds=SESSION_MS / 1000)
        self._bus = Bus(Process("client"), network, broker, group)

    def producer(self) -> LaneProducer:
        """Return a producer of lane 0."""
        return LaneProducer(self.settings, 0, self._bus.producer, self._bus.reader)

    def client(self, name: str) -> FakeProducer:
        """Return a transactional producer."""
        options = {"transaction_timeout_ms": 10_000, "retry_backoff_ms": 100}
        return self._bus.producer(transactional_id=name, **options)

    def consumer(self, **listeners: Any) -> Any:
        """Return a member of the group."""
        return self._bus.consumer(self.settings, NAMES, **listeners)


def name_of(value: object) -> str:
    """Name a test after its scenario."""
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("scenario", "due"), scripts_store.STORE, ids=name_of)
async def test_postgres(postgres_dsn: str, scenario: Scenario, due: object) -> None:
    """Postgres answers as it is written down."""
    async with AsyncExitStack() as stack:
        bench = RealStore(postgres_dsn, stack)
        window = TODAY - timedelta(days=3), TODAY + timedelta(days=8)
        await ensure_days(await bench.open(), *window)
        assert await scenario(bench) == due


@pytest.mark.parametrize(("scenario", "due"), scripts_store.STORE, ids=name_of)
def test_fake_store(scenario: Scenario, due: object) -> None:
    """The fake store answers as Postgres does."""
    loop = VirtualLoop(Random(1))  # type: ignore[abstract] # what it lacks is for sockets
    assert loop.run(scenario(FakeStore(loop)), until_seconds=60) == due


@pytest.mark.parametrize(("scenario", "due"), scripts_bus.BUS, ids=name_of)
async def test_kafka(kafka: str, scenario: Scenario, due: object) -> None:
    """Kafka answers as it is written down."""
    prefix = f"s{secrets.token_hex(4)}."
    with (
        bus.topics(kafka, [prefix + name for name in NAMES]),
        bus.topics(kafka, [f"{prefix}narrow"], max_message_bytes="2048"),
    ):
        async with asyncio.timeout(50):
            assert await scenario(RealBus(kafka, prefix)) == due


@pytest.mark.parametrize(("scenario", "due"), scripts_bus.BUS, ids=name_of)
def test_fake_bus(scenario: Scenario, due: object) -> None:
    """The fake bus answers as Kafka does."""
    loop = VirtualLoop(Random(1))  # type: ignore[abstract] # what it lacks is for sockets
    assert loop.run(scenario(FakeBus(loop)), until_seconds=60) == due


def test_architecture_counts_them() -> None:
    """The page that says how many scenarios and planted bugs there are has counted them."""
    text = " ".join((Path(__file__).parents[2] / "ARCHITECTURE.md").read_text().split())
    scenarios = len(scripts_store.STORE) + len(scripts_bus.BUS)
    planted = len(PLANTS.keys() - {""})
    assert f"{scenarios} scenarios are asserted on Kafka, on Postgres" in text
    assert f"{planted} planted bugs are each found" in text
