"""The lane's producer against a real broker: each hole of the client, and that it is closed."""

import asyncio
import secrets
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from processor.emit.producer import RETRY_BACKOFF_SECONDS, LaneProducer
from processor.emit.route import Outgoing
from processor.errors import BusOutage, Doubt, Fenced
from processor.ingest.consumer import Committed, Consumer
from processor.local.kafka import Broker
from processor.settings import Settings
from tests.integration import bus
from tests.integration.kafka_proxy import Api, Deed, KafkaProxy

pytestmark = pytest.mark.timeout(90)

LOADING = b"\x00\x00\x00\x00" + b"\x00\x00\x00\x00" + b"\x00\x0e"
"""An OffsetFetch answer, version 3: no throttling, no topics, COORDINATOR_LOAD_IN_PROGRESS."""


@pytest.fixture
def broker(proxied: Broker) -> Broker:
    """Give a broker that can be talked to through a proxy."""
    return proxied


@pytest.fixture
def names(broker: Broker) -> Iterator[tuple[str, str]]:
    """Give two topics of the test's own; the second refuses anything over 2 kB."""
    tag = secrets.token_hex(4)
    wide, narrow = f"wide-{tag}", f"narrow-{tag}"
    with (
        bus.topics(broker.bootstrap_servers, [wide]),
        bus.topics(broker.bootstrap_servers, [narrow], max_message_bytes="2048"),
    ):
        yield wide, narrow


def settings_for(bootstrap: str, **kafka: int) -> Settings:
    """Return settings for one lane of a group of the test's own."""
    return Settings(
        group=f"group-{secrets.token_hex(4)}",
        lanes=1,
        kafka={"bootstrap_servers": bootstrap, **kafka},
    )


def outgoing(topic: str, value: bytes) -> Outgoing:
    """Return a record for partition 0 of ``topic``."""
    return Outgoing(topic, 0, b"acme", value, [])


def values(broker: Broker, topic: str) -> list[bytes]:
    """Return what a read_committed reader finds in ``topic``."""
    return [bus.value_of(record) for record in bus.read(broker.bootstrap_servers, [topic])]


async def test_a_refused_record_fails_the_whole_transaction(
    broker: Broker, names: tuple[str, str]
) -> None:
    """A batch the broker refuses raises, nothing of the transaction shows, and the next works."""
    wide, narrow = names
    producer = LaneProducer(settings_for(broker.bootstrap_servers), 0)
    await producer.start()
    with pytest.raises(BusOutage):
        await producer.publish([outgoing(wide, b"1"), outgoing(narrow, b"x" * 9000)], {wide: 1}, 1)
    await producer.renew()
    await producer.publish([outgoing(wide, b"2"), outgoing(narrow, b"2")], {wide: 1}, 1)
    await producer.abandon()
    assert values(broker, wide) == [b"2"]
    assert values(broker, narrow) == [b"2"]


async def test_starting_fences_the_producer_that_had_the_lane(
    broker: Broker, names: tuple[str, str]
) -> None:
    """A worker that lost its lane while frozen can publish nothing when it wakes."""
    settings = settings_for(broker.bootstrap_servers)
    zombie, successor = LaneProducer(settings, 0), LaneProducer(settings, 0)
    await zombie.start()
    await successor.start()
    with pytest.raises(Fenced):
        await zombie.publish([outgoing(names[0], b"zombie")], {names[0]: 1}, 1)
    await successor.publish([outgoing(names[0], b"owner")], {names[0]: 1}, 1)
    await successor.abandon()
    assert values(broker, names[0]) == [b"owner"]


async def test_a_pending_transaction_is_ended_before_offsets_are_read(
    broker: Broker, names: tuple[str, str]
) -> None:
    """What a dead predecessor left open is aborted by the start, and its offset never counts."""
    settings = settings_for(broker.bootstrap_servers)
    lane = LaneProducer(settings, 0)
    await lane.start()
    await lane.publish([outgoing(names[0], b"1")], {names[0]: 1}, 1)
    dead = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap_servers,
        transactional_id=f"{settings.environment}.{settings.group}.0",
    )
    await dead.start()
    await dead.begin_transaction()
    await (await dead.send(names[0], b"half", partition=0))
    half = {TopicPartition(names[0], 0): OffsetAndMetadata(2, "batch=2")}
    await dead.send_offsets_to_transaction(half, settings.group)

    successor = LaneProducer(settings, 0)
    await successor.start()
    committed = await committed_of(settings, names[0])
    assert committed == {names[0]: Committed(1, 1)}
    assert values(broker, names[0]) == [b"1"]
    await successor.abandon()
    await lane.abandon()
    with pytest.raises(Exception):  # noqa: B017, PT011 - how it dies is the client's matter
        await dead.commit_transaction()
    await dead.stop()


