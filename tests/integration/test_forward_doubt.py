"""Commits without an answer, and a coordinator that forgot them: a SIEM gets nothing twice."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from confluent_kafka.admin import AdminClient

from processor.errors import Doubt
from processor.forward import packing
from processor.local.kafka import Broker
from processor.store import subscriptions as store
from tests.integration.forwarding import ORG, World, a_world, begun
from tests.integration.kafka_proxy import Api, Deed, KafkaProxy, always_pass
from tests.integration.ops import settings_of

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def world(proxied: Broker, postgres_dsn: str) -> AsyncIterator[World]:
    """Give an environment on the broker that has a proxy."""
    settings = settings_of(
        proxied.bootstrap_servers,
        postgres_dsn,
        FORWARD_HEARTBEAT_SECONDS="3600",
        KAFKA_TRANSACTION_TIMEOUT_MS="3000",
        KAFKA_REQUEST_TIMEOUT_MS="1500",
    )
    async with a_world(settings) as world:
        yield world


def forgotten(world: World) -> None:
    """Have the coordinator know nothing of the group any more."""
    admin = AdminClient({"bootstrap.servers": world.settings.kafka.bootstrap_servers})
    group = f"{world.settings.group}.forward"
    admin.delete_consumer_groups([group])[group].result(10)


@pytest.mark.parametrize("arrives", [True, False])
async def test_commit_that_was_not_answered_and_is_forgotten(
    world: World, proxied: Broker, proxy: KafkaProxy, *, arrives: bool
) -> None:
    """Whether it took place is read from the topic, whatever the group's offsets say."""
    siem = await world.subscribe()
    through = world.settings.kafka.model_copy(
        update={"bootstrap_servers": f"127.0.0.1:{proxied.proxy_port}"}
    )
    disturbed = World(world.settings.model_copy(update={"kafka": through}), world.db, world.db)
    async with begun(disturbed) as shard:
        await world.happen(5)
        await world.rounds(shard)
        await world.happen(2)
        if arrives:
            proxy.on_answer = lambda api, _: Deed.HOLD if api == Api.END_TXN else Deed.PASS
        else:
            proxy.on_request = lambda api, _: Deed.HOLD if api == Api.END_TXN else Deed.PASS
        with pytest.raises(Doubt):
            await shard.round()
        proxy.on_answer = proxy.on_request = always_pass
        await shard.begin()
        forgotten(world)
        await world.rounds(shard)
        await world.happen(1)
        await world.rounds(shard)
    assert siem.seqs() == [1, 2, 3, 4, 5, 6, 7, 8]
    siem.assert_complete(8)


@pytest.mark.parametrize("successor", [True, False])
async def test_replay_goes_on_though_the_group_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch, *, successor: bool
) -> None:
    """A forwarder knows what it knew before its producer started again; another reads the row."""
    monkeypatch.setattr(packing, "ENTRIES_MIN", 2)
    monkeypatch.setattr(packing, "ENTRIES_MAX", 2)
    siem = await world.subscribe()
    await world.happen(5)
    async with AsyncExitStack() as shards:
        shard = await shards.enter_async_context(begun(world))
        await world.rounds(shard)
        await store.order_replay(world.db, ORG, "hub", 0, None)
        await shard.round()
        if successor:
            shard = await shards.enter_async_context(begun(world))
        else:
            await shard.begin()
        forgotten(world)
        await world.rounds(shard)
    again = [each["hub_seq"] for each in siem.records() if "hub_replay" in each]
    assert again == ["1", "2", "3", "4", "5"]
    assert siem.seqs() == [1, 2, 3, 4, 5]
