"""Defend on a real Kafka and Postgres: nothing lost and nothing doubled, whatever happens."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as At
from confluent_kafka import Consumer, Producer, TopicPartition

from processor.defend.app import Defend, topics
from processor.defend.transport import _behind, _waiting
from processor.emit.route import canonical, partition_of
from processor.errors import BusOutage
from processor.local.kafka import Broker
from processor.local.port import free_port
from processor.settings import Settings
from processor.store.load import load
from processor.store.pool import FORWARDER, WRITER, Database
from schemas.entry import Entry
from schemas.finding import FINDINGS_TOPIC
from schemas.telemetry import TELEMETRY_TOPIC
from tests.integration import bus
from tests.integration.kafka_proxy import Api, Deed, KafkaProxy
from tests.integration.ops import cleaned, settings_of
from tests.integration.store import query
from tests.unit.defend_signals import MINUTE, SECOND, Log

pytestmark = pytest.mark.timeout(120)

PATIENCE_SECONDS = 60.0
HUB_AUDIT = (sys.executable, "-c", "from processor.cli import main; main()")
ADA, ABROAD = "ada@acme.example", "203.0.113.66"
NOW = time.time_ns() // 1_000_000
BEGIN = NOW - NOW % 3_600_000 - 50 * MINUTE
"""Ten minutes into the hour before this one."""


class World:
    """An environment of its own, and its Defend processes."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        """Prepare the topics."""
        self.settings, self._directory = settings, directory
        self._stack = ExitStack()
        self.log = Log()
        names = [*topics(settings), settings.topic(FINDINGS_TOPIC)]
        stamped = {"message.timestamp.type": "LogAppendTime"}
        bus.create(settings.kafka.bootstrap_servers, names, settings.lanes, stamped)

    def environment(self) -> dict[str, str]:
        """Return the environment of a command, with a port of its own."""
        settings = self.settings
        given = {
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": settings.kafka.topic_prefix,
            "POSTGRES_DSN": settings.postgres.dsn.get_secret_value(),
            "GROUP": settings.group,
            "LANES": str(settings.lanes),
            "HTTP_PORT": str(free_port()),
            "KAFKA_SESSION_TIMEOUT_MS": "6000",
            "DEFEND_COMMIT_SECONDS": "0.2",
        }
        return dict(os.environ) | {f"HUB_AUDIT_{name}": value for name, value in given.items()}

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run Defend for the length of a block; it has to end as it was told to."""
        number = len(list(self._directory.iterdir()))
        with (self._directory / f"defend-{number}.log").open("wb") as log:
            process = subprocess.Popen([*HUB_AUDIT, "defend"], env=self.environment(), stderr=log)
            try:
                yield process
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    assert process.wait(30) == 0
            finally:
                process.kill()
                process.wait()

    def logs(self) -> str:
        """Return what the processes said."""
        return "".join(each.read_text() for each in sorted(self._directory.iterdir()))

    async def store(self, entries: Sequence[Entry]) -> None:
        """Store entries, as a lane would before the bus has them."""
        db = await Database.open(self.settings.postgres.dsn.get_secret_value(), role=WRITER)
        try:
            await load(db, entries)
        finally:
            await db.close()

    def publish(self, entries: Sequence[Entry], *, commit: bool = True) -> None:
        """Put entries on their canonical topics in one transaction."""
        producer = Producer(
            {
                "bootstrap.servers": self.settings.kafka.bootstrap_servers,
                "transactional.id": f"{self.settings.group}.test",
            }
        )
        producer.init_transactions(20)
        producer.begin_transaction()
        for entry in entries:
            out = canonical(entry)
            producer.produce(
                self.settings.topic(out.topic), out.value, out.key, headers=out.headers,  # type: ignore[arg-type]
                partition=partition_of(entry["org_id"], self.settings.lanes),
            )  # fmt: skip
        producer.flush(20)
        if commit:
            producer.commit_transaction(20)
        else:
            producer.abort_transaction(20)

    def report(self, *values: bytes | None) -> None:
        """Put values on the telemetry topic."""
        producer = Producer({"bootstrap.servers": self.settings.kafka.bootstrap_servers})
        for value in values:
            producer.produce(self.settings.topic(TELEMETRY_TOPIC), value, b"acme", partition=0)
        assert producer.flush(20) == 0

    def findings(self) -> list[tuple[str, str, str, int]]:
        """Return rule, subject, severity and number of entries of what is kept."""
        names = ("low", "medium", "high", "critical")
        rows = query(
            self.settings.postgres.dsn.get_secret_value(),
            "SELECT rule, subject, severity, cardinality(seqs) FROM findings ORDER BY 1, 2",
        )
        return [(rule, subject, names[severity], count) for rule, subject, severity, count in rows]

    def published(self) -> dict[str, dict[str, Any]]:
        """Return the latest version of each finding on the topic."""
        latest: dict[str, dict[str, Any]] = {}
        topic = self.settings.topic(FINDINGS_TOPIC)
        for record in bus.read(self.settings.kafka.bootstrap_servers, [topic]):
            finding = orjson.loads(bus.value_of(record))
            latest[finding["finding_id"]] = finding
        return latest


