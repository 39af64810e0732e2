"""SIEM subscriptions when something is wrong: topics that go, rows that rot, entries purged."""

import asyncio
import re
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime

import orjson
import pytest

from processor.emit import topics
from processor.emit.own_events import OwnEvents
from processor.forward import packing
from processor.forward.control import AlreadySubscribed, Control
from processor.forward.packing import BYTES_MAX, packed
from processor.forward.shard import MISSING, NOT_TAKEN, Shard
from processor.settings import Settings
from processor.siem import FORMATS
from processor.store import retention
from processor.store import subscriptions as store
from processor.store.maintenance import alone, maintenance
from processor.store.subscriptions import Subscription
from schemas.catalogue import FormatName
from schemas.subscription import Filter, topic_of
from tests.integration import bus
from tests.integration.forwarding import ORG, SHARD, World, lift_head
from tests.integration.ops import configure

pytestmark = pytest.mark.timeout(90)

FIRST_SEQ = re.compile(r"first_seq\W+(\d+)")


@pytest.mark.parametrize("taken_over", [False, True])
async def test_subscription_made_anew_begins_anew(
    world: World, shard: Shard, *, taken_over: bool
) -> None:
    """What was deleted and made again gets what comes from then on, in a chain of its own."""
    siem = await world.subscribe(wanted=Filter(actions=("user.created",)))
    await world.happen(3)
    await world.rounds(shard)
    assert await store.delete(world.db, (await world.standing()).id)
    await world.happen(2)
    await world.subscribe_again()
    if taken_over:
        await shard.begin()
    await world.happen(2)
    await world.rounds(shard)
    assert [(r["hub_previous_seq"], r["hub_seq"]) for r in siem.live()] == [("5", "6"), ("6", "7")]


async def test_subscription_made_anew_at_the_same_head_says_so(world: World, shard: Shard) -> None:
    """Its first record goes back to its beginning, not to what the old one had told."""
    siem = await world.subscribe(wanted=Filter(actions=("user.created",)))
    await world.happen(3)
    await world.rounds(shard)
    assert await store.delete(world.db, (await world.standing()).id)
    await world.subscribe_again()
    await shard.begin()
    await world.happen(1)
    await world.rounds(shard)
    assert [(r["hub_previous_seq"], r["hub_seq"]) for r in siem.live()] == [("3", "4")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            """filter = '{"actions": ["user.levitated"]}'""",
            "this version does not understand its filter",
        ),
        ("format = 'smoke'", "this version does not know the format smoke"),
    ],
)
async def test_row_that_cannot_be_read_hurts_no_other(
    world: World, shard: Shard, change: str, said: str
) -> None:
    """A row of another version stops its own subscription alone, with words."""
    siem = await world.subscribe()
    await world.subscribe(org_id="globex")
    await world.execute(f"UPDATE subscriptions SET {change} WHERE org_id = 'globex'")  # noqa: S608
    await world.happen(2)
    await world.happen(2, org_id="globex")
    await world.rounds(shard)
    assert siem.seqs() == [1, 2]
    (poor,) = await store.listed(world.db, "globex")
    assert (poor.state, poor.error, poor.forwarded_through) == ("failing", said, 0)


async def test_text_of_an_operators_tool_is_no_place(world: World, shard: Shard) -> None:
    """A group's offset that was reset by hand leaves the place that Postgres knows."""
    siem = await world.subscribe()
    await world.happen(3)
    await world.rounds(shard)
    bus.commit(world.settings.kafka.bootstrap_servers, shard._group, siem.topic, "{reset")
    await shard.begin()
    await world.happen(1)
    await world.rounds(shard)
    assert siem.seqs() == [1, 2, 3, 4]
    siem.assert_complete(4)


async def test_topic_that_goes_under_a_forwarder_hurts_no_other(world: World) -> None:
    """Deleted in full run, it is said to be missing, and the others are served, never set aside."""
    world.settings = quick(world.settings)
    siem, poor = await world.subscribe(), await world.subscribe(org_id="globex")
    await world.happen(1)
    await world.happen(1, org_id="globex")
    running = Shard(world.settings, world.db, SHARD)
    task = asyncio.create_task(running.run())
    try:
        await world.until(lambda each: each.forwarded_through == 1, "globex")
        bus.delete(world.settings.kafka.bootstrap_servers, [poor.topic])
        await world.happen(2)
        await world.happen(2, org_id="globex")
        await world.until(served(3))
        await world.until(lambda each: each.error is not None, "globex")
        assert (await world.standing("globex")).error == MISSING.format(topic=poor.topic)
        await topics.create_siem(world.settings, poor.topic)
        assert await store.set_paused(world.db, "globex", "hub", paused=False)  # tries at once
        await world.until(lambda each: each.forwarded_through == 3, "globex")
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert siem.seqs() == [1, 2, 3]
    assert poor.seqs() == [2, 3]


