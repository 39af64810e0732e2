"""Forwarders that sleep, wake up, and commit slowly: whoever goes on repeats nothing."""

import pytest

from processor.emit import producer
from processor.errors import Fenced
from processor.forward.shard import Shard
from processor.store import subscriptions as store
from tests.integration.forwarding import ORG, World, begun

pytestmark = pytest.mark.timeout(90)


async def test_woken_predecessor_sends_nothing(world: World, shard: Shard) -> None:
    """A forwarder that slept while another took its shard over is fenced by the bus."""
    siem = await world.subscribe()
    await world.happen(3)
    await world.rounds(shard)
    async with begun(world) as successor:
        await world.happen(3)
        await world.rounds(successor)
        await world.happen(1)
        with pytest.raises(Fenced):
            await shard.round()
        await world.rounds(successor)
    assert siem.seqs() == [1, 2, 3, 4, 5, 6, 7]


async def test_woken_predecessor_in_doubt_repeats_nothing(world: World, shard: Shard) -> None:
    """One whose last commit was slow, and who slept while another delivered, reads places again."""
    siem = await world.subscribe()
    await world.happen(3)
    await world.rounds(shard)
    shard._producer._doubtful = True  # as after a freeze in the middle of a commit
    async with begun(world) as successor:
        await world.happen(3)
        await world.rounds(successor)
        await world.happen(1)
        await world.rounds(shard)
        await world.happen(1)
        with pytest.raises(Fenced):
            await world.rounds(successor)
    await world.rounds(shard)
    assert siem.seqs() == [1, 2, 3, 4, 5, 6, 7, 8]
    siem.assert_complete(8)


async def test_orders_that_another_carried_out_before_a_start_are_not_repeated(
    world: World, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen between its look at the orders and a start, a forwarder looks at them again."""
    siem = await world.subscribe()
    await world.happen(3)
    await world.rounds(shard)
    await world.subscribe(org_id="globex")  # new, and so its place is to be read: after a start
    await store.order_replay(world.db, ORG, "hub", 0, None)
    start = shard.begin

    async def start_late() -> None:
        """Begin when another one has begun, and ended."""
        async with begun(world) as other:
            await world.rounds(other)
            await store.order_replay(world.db, ORG, "hub", 1, None)
            await world.rounds(other)
        await start()

    with monkeypatch.context() as patch:
        patch.setattr(shard, "begin", start_late)
        await shard.round()
    await world.rounds(shard)
    again = [each["hub_seq"] for each in siem.records() if "hub_replay" in each]
    assert again == ["1", "2", "3", "2", "3"]
    assert (await world.standing()).replay is None


async def test_slow_commit_is_not_held_against_who_comes_next(
    world: World, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where each commit is in doubt, suspects and the others are served in turn, without errors."""
    siem, suspect = await world.subscribe(), await world.subscribe(org_id="globex")
    await world.rounds(shard)
    shard._standing.suspect([await world.standing("globex")])  # as after an outage
    monkeypatch.setattr(producer, "RETRY_BACKOFF_SECONDS", 0.001)
    for _ in range(2):
        await world.happen(1)
        await world.happen(1, org_id="globex")
        assert await shard.round()
    assert (siem.seqs(), suspect.seqs()) == ([1], [1, 2])
    await world.rounds(shard)
    assert siem.seqs() == [1, 2]
    assert {(await world.standing(name)).error for name in (ORG, "globex")} == {None}
