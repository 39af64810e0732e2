"""Commits without an answer, and a coordinator that forgot them: a SIEM gets nothing twice."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from processor.errors import Doubt
from processor.forward import packing
from processor.forward.shard import Shard
from processor.local.kafka import Broker
from processor.store import subscriptions as store
from schemas.subscription import Filter
from tests.integration.forwarding import ORG, World, a_world, begun, lift_head
from tests.integration.kafka_proxy import Api, Deed, KafkaProxy, always_pass
from tests.integration.ops import settings_of

CREATED: dict[str, Any] = {"action": "user.created", "category": "users", "severity": 4}

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


@pytest.fixture
async def shard(world: World, proxied: Broker, proxy: KafkaProxy) -> AsyncIterator[Shard]:
    """Give a shard that has begun, and comes to the bus through the proxy."""
    kafka = world.settings.kafka.model_copy(
        update={"bootstrap_servers": f"127.0.0.1:{proxied.proxy_port}"}
    )
    settings = world.settings.model_copy(update={"kafka": kafka})
    async with begun(World(settings, world.db, world.db)) as shard:
        yield shard


async def in_doubt(shard: Shard, proxy: KafkaProxy, *, arrives: bool) -> None:
    """Do a round whose commit is not answered, whether it arrives or not."""
    disturbed = "on_answer" if arrives else "on_request"
    setattr(proxy, disturbed, lambda api, _: Deed.HOLD if api == Api.END_TXN else Deed.PASS)
    with pytest.raises(Doubt):
        await shard.round()
    setattr(proxy, disturbed, always_pass)


@pytest.mark.parametrize("arrives", [True, False])
async def test_commit_that_was_not_answered_and_is_forgotten(
    world: World, shard: Shard, proxy: KafkaProxy, *, arrives: bool
) -> None:
    """Whether it took place is read from the topic, whatever the group's offsets say."""
    siem, other = await world.subscribe(), await world.subscribe(org_id="globex")
    await world.happen(5)
    await world.rounds(shard)
    await world.happen(2)
    await world.happen(3, org_id="globex")
    await in_doubt(shard, proxy, arrives=arrives)
    await shard.begin()
    forgotten(world)
    await world.rounds(shard)
    await world.happen(1)
    await world.rounds(shard)
    assert siem.seqs() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert other.seqs() == [1, 2, 3]
    siem.assert_complete(8)


async def test_what_another_sent_meanwhile_proves_nothing_of_the_rest(
    world: World, shard: Shard, proxy: KafkaProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A successor sends the same entries in other transactions: each subscription has its own."""
    siem, other = await world.subscribe(), await world.subscribe(org_id="globex")
    await world.rounds(shard)
    await world.happen(1)
    await world.happen(5, org_id="globex")
    await in_doubt(shard, proxy, arrives=False)
    with monkeypatch.context() as patch:
        patch.setattr(packing, "ENTRIES_MIN", 2)
        patch.setattr(packing, "ENTRIES_MAX", 2)
        async with begun(world) as successor:
            await successor.round()
    assert (siem.seqs(), other.seqs()) == ([1], [1, 2])
    await shard.begin()
    await world.rounds(shard)
    assert (siem.seqs(), other.seqs()) == ([1], [1, 2, 3, 4, 5])
    other.assert_complete(5)


async def test_heartbeats_of_a_replay_prove_nothing(
    world: World, shard: Shard, proxy: KafkaProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay across numbers that are gone has several of them, each like the others."""
    monkeypatch.setattr(packing, "ENTRIES_MIN", 2)
    monkeypatch.setattr(packing, "ENTRIES_MAX", 2)
    siem = await world.subscribe()
    for _ in range(3):
        await world.happen(2)
        await lift_head(world, ORG, 3)
    await world.happen(2)
    await world.rounds(shard)
    await store.order_replay(world.db, ORG, "hub", 0, None)
    for _ in range(2):
        await shard.round()
    await in_doubt(shard, proxy, arrives=False)
    await shard.begin()
    await world.rounds(shard)
    again = [each["hub_seq"] for each in siem.records() if {"hub_replay", "hub_seq"} <= each.keys()]
    assert again == [str(seq) for seq in siem.seqs()]


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


async def test_replay_goes_on_from_what_its_subscriber_was_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who goes on from the row states as the previous number the one that was sent before it."""
    monkeypatch.setattr(packing, "ENTRIES_MIN", 2)
    monkeypatch.setattr(packing, "ENTRIES_MAX", 2)
    siem = await world.subscribe(wanted=Filter(actions=("user.created",)))
    for matching in (True, False, False, True, False):
        await world.happen(1, **(CREATED if matching else {}))
    async with begun(world) as shard:
        await world.rounds(shard)
        await store.order_replay(world.db, ORG, "hub", 0, None)
        await shard.round()
    forgotten(world)
    async with begun(world) as successor:
        await world.rounds(successor)
    chain = [
        (int(each["hub_previous_seq"]), int(each["hub_through_seq"]))
        for each in siem.records()
        if "hub_replay" in each
    ]
    assert chain == [(0, 1), (1, 4), (4, 5)]
    standing = await world.standing()
    assert (standing.replay, standing.replayed_through) == (None, 5)