@pytest.fixture
def world(kafka: str, postgres_dsn: str, tmp_path: Path) -> Iterator[World]:
    """Give an environment of the test's own."""
    settings = settings_of(kafka, postgres_dsn, LANES="2")
    with cleaned(settings):
        yield World(settings, tmp_path)


def until(condition: Callable[[], bool], world: World) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, (world.findings(), world.logs()[-4_000:])
        time.sleep(0.1)


def brute_force(log: Log, count: int, at: int = BEGIN) -> list[Entry]:
    """Return failed logins of one account, seconds apart."""
    first = len(log.entries)
    log.failures(at + first * SECOND, ADA, count, SECOND, ABROAD)
    return log.entries[first:]


async def test_an_attack_is_kept_and_published(world: World) -> None:
    """A brute-force attack that gets in is one finding, with its evidence, in store and topic."""
    with world.running():
        entries = brute_force(world.log, 12)
        world.log.login(BEGIN + 60 * SECOND, ADA, ABROAD, new_device=True)
        await world.store(world.log.entries)
        world.publish(world.log.entries)
        until(
            lambda: [each["severity"] for each in world.published().values()] == ["critical"], world
        )
        (finding,) = world.published().values()
        assert world.findings() == [("brute_force", ADA, "critical", 13)]
        assert finding["evidence"] == {"seqs": [*range(1, 14)], "alerts": []}
        assert finding["subject"] == {"type": "account", "value": ADA}
        assert finding["addresses"] == [ABROAD]
        assert finding["first_at"] == entries[0]["occurred_at"]
        assert finding["status"] == "open"


async def test_kill_in_the_middle_of_an_attack_loses_nothing(world: World) -> None:
    """Half of an attack read before kill -9, half after: one finding that rests on all of it."""
    with world.running() as killed:
        first = brute_force(world.log, 6)
        await world.store(first)
        world.publish(first)
        until(lambda: committed(world) > 0, world)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    second = brute_force(world.log, 6)
    await world.store(second)
    world.publish(second)
    with world.running():
        until(lambda: world.findings() == [("brute_force", ADA, "high", 12)], world)


async def test_two_workers_share_and_hand_over(world: World) -> None:
    """A second worker joins and the first leaves in the middle of attacks on six organizations."""
    logs = [Log(f"org-{number}") for number in range(6)]
    halves = [brute_force(log, 6) for log in logs]
    with world.running() as one:
        for half in halves:
            await world.store(half)
            world.publish(half)
        until(lambda: committed(world) > 0, world)
        with world.running():
            until(lambda: world.logs().count("partitions_assigned") >= 3, world)
            one.send_signal(signal.SIGTERM)
            for half in [brute_force(log, 6) for log in logs]:
                await world.store(half)
                world.publish(half)
            until(lambda: len(world.findings()) == len(logs), world)
            until(lambda: {each[3] for each in world.findings()} == {12}, world)
            assert one.wait(30) == 0