async def test_a_late_copy_of_a_commit_cannot_end_the_next_transaction(
    broker: Broker, proxy: KafkaProxy, names: tuple[str, str]
) -> None:
    """A commit that was sent twice passes, and its first copy, arriving late, tears nothing."""
    wide, narrow = names
    proxied = f"127.0.0.1:{broker.proxy_port}"
    producer = LaneProducer(settings_for(proxied, request_timeout_ms=1500), 0)
    await producer.start()
    proxy.on_request = lambda api, n: Deed.HOLD if (api, n) == (Api.END_TXN, 1) else Deed.PASS
    await producer.publish([outgoing(wide, b"1")], {wide: 1}, 1)
    assert proxy.seen[Api.END_TXN] > 1

    with pytest.raises(BusOutage, match="in doubt"):
        await producer.publish([outgoing(wide, b"2")], {wide: 2}, 2)
    await producer.renew()
    with pytest.raises(BusOutage):
        await producer.publish([outgoing(wide, b"2"), outgoing(narrow, b"x" * 9000)], {wide: 2}, 2)
    assert await proxy.deliver_held() == 1
    await producer.start()
    await producer.abandon()
    assert values(broker, wide) == [b"1"]


async def test_an_unanswered_commit_is_told_from_a_failure(
    broker: Broker, proxy: KafkaProxy, names: tuple[str, str]
) -> None:
    """When no answer to the commit ever comes, the outcome is reported as unknown, in time."""
    proxied = f"127.0.0.1:{broker.proxy_port}"
    settings = settings_for(proxied, transaction_timeout_ms=3000)
    producer = LaneProducer(settings, 0)
    await producer.start()
    proxy.on_answer = lambda api, _: Deed.HOLD if api == Api.END_TXN else Deed.PASS
    with pytest.raises(Doubt, match="commit was not answered"):
        await producer.publish([outgoing(names[0], b"1")], {names[0]: 1}, 1)
    proxy.on_answer = lambda _api, _n: Deed.PASS
    await producer.start()
    assert await committed_of(settings, names[0]) == {names[0]: Committed(1, 1)}
    await producer.abandon()
    assert values(broker, names[0]) == [b"1"]


async def test_time_that_the_broker_does_not_give_is_not_asked_for_again(
    broker: Broker, names: tuple[str, str]
) -> None:
    """A time-out that was doubled beyond the broker's maximum is taken back, not tried for ever."""
    settings = settings_for(broker.bootstrap_servers, transaction_timeout_ms=40_000)
    producer = LaneProducer(settings, 0)
    producer._took(40.0, failed=True)
    with pytest.raises(BusOutage, match="InvalidTransactionTimeout"):
        await producer.start()
    await producer.start()
    await producer.publish([outgoing(names[0], b"1")], {names[0]: 1}, 1)
    await producer.abandon()
    assert values(broker, names[0]) == [b"1"]


async def test_offsets_are_asked_for_again_while_the_coordinator_loads(
    broker: Broker, proxy: KafkaProxy, names: tuple[str, str]
) -> None:
    """An answer that leaves a partition out is no answer, least of all "nothing committed"."""
    settings = settings_for(f"127.0.0.1:{broker.proxy_port}")
    producer = LaneProducer(settings, 0)
    await producer.start()
    await producer.publish([outgoing(names[0], b"1")], {names[0]: 42}, 7)
    await producer.abandon()
    proxy.seen.clear()
    proxy.on_answer = lambda api, n: LOADING if api == Api.OFFSET_FETCH and n <= 3 else Deed.PASS
    assert await committed_of(settings, names[0]) == {names[0]: Committed(42, 7)}
    assert proxy.seen[Api.OFFSET_FETCH] == 4


async def test_a_producer_without_a_broker_leaves_no_task_behind(
    broker: Broker, proxy: KafkaProxy, names: tuple[str, str]
) -> None:
    """Abandoning a producer in the middle of a transaction ends all that it had running."""
    settings = settings_for(f"127.0.0.1:{broker.proxy_port}", transaction_timeout_ms=2000)
    before = asyncio.all_tasks()
    producer = LaneProducer(settings, 0)
    await producer.start()
    proxy.on_answer = lambda api, _: Deed.HOLD if api == Api.PRODUCE else Deed.PASS
    with pytest.raises(BusOutage):
        await producer.publish([outgoing(names[0], b"1")], {names[0]: 1}, 1)
    await asyncio.sleep(0)
    mine = {task for task in asyncio.all_tasks() - before if "kafka_proxy" not in repr(task)}
    assert not mine


def test_a_commit_that_was_sent_once_is_faster_than_the_clients_backoff() -> None:
    """The bound from which a commit is in doubt is the pause the client makes before a second."""
    assert RETRY_BACKOFF_SECONDS == 0.5


async def committed_of(settings: Settings, topic: str) -> dict[str, Committed | None]:
    """Return what the group has committed for lane 0 of ``topic``, as the product reads it."""

    async def ignore(_lanes: frozenset[int]) -> None:
        """Have no lanes."""

    consumer = Consumer(
        settings, [topic], on_assigned=ignore, on_revoked=ignore, on_trouble=lambda *_: None
    )
    try:
        return await consumer.committed(0)
    finally:
        await consumer.stop()
