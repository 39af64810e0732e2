"""SIEM subscriptions on a real Kafka and Postgres: in order, exactly once, whatever happens."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from processor.emit import topics
from processor.forward.forwarder import Forwarder
from processor.forward.shard import MISSING, Shard
from processor.store import subscriptions as store
from processor.store.leases import Leases
from schemas.subscription import Filter
from tests.integration import bus
from tests.integration.forwarding import ORG, SHARD, World, begun, lift_head
from tests.integration.ops import configure
from tests.integration.store import query, until
from tests.scraped import sample

OUTAGE_AT_RELEASE = """
CREATE FUNCTION go_away() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION USING ERRCODE = 'admin_shutdown'; END $$;
CREATE TRIGGER go_away BEFORE UPDATE ON forward_shards FOR EACH ROW
WHEN (new.owner IS NULL) EXECUTE FUNCTION go_away()
"""

pytestmark = pytest.mark.timeout(90)


async def test_entries_come_in_order_and_each_says_what_was_before_it(
    world: World, shard: Shard
) -> None:
    """A subscriber gets every entry from its subscription on, with the whole entry as value."""
    await world.happen(3)
    siem = await world.subscribe()
    await world.happen(5)
    await world.rounds(shard)
    await world.happen(2)
    await world.rounds(shard)
    assert siem.seqs() == [4, 5, 6, 7, 8, 9, 10]
    first = siem.records()[0]
    assert orjson.loads(first[""])["seq"] == 4
    del first[""]
    assert first == {
        "content-type": "application/json",
        "hub_entry_id": first["hub_entry_id"],
        "hub_seq": "4",
        "hub_action": "auth.login_success",
        "hub_previous_seq": "3",
        "hub_through_seq": "4",
    }
    siem.assert_complete(10)
    standing = await world.standing()
    assert (standing.forwarded_through, standing.told_through) == (10, 10)
    assert standing.delivered_at is not None


async def test_filter_leaves_holes_that_the_chain_explains(world: World, shard: Shard) -> None:
    """What a filter holds back is in no record, and no doubt is left by that."""
    siem = await world.subscribe(wanted=Filter(actions=("user.created",)))
    await world.happen(4)
    await world.happen(1, action="user.created", category="users", severity=4)
    await world.happen(3)
    await world.rounds(shard)
    assert siem.seqs() == [5]
    assert [r["hub_previous_seq"] for r in siem.live()] == ["0"]
    standing = await world.standing()
    assert (standing.forwarded_through, standing.told_through) == (8, 5)


async def test_shard_that_has_sent_all_it_saw_is_level(world: World, shard: Shard) -> None:
    """Where something new comes before every look, nobody is behind for all that."""
    await world.subscribe()
    for _ in range(3):
        await world.happen(2)
        before = time.time()
        assert await shard.round()
        assert sample("forward_level_timestamp_seconds", shard=str(SHARD)) >= before


async def test_silence_is_broken_by_a_heartbeat(world: World) -> None:
    """A subscriber for whom nothing passes its filter still learns how far that is."""
    world.settings = world.settings.model_copy(
        update={"forward": world.settings.forward.model_copy(update={"heartbeat_seconds": 0.01})}
    )
    siem = await world.subscribe(wanted=Filter(actions=("user.created",)))
    await world.happen(4)
    async with begun(world) as shard:
        async with asyncio.timeout(10):
            while not siem.records():
                await shard.round()
    beat = siem.records()[-1]
    said = orjson.loads(beat[""])
    assert datetime.fromisoformat(said["hub_heartbeat"].pop("at")).tzinfo is not None
    assert said == {
        "hub_heartbeat": {"org_id": ORG, "through_seq": 4, "previous_seq": 0, "gaps": []}
    }
    assert (beat["hub_heartbeat"], beat["hub_through_seq"]) == ("true", "4")


async def test_place_is_kafkas_when_postgres_lags_behind(world: World, shard: Shard) -> None:
    """A forwarder that died before Postgres heard of its delivery repeats nothing."""
    siem = await world.subscribe()
    await world.happen(5)
    await world.rounds(shard)
    await world.execute("UPDATE subscriptions SET forwarded_through = 0, told_through = 0")
    async with begun(world) as successor:
        await world.happen(2)
        await world.rounds(successor)
    assert siem.seqs() == [1, 2, 3, 4, 5, 6, 7]
    siem.assert_complete(7)


async def test_order_that_was_carried_out_but_not_noted_is_noted_by_the_next(
    world: World, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ended between the bus and Postgres leaves no replay, no test and no entry open."""
    siem = await world.subscribe()
    await world.happen(5)
    await world.rounds(shard)
    await world.happen(1)
    await store.order_replay(world.db, ORG, "hub", 2, None)
    await store.order_test(world.db, ORG, "hub")
    with monkeypatch.context() as patch:
        patch.setattr(store, "note_delivered", _killed)
        with pytest.raises(asyncio.CancelledError):
            await shard.round()
    await shard.end()
    sent = len(siem.records())
    async with begun(world) as successor:
        await world.rounds(successor)
    standing = await world.standing()
    assert (standing.replay, standing.replayed_through, standing.test_id) == (None, 5, None)
    assert (standing.forwarded_through, standing.told_through) == (6, 6)
    assert len(siem.records()) == sent == 10