async def test_what_was_aborted_is_not_seen(world: World) -> None:
    """Records of an aborted transaction give no finding; those after it do."""
    aborted = brute_force(world.log, 20)
    world.publish(aborted, commit=False)
    other = Log("globex")
    real = brute_force(other, 10)
    await world.store(real)
    with world.running():
        world.publish(real)
        until(lambda: world.findings() != [], world)
        assert world.findings() == [("brute_force", ADA, "high", 10)]


async def test_acknowledges_past_the_ends_of_transactions(world: World) -> None:
    """What was read in many small transactions is acknowledged to its end when Defend ends."""
    entries = brute_force(world.log, 30)
    await world.store(entries)
    for each in entries:
        world.publish([each])
    with world.running():
        until(lambda: world.findings() == [("brute_force", ADA, "high", 30)], world)
    last = 2 * len(entries) - 2  # behind every record is the mark that ends its transaction
    assert committed(world) == last + 1


async def test_one_that_stands_ends_and_says_so(world: World, tmp_path: Path) -> None:
    """Faust with partitions that it does not fetch: the process ends, so that another can read."""
    impatient = world.settings.defend.model_copy(update={"stand_seconds_max": 2.0})
    settings = world.settings.model_copy(update={"defend": impatient})
    await world.store(brute_force(world.log, 2))
    db = await Database.open(settings.postgres.dsn.get_secret_value(), role=FORWARDER)
    try:
        defend = Defend(settings, db, tmp_path)
        running = asyncio.create_task(defend.run(asyncio.Event()))
        while not defend.ready()[0]:
            assert not running.done()
            await asyncio.sleep(0.1)
        consumer, loop = defend._transport.reader
        loop.call_soon_threadsafe(lambda: consumer.pause(*consumer.assignment()))
        world.publish(world.log.entries)
        with pytest.raises(BusOutage, match="Faust stands"):
            async with asyncio.timeout(30):
                await running
    finally:
        await db.close()


async def test_reads_on_however_long_the_bus_takes_to_say_from_where(
    proxied: Broker, proxy: KafkaProxy, postgres_dsn: str, tmp_path: Path
) -> None:
    """Offsets that come later than any time-out of the client are waited for, and read on from."""
    settings = settings_of(proxied.bootstrap_servers, postgres_dsn, LANES="2")
    slow = settings.kafka.model_copy(
        update={
            "bootstrap_servers": f"127.0.0.1:{proxied.proxy_port}",
            "request_timeout_ms": 1_000,
            "session_timeout_ms": 1_500,
            "heartbeat_interval_ms": 300,
        }
    )
    loop, held = asyncio.get_running_loop(), 2.5

    def hold_the_first(api: int, count: int) -> Deed:
        """Stop all answers for a while once somebody asks from where to go on."""
        if (api, count) == (Api.OFFSET_FETCH, 1):
            proxy.toxic.down_stopped = True
            loop.call_later(held, proxy.toxic.heal)
        return Deed.PASS

    with cleaned(settings):
        world = World(settings, tmp_path)
        await world.store(brute_force(world.log, 12))
        world.publish(world.log.entries)
        proxy.on_request = hold_the_first
        db, stop = await Database.open(postgres_dsn, role=FORWARDER), asyncio.Event()
        try:
            defend = Defend(settings.model_copy(update={"kafka": slow}), db, tmp_path)
            running = asyncio.create_task(defend.run(stop))
            async with asyncio.timeout(settings.defend.stand_seconds_max):
                while world.findings() != [("brute_force", ADA, "high", 12)]:
                    assert not running.done()
                    await asyncio.sleep(0.1)
            stop.set()
            await running
        finally:
            await db.close()
    assert proxy.seen[Api.OFFSET_FETCH] > 1