async def test_topic_that_is_refused_without_a_name_hurts_no_other(world: World) -> None:
    """What the bus refuses without a word about whose fault it is, is found out one by one."""
    forward = world.settings.forward.model_copy(update={"heartbeat_seconds": 1.0})
    world.settings = quick(world.settings).model_copy(update={"forward": forward})
    siem, poor = await world.subscribe(), await world.subscribe(org_id="globex")
    bootstrap = world.settings.kafka.bootstrap_servers
    said = NOT_TAKEN.format(said="UnknownError")
    # A heartbeat has no key, and a compacted topic takes no record without one. A limit of age
    # would refuse the marker that ends the transaction as well, and so whoever comes next.
    configure(bootstrap, poor.topic, "cleanup.policy", "compact")
    await world.happen(2)
    task = asyncio.create_task(Shard(world.settings, world.db, SHARD).run())
    try:
        await world.until(lambda each: each.forwarded_through == 2)
        await world.until(lambda each: each.error == said, "globex")
        await world.happen(2)
        await world.until(served(4))
        configure(bootstrap, poor.topic, "cleanup.policy", "delete")
        await world.happen(2, org_id="globex")
        assert await store.order_test(world.db, "globex", "hub")  # tries at once
        await world.until(lambda each: each.forwarded_through == 2, "globex")
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert siem.seqs() == [1, 2, 3, 4]
    assert poor.seqs() == [1, 2]
    assert (await world.standing("globex")).state == "active"


async def test_replay_goes_through_pauses_and_gaps(world: World, shard: Shard) -> None:
    """A replay waits while its subscription is paused, and explains the numbers that are gone."""
    siem = await world.subscribe()
    await world.happen(3)
    await lift_head(world, ORG, 2)
    await world.happen(2)
    await world.rounds(shard)
    assert await store.order_replay(world.db, ORG, "hub", 0, None) == 7
    assert await store.set_paused(world.db, ORG, "hub", paused=True)
    await world.rounds(shard)
    assert [each for each in siem.records() if "hub_replay" in each] == []
    assert await store.set_paused(world.db, ORG, "hub", paused=False)
    await world.rounds(shard)
    again = [each for each in siem.records() if "hub_replay" in each]
    assert [each.get("hub_seq") for each in again] == ["1", "2", "3", "6", "7", None]
    assert orjson.loads(again[-1][""])["hub_heartbeat"]["gaps"] == [
        {"first_seq": 4, "last_seq": 5, "reason": "recovered"}
    ]
    standing = await world.standing()
    assert (standing.replay, standing.replayed_through, standing.forwarded_through) == (None, 7, 7)


async def test_replay_since_a_time_leaves_out_nothing_recorded_after_it(world: World) -> None:
    """Where one topic lagged behind another, numbers and times differ; the earliest counts."""
    for hour, minute in ((10, 0), (12, 0), (11, 0), (12, 30), (11, 30), (13, 0)):
        await world.happen(1, recorded_at=f"2026-11-20T{hour}:{minute:02}:00.000Z")
    found = [
        await store.seq_before(world.db, ORG, datetime(2026, 11, 20, hour, minute, tzinfo=UTC))
        for hour, minute in ((9, 0), (10, 1), (11, 45), (12, 15), (12, 45), (13, 1))
    ]
    assert found == [0, 1, 1, 3, 5, 6]


async def test_retention_that_passes_a_paused_subscription_is_explained(
    world: World, shard: Shard
) -> None:
    """What was purged while it was paused is a hole with its reason, and the rest comes."""
    siem = await world.subscribe()
    await world.happen(1)
    await world.rounds(shard)
    assert await store.set_paused(world.db, ORG, "hub", paused=True)
    old = datetime(2026, 1, 5, 12, tzinfo=UTC)
    await world.happen(3, at=old)
    await world.happen(2)
    async with maintenance(world.settings) as db, alone(db) as only:
        assert only is not None
        assert await retention.purge(only, "audit_entries", old.date())
    assert await store.set_paused(world.db, ORG, "hub", paused=False)
    await world.rounds(shard)
    assert siem.seqs() == [1, 5, 6]
    assert orjson.loads(siem.records()[-1][""])["hub_heartbeat"]["gaps"] == [
        {"first_seq": 2, "last_seq": 4, "reason": "retention"}
    ]
    siem.assert_complete(6)