async def _killed(*_: object) -> None:
    raise asyncio.CancelledError


async def test_place_is_postgress_when_kafka_forgot_it(world: World, shard: Shard) -> None:
    """A topic that was made anew gets what comes, not what the old one had."""
    siem = await world.subscribe()
    await world.happen(5)
    await world.rounds(shard)
    bus.delete(world.settings.kafka.bootstrap_servers, [siem.topic])
    await topics.create_siem(world.settings, siem.topic)
    await world.happen(2)
    async with begun(world) as successor:
        await world.rounds(successor)
    assert siem.seqs() == [6, 7]
    siem.assert_complete(7)


async def test_pause_keeps_the_place(world: World, shard: Shard) -> None:
    """A paused subscription gets nothing, and everything when it goes on."""
    siem = await world.subscribe()
    await world.happen(2)
    await world.rounds(shard)
    assert await store.set_paused(world.db, ORG, "hub", paused=True)
    await world.happen(3)
    await world.rounds(shard)
    assert siem.seqs() == [1, 2]
    assert await store.set_paused(world.db, ORG, "hub", paused=False)
    await world.rounds(shard)
    assert siem.seqs() == [1, 2, 3, 4, 5]


async def test_replay_is_a_chain_of_its_own_and_moves_nothing(world: World, shard: Shard) -> None:
    """Entries that are wanted again come again once, say so, and leave the live place alone."""
    siem = await world.subscribe()
    await world.happen(6)
    await world.rounds(shard)
    assert await store.order_replay(world.db, ORG, "hub", 2, 5) == 5
    await world.happen(1)
    await world.rounds(shard)
    async with begun(world) as successor:
        await world.rounds(successor)
    assert siem.seqs() == [1, 2, 3, 4, 5, 6, 7]
    replayed = [record for record in siem.records() if "hub_replay" in record]
    assert len({record["hub_replay"] for record in replayed}) == 1
    marks = [(r["hub_previous_seq"], r["hub_seq"], r["hub_through_seq"]) for r in replayed]
    assert marks == [("2", "3", "3"), ("3", "4", "4"), ("4", "5", "5")]
    originals = {record["hub_seq"]: record["hub_entry_id"] for record in siem.live()}
    assert all(originals[record["hub_seq"]] == record["hub_entry_id"] for record in replayed)
    siem.assert_complete(7)
    assert (await world.standing()).replay is None


async def test_test_event_says_what_it_is_and_comes_once(world: World, shard: Shard) -> None:
    """A test event needs no entry, has the number that no entry has, and moves nothing."""
    siem = await world.subscribe()
    assert await store.order_test(world.db, ORG, "hub")
    await world.rounds(shard)
    async with begun(world) as successor:
        await world.rounds(successor)
    (sent,) = siem.records()
    assert "hub_test" in sent
    assert sent["hub_seq"] == "0"
    assert (sent["hub_previous_seq"], sent["hub_through_seq"]) == ("0", "0")
    at = datetime.fromisoformat(orjson.loads(sent[""])["occurred_at"])
    assert datetime.now(UTC) - at < timedelta(minutes=2)
    assert (await world.standing()).test_id is None


async def test_subscription_without_a_topic_hurts_no_other(world: World, shard: Shard) -> None:
    """A missing topic is said to be missing; everybody else is served, and later so is it."""
    siem, poor = await world.subscribe(), await world.subscribe(org_id="globex")
    bus.delete(world.settings.kafka.bootstrap_servers, [poor.topic])
    await world.happen(2)
    await world.happen(2, org_id="globex")
    await world.rounds(shard)
    assert siem.seqs() == [1, 2]
    said = (await world.standing("globex")).error
    assert said == MISSING.format(topic=poor.topic)
    await topics.create_siem(world.settings, poor.topic)
    async with begun(world) as successor:
        await world.rounds(successor)
    assert poor.seqs() == [1, 2]
    assert (await world.standing("globex")).error is None