async def test_what_was_never_fetched_waits_as_well(world: World) -> None:
    """A partition of which nothing was fetched counts with all that it holds, not with nothing."""
    await world.store(brute_force(world.log, 2))
    world.publish(world.log.entries)
    kafka = world.settings.kafka
    consumer = AIOKafkaConsumer(**kafka.client_options(), isolation_level="read_committed")
    await consumer.start()
    try:
        consumer.assign(
            [
                At(name, lane)
                for name in topics(world.settings)
                for lane in range(world.settings.lanes)
            ]
        )
        await consumer.seek_to_beginning()
        consumer.pause(*consumer.assignment())
        assert all(consumer.last_stable_offset(at) is None for at in consumer.assignment())
        offsets = len(world.log.entries) + 1  # the mark that ends the transaction takes one
        assert await _waiting(consumer) == await _behind(consumer) == offsets
    finally:
        await consumer.stop()


async def test_garbage_on_the_telemetry_topic_stops_nothing(world: World) -> None:
    """What is no report is counted and set aside; the alert behind it is correlated."""
    alert = {
        "id": "rep-1", "time": world.log.add(BEGIN, "role.assigned", ADA)["occurred_at"],
        "orgid": "acme", "host": {"id": "h-1"}, "user": {"email": ADA.upper()},
        "process": {"name": "evil"}, "verdict": "malicious",
    }  # fmt: skip
    await world.store(world.log.entries)
    world.report(
        None, b"", b"{", b"\xff\x00", b"[1]", b'"' + b"x" * 70_000 + b'"',
        orjson.dumps(alert | {"id": "a\x00b"}), orjson.dumps(alert | {"time": "yesterday"}),
        orjson.dumps(alert | {"orgid": "a.b"}), orjson.dumps(alert | {"verdict": "bad"}),
        orjson.dumps(alert | {"time": "2099-01-01T00:00:00Z"}), orjson.dumps(alert),
    )  # fmt: skip
    with world.running():
        until(lambda: world.findings() == [("endpoint_alert", ADA, "critical", 1)], world)
        until(lambda: len(world.published()) == 1, world)
        (finding,) = world.published().values()
        assert finding["evidence"] == {"seqs": [1], "alerts": ["rep-1"]}


async def test_reading_everything_again_changes_nothing(world: World) -> None:
    """Another group reads the same topics from their beginning: same findings, same versions."""
    await world.store(brute_force(world.log, 12))
    world.publish(world.log.entries)
    with world.running():
        until(lambda: len(world.published()) == 1, world)
    before = world.published()
    again = World.__new__(World)
    again.__dict__ |= world.__dict__
    again.settings = world.settings.model_copy(update={"group": f"{world.settings.group}.again"})
    with again.running():
        until(lambda: committed(again) >= len(world.log.entries), again)
    assert world.published() == before
    assert world.findings() == [("brute_force", ADA, "high", 12)]


def committed(world: World) -> int:
    """Return the sum of the offsets that Defend's group has committed."""
    return sum(offsets(world).values())


def offsets(world: World) -> Mapping[tuple[str, int], int]:
    """Return the committed offsets of the topics of failed logins."""
    topic = world.settings.topic("hub.auth.login_failed")
    consumer = Consumer(
        {
            "bootstrap.servers": world.settings.kafka.bootstrap_servers,
            "group.id": f"{world.settings.group}.defend",
        }
    )
    try:
        parts = [TopicPartition(topic, n) for n in range(world.settings.lanes)]
        known = consumer.committed(parts, timeout=10)
        return {(each.topic, each.partition): max(0, each.offset) for each in known}
    finally:
        consumer.close()