async def test_many_gaps_are_told_in_several_heartbeats(world: World, shard: Shard) -> None:
    """However full of holes a purged day was, each has no more than its format takes, uncut."""
    names: tuple[FormatName, ...] = ("cef", "ecs")
    siems = {name: await world.subscribe(name=name) for name in names}
    holes = FORMATS["ecs"].gaps_max + 1
    for _ in range(holes):
        await world.happen(1)
        await lift_head(world, ORG, 1)
    await world.happen(1)
    await world.rounds(shard)
    for name, siem in siems.items():
        beats = [each[""] for each in siem.records() if "hub_heartbeat" in each]
        assert len(beats) == -(-holes // FORMATS[name].gaps_max)
        found = [int(seq) for beat in beats for seq in FIRST_SEQ.findall(beat)]
        assert found == list(range(2, 2 * holes + 1, 2))
        assert siem.seqs() == list(range(1, 2 * holes + 2, 2))
        siem.assert_complete(2 * holes + 1)


async def test_large_entries_take_no_more_memory_than_small_ones(
    world: World, shard: Shard
) -> None:
    """However many wait, live and again, a round holds a page of them and what it sends."""
    large = {"extra": {"note": "x" * 15_000}}
    siem = await world.subscribe()
    await world.happen(2_000, details=large)
    await world.rounds(shard)
    await store.order_replay(world.db, ORG, "hub", 0, None)
    await world.happen(2_000, details=large)
    (due,) = shard._standing.due(await store.of_shard(world.db, SHARD))
    tracemalloc.start()
    try:
        (parcel,) = await packed(world.db, [due])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    sent = sum(len(record.value or b"") for record in parcel.records)
    assert BYTES_MAX / 2 < sent < BYTES_MAX + 20_000
    assert peak < 10 * BYTES_MAX
    await world.rounds(shard)
    siem.assert_complete(4_000)
    assert siem.seqs() == list(range(1, 4_001))
    again = [
        int(each["hub_seq"]) for each in siem.records() if {"hub_replay", "hub_seq"} <= set(each)
    ]
    assert again == list(range(1, 2_001))


async def test_what_has_no_room_in_a_round_comes_in_the_next(
    world: World, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many that have news, those come first that have heard nothing for longest."""
    monkeypatch.setattr(packing, "BYTES_MAX", 2_000)
    organizations = [f"org-{number}" for number in range(6)]
    siems = [await world.subscribe(org_id=each) for each in organizations]
    for each in organizations:
        await world.happen(3, org_id=each)
    served = []
    while await shard.round():
        served.append([len(siem.seqs()) for siem in siems])
    assert 0 in served[0]
    assert served[-1] == [3] * 6
    for siem in siems:
        siem.assert_complete(3)


async def test_of_two_creations_one_wins(world: World) -> None:
    """Two at once make one subscription, and whoever came second is told so."""
    bus.create(world.settings.kafka.bootstrap_servers, [world.settings.topic("raw.audit")], 3)
    async with OwnEvents.opened(world.settings) as events:
        control = Control(world.settings, world.db, events, {"type": "user", "id": "usr_olivia"})
        orders = [control.create("acme", "hub", Filter()) for _ in range(3)]
        ended = await asyncio.gather(*orders, return_exceptions=True)
    refused = [each for each in ended if isinstance(each, AlreadySubscribed)]
    assert len(refused) == 2, ended
    assert len(await store.listed(world.db, "acme")) == 1


async def test_creation_and_deletion_that_were_cut_off_are_done_again(world: World) -> None:
    """A topic without its row, and a row without its topic, are no hindrance to the same order."""
    bootstrap = world.settings.kafka.bootstrap_servers
    bus.create(bootstrap, [world.settings.topic("raw.audit")], 3)
    topic = world.settings.topic(topic_of("acme", "hub"))
    async with OwnEvents.opened(world.settings) as events:
        control = Control(world.settings, world.db, events, {"type": "user", "id": "usr_olivia"})
        await topics.create_siem(world.settings, topic)
        assert (await control.create("acme", "hub", Filter())).topic == topic
        bus.delete(bootstrap, [topic])
        await control.delete("acme", "hub")
        assert await store.listed(world.db, "acme") == []
        await control.create("acme", "hub", Filter())
        await control.delete("acme", "hub")


def served(through: int) -> Callable[[Subscription], bool]:
    """Return whether a subscription has so much; it fails as soon as that one is set aside."""

    def holds(each: Subscription) -> bool:
        assert each.error is None
        return each.forwarded_through == through

    return holds


def quick(settings: Settings) -> Settings:
    """Return settings with which a transaction that hangs is given up soon."""
    kafka = settings.kafka.model_copy(update={"transaction_timeout_ms": 2_000})
    return settings.model_copy(update={"kafka": kafka})
