"""Defend where the bus, or Faust, does not answer: it goes on, or ends and says why."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as At

from processor.defend.app import Defend, topics
from processor.defend.transport import _behind, _waiting
from processor.emit.route import partition_of
from processor.errors import BusOutage
from processor.local.kafka import Broker
from processor.normalize.instant import render
from processor.store import findings
from processor.store.findings import NewFinding
from processor.store.pool import FORWARDER, Database
from schemas.finding import ALERTS_TOLD_MAX, FINDINGS_TOPIC, SEQS_TOLD_MAX
from tests.integration.defending import (
    ADA,
    BEGIN,
    World,
    a_world,
    brute_force,
    committed,
    until,
)
from tests.integration.kafka_proxy import Api, Deed, KafkaProxy
from tests.integration.ops import configure
from tests.scraped import sample

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def world(kafka: str, postgres_dsn: str, tmp_path: Path) -> Iterator[World]:
    """Give an environment of the test's own."""
    with a_world(kafka, postgres_dsn, tmp_path) as world:
        yield world


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


async def test_one_that_reads_complains_of_nothing(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Longer than Faust waits for its stream, while some partitions get records and others none."""
    quick = world.settings.defend.model_copy(update={"commit_seconds": 0.4})
    settings = world.settings.model_copy(update={"defend": quick})
    dsn = settings.postgres.dsn.get_secret_value()
    db, stop = await Database.open(dsn, role=FORWARDER), asyncio.Event()
    try:
        defend = Defend(settings, db, tmp_path)
        defend._app.conf.stream_processing_timeout = 1.0
        running = asyncio.create_task(defend.run(stop))
        for _ in range(8):  # one commit after the other takes longer than that
            before, news = committed(world), brute_force(world.log, 2)
            await world.store(news)
            world.publish(news)
            await holds(lambda before=before: committed(world) > before, running)  # type: ignore[misc]
        stop.set()
        await running
    finally:
        await db.close()
    complaints = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert [each.getMessage() for each in complaints] == []


async def test_reads_on_however_long_the_bus_takes_to_say_from_where(
    proxied: Broker, proxy: KafkaProxy, postgres_dsn: str, tmp_path: Path
) -> None:
    """Offsets that come later than any time-out of the client are waited for, and read on from."""
    loop, held = asyncio.get_running_loop(), 2.5

    def hold_the_first(api: int, count: int) -> Deed:
        """Stop all answers for a while once somebody asks from where to go on."""
        if (api, count) == (Api.OFFSET_FETCH, 1):
            proxy.toxic.down_stopped = True
            loop.call_later(held, proxy.toxic.heal)
        return Deed.PASS

    with a_world(proxied.bootstrap_servers, postgres_dsn, tmp_path) as world:
        await world.store(brute_force(world.log, 12))
        world.publish(world.log.entries)
        proxy.on_request = hold_the_first
        slow = world.settings.kafka.model_copy(
            update={
                "bootstrap_servers": f"127.0.0.1:{proxied.proxy_port}",
                "request_timeout_ms": 1_000,
                "session_timeout_ms": 1_500,
                "heartbeat_interval_ms": 300,
            }
        )
        settings = world.settings.model_copy(update={"kafka": slow})
        db, stop = await Database.open(postgres_dsn, role=FORWARDER), asyncio.Event()
        try:
            running = asyncio.create_task(Defend(settings, db, tmp_path).run(stop))
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


def a_finding(number: int, seqs: int, alerts: int = 0) -> NewFinding:
    """Return what an organization's flood is found to rest on, with the longest ids there are."""
    ids = [f"{n:04d}" + "\N{FIRE}" * 252 for n in range(alerts)]
    first = 10**18
    return NewFinding(
        f"01a207d9-217b-828a-a137-81caa759c1b{number}", f"org-{number}", "endpoint_alert",
        "critical", "account", ADA, BEGIN, BEGIN, BEGIN, [ADA], ["192.0.2.1"],
        range(first, first + seqs), ids,
    )  # fmt: skip


@asynccontextmanager
async def defending(
    world: World, directory: Path
) -> AsyncIterator[tuple[asyncio.Task[None], Database]]:
    """Have Defend in this process for the length of a block, and the store as it works on it."""
    dsn = world.settings.postgres.dsn.get_secret_value()
    db, stop = await Database.open(dsn, role=FORWARDER), asyncio.Event()
    running = asyncio.create_task(Defend(world.settings, db, directory).run(stop))
    try:
        yield running, db
        stop.set()
        await running
    finally:
        running.cancel()
        await db.close()


async def holds(condition: Callable[[], bool], running: asyncio.Task[None]) -> None:
    """Wait until a condition holds, as long as Defend runs."""
    async with asyncio.timeout(30):
        while not condition():
            assert not running.done(), running
            await asyncio.sleep(0.1)


async def test_findings_that_are_refused_hold_up_no_others(world: World, tmp_path: Path) -> None:
    """One that its topic does not take waits, and is published when the topic takes it."""
    topic, kafka = world.settings.topic(FINDINGS_TOPIC), world.settings.kafka.bootstrap_servers
    configure(kafka, topic, "max.message.bytes", "20000")
    async with defending(world, tmp_path) as (running, db):
        await findings.keep(db, [a_finding(number, seqs) for number, seqs in enumerate((5_000, 5))])
        await holds(lambda: sample("defend_unpublished_findings") == 1, running)
        assert [each["org_id"] for each in world.published().values()] == ["org-1"]
        configure(kafka, topic, "max.message.bytes", "1048588")
        await holds(lambda: sample("defend_unpublished_findings") == 0, running)
        told = world.published().values()
        assert sorted((each["org_id"], len(each["evidence"]["seqs"])) for each in told) == [
            ("org-0", 5_000), ("org-1", 5)
        ]  # fmt: skip


async def test_finding_that_rests_on_more_than_a_record_holds_is_published(world: World) -> None:
    """With as much of its evidence as there is room for, whatever that consists of."""
    dsn = world.settings.postgres.dsn.get_secret_value()
    db = await Database.open(dsn, role=FORWARDER)
    try:
        await findings.keep(db, [a_finding(0, 2 * SEQS_TOLD_MAX, 2 * ALERTS_TOLD_MAX)])
    finally:
        await db.close()
    with world.running():
        until(lambda: len(world.published()) == 1, world)
    (told,) = world.published().values()
    assert told["evidence"]["seqs"] == [10**18 + n for n in range(SEQS_TOLD_MAX)]
    assert [each[:4] for each in told["evidence"]["alerts"]] == [
        f"{n:04d}" for n in range(ALERTS_TOLD_MAX)
    ]


async def test_alert_on_another_s_partition_is_counted(world: World, tmp_path: Path) -> None:
    """Whoever sends with another partitioner loses findings where there are two workers."""
    lanes = world.settings.lanes
    orgs = sorted((f"org-{n}" for n in range(9)), key=lambda org: partition_of(org, lanes))
    alert = {
        "id": "rep-1", "time": render(BEGIN), "host": {"id": "h-1"},
        "process": {"name": "evil"}, "verdict": "malicious",
    }  # fmt: skip
    world.report(*(orjson.dumps(alert | {"orgid": org}) for org in (orgs[0], orgs[-1])))
    before = sample("defend_strays_total"), sample("defend_events_total", source="telemetry")
    async with defending(world, tmp_path) as (running, _):
        await holds(
            lambda: sample("defend_events_total", source="telemetry") == before[1] + 2, running
        )
    assert sample("defend_strays_total") == before[0] + 1