async def test_topic_that_refuses_hurts_no_other(world: World, shard: Shard) -> None:
    """An entry that is too large for its topic stops its own subscription alone."""
    siem, narrow = await world.subscribe(), await world.subscribe(org_id="globex")
    configure(world.settings.kafka.bootstrap_servers, narrow.topic, "max.message.bytes", "300")
    await world.happen(2)
    await world.happen(2, org_id="globex")
    await world.rounds(shard)
    assert siem.seqs() == [1, 2]
    said = (await world.standing("globex")).error
    assert said == "an entry is larger than the topic's max.message.bytes: raise that to 1048588"
    assert (await world.standing("globex")).forwarded_through == 0


async def test_numbers_that_are_gone_are_named(world: World, shard: Shard) -> None:
    """What retention removed before it was forwarded is a hole that a heartbeat explains."""
    siem = await world.subscribe()
    await world.happen(4)
    await lift_head(world, ORG, 3)
    await world.happen(2)
    await world.rounds(shard)
    assert siem.seqs() == [1, 2, 3, 4, 8, 9]
    (beat,) = [record for record in siem.records() if "hub_heartbeat" in record]
    assert orjson.loads(beat[""])["hub_heartbeat"]["gaps"] == [
        {"first_seq": 5, "last_seq": 7, "reason": "recovered"}
    ]
    siem.assert_complete(9)


async def test_forwarders_share_the_shards_and_take_over(world: World) -> None:
    """Two forwarders hold half each; when one leaves, the other holds all."""
    ids = [uuid.UUID(int=n) for n in (1, 2)]
    one, two = (Leases(world.db, instance, 5.0) for instance in ids)
    assert len(await one.refresh()) == 8
    held = await two.refresh()
    assert held == frozenset()
    lost = frozenset(range(8)) - await one.refresh()
    await one.release(lost)
    assert await two.refresh() == lost
    assert len(lost) == 4
    await two.leave()
    assert len(await one.refresh()) == 8


async def test_forwarder_delivers_live_until_it_is_told_to_stop(world: World) -> None:
    """A whole forwarder picks up subscriptions and entries as they come, and leaves in order."""
    stop = asyncio.Event()
    running = asyncio.create_task(Forwarder(world.settings, world.db, uuid.UUID(int=7)).run(stop))
    siem = await world.subscribe()
    await world.happen(20)
    async with asyncio.timeout(30):
        while (await world.standing()).forwarded_through < 20:  # noqa: ASYNC110 - in Postgres
            await asyncio.sleep(0.05)
    stop.set()
    await running
    assert siem.seqs() == list(range(1, 21))
    async with world.db.connection() as connection:
        assert await connection.fetchval("SELECT count(owner) FROM forward_shards") == 0


@asynccontextmanager
async def leasing(world: World, lease_seconds: float) -> AsyncIterator[asyncio.Task[None]]:
    """Have a whole forwarder with leases of a length, for the length of a block."""
    stop = asyncio.Event()
    forward = world.settings.forward.model_copy(update={"lease_seconds": lease_seconds})
    settings = world.settings.model_copy(update={"forward": forward})
    running = asyncio.create_task(Forwarder(settings, world.db, uuid.UUID(int=7)).run(stop))
    yield running
    stop.set()
    await running


async def test_forwarder_with_a_long_lease_is_seen_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks whether one is there does not wait for as long as a lease may be."""
    monkeypatch.setattr(store, "FORWARDING_SECONDS", 1.5)
    async with leasing(world, 300.0):
        dsn = world.settings.postgres.dsn.get_secret_value()
        await until(dsn, "SELECT count(*) = 1 FROM forwarders")
        query(dsn, "UPDATE forwarders SET seen_at = now() - interval '1 minute'")
        await until(dsn, "SELECT seen_at > now() - interval '30 s' FROM forwarders")


async def test_forwarder_outlives_an_outage_while_it_gives_shards_back(world: World) -> None:
    """What could not be given back is another one's when its lease ends; the rest goes on."""
    async with leasing(world, 2.0) as running:
        dsn = world.settings.postgres.dsn.get_secret_value()
        await until(dsn, "SELECT count(owner) = 8 FROM forward_shards")
        query(dsn, OUTAGE_AT_RELEASE)
        other = Leases(world.db, uuid.UUID(int=8), 2.0)
        async with asyncio.timeout(30):
            while len(await other.refresh()) < 4:  # noqa: ASYNC110 - in Postgres
                await asyncio.sleep(0.2)
        assert not running.done()
