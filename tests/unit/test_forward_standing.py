"""Who of a shard's subscriptions is due, and who is left alone."""

from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

import pytest

from processor.emit.route import Outgoing
from processor.forward.messages import Chain
from processor.forward.packing import Due, Parcel
from processor.forward.place import Place, furthest
from processor.forward.standing import Standing
from processor.store.subscriptions import Replay, Subscription
from schemas.subscription import Filter

HEARTBEAT_SECONDS = 60.0


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        """Begin at some time."""
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def a_subscription(number: int = 1, **differing: object) -> Subscription:
    """Return a subscription that has everything."""
    standing = Subscription(
        id=UUID(int=number * 7_919),
        org_id=f"org-{number}",
        format="hub",
        filter=Filter(),
        paused=False,
        last_seq=5,
        forwarded_through=5,
        told_through=5,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        delivered_at=None,
        error=None,
        error_at=None,
        replay=None,
        test_id=None,
        access="open",
        replayed_through=None,
    )
    return standing._replace(**differing)  # type: ignore[arg-type] # its own fields


def standing_with(clock: Clock, subscriptions: list[Subscription]) -> Standing:
    """Return what is known of subscriptions that have everything."""
    known = Standing(HEARTBEAT_SECONDS, clock)
    known.places = {each.id: Place(Chain(5, 5)) for each in subscriptions}
    return known


def test_heartbeats_of_a_thousand_do_not_fall_together() -> None:
    """Each silent subscription has a beat a minute, and no two seconds have a tenth of them."""
    clock = Clock()
    thousand = [a_subscription(number) for number in range(1_000)]
    known = standing_with(clock, thousand)
    beats: Counter[UUID] = Counter()
    at_once = []
    for _ in range(180):
        clock.now += 1
        due = known.due(thousand)
        assert all(each.silent for each in due)
        known.passed([_sent(each.subscription) for each in due])
        beats.update(each.subscription.id for each in due)
        at_once.append(len(due))
    assert max(at_once) < 100
    assert set(beats.values()) <= {2, 3}
    assert len(beats) == 1_000


@pytest.mark.parametrize(
    ("change", "due"),
    [
        ({}, False),
        ({"last_seq": 6}, True),
        ({"test_id": UUID(int=1)}, True),
        ({"replay": Replay(UUID(int=2), 1, 4)}, True),
        # Committed, and not in the row: its forwarder ended before it could say so.
        ({"forwarded_through": 4, "told_through": 4}, True),
        ({"told_through": 4}, True),
    ],
)
def test_new_entries_and_orders_are_due(change: dict[str, object], *, due: bool) -> None:
    """There is something to be done for whom there is something new."""
    clock = Clock()
    each = a_subscription()
    known = standing_with(clock, [each])
    known.passed([_sent(each)])
    assert bool(known.due([each._replace(**change)])) == due  # type: ignore[arg-type]


def test_orders_that_are_carried_out_and_still_stand_are_due() -> None:
    """They are noted once more, and then taken off: nothing is sent for them."""
    each = a_subscription(replay=Replay(UUID(int=2), 1, 4), test_id=UUID(int=3))
    known = standing_with(Clock(), [each])
    known.passed([_sent(each)])
    done = Place(Chain(5, 5), UUID(int=2), Chain(4, 4), UUID(int=3))
    known.places[each.id] = done
    assert known.due([each._replace(test_id=None)])
    assert known.due([each._replace(replay=None)])
    assert not known.due([each._replace(replay=None, test_id=None)])
    noted = Parcel(each, [], done, entries=False).delivered()
    assert (noted.replay_done, noted.test_done) == (UUID(int=2), UUID(int=3))


def test_put_off_is_longer_each_time_and_ends_with_an_order() -> None:
    """A subscription that fails is tried after 30 s, 60 s, up to 5 minutes, or when ordered to."""
    clock = Clock()
    known = standing_with(clock, [])
    failing = a_subscription(error="its topic is gone")
    waited = []
    for _ in range(6):
        known.put_off(failing)
        began = clock.now
        while known.is_put_off(failing):
            clock.now += 1
        waited.append(clock.now - began)
    assert waited == [30, 60, 120, 240, 300, 300]
    known.put_off(failing)
    assert known.is_put_off(failing)
    assert not known.is_put_off(failing._replace(test_id=UUID(int=2)))
    assert not known.is_put_off(failing._replace(error=None))


def test_suspects_are_sent_alone_and_after_the_others() -> None:
    """What may be at fault comes last, one by one, until it has passed."""
    clock = Clock()
    several = [a_subscription(number, last_seq=6) for number in range(4)]
    known = standing_with(clock, several)
    known.suspect([several[0], several[2]])
    groups = [_names(group) for group in known.apart_from_suspects(known.due(several))]
    assert groups == [["org-1", "org-3"], ["org-0"], ["org-2"]]
    known.passed([_sent(several[0])])
    assert known.suspects.keys() == {several[2].id}


def test_nobody_starves_where_every_round_ends_after_its_first_group() -> None:
    """Where each commit is slow, suspects and the others take turns."""
    clock = Clock()
    several = [a_subscription(number, last_seq=6) for number in range(4)]
    known = standing_with(clock, several)
    known.suspect([several[0], several[2]])
    firsts = []
    for _ in range(6):
        clock.now += 1
        firsts.append(_names(next(known.apart_from_suspects(known.due(several)))))
    assert firsts == [["org-1", "org-3"], ["org-0"], ["org-2"]] * 2


def test_paused_and_ended_are_forgotten() -> None:
    """What is known grows with the subscriptions there are, and no further."""
    clock = Clock()
    several = [a_subscription(number, error="x") for number in range(3)]
    known = standing_with(clock, several)
    known.due(several)
    for each in several:
        known.put_off(each)
    known.suspect(several)
    known.keep_only({several[1].id})
    left = {several[1].id}
    assert (set(known.places), set(known.suspects)) == (left, left)
    assert [known.is_put_off(each) for each in several] == [False, True, False]


def _names(group: list[Due]) -> list[str]:
    return [each.subscription.org_id for each in group]


def _sent(each: Subscription) -> Parcel:
    return Parcel(each, [Outgoing("t", 0, None, b"", [])], Place(Chain(5, 5)), entries=False)


def test_furthest_of_several_facts_counts() -> None:
    """Each number counts by itself; of replays and test events, those that are wanted."""
    wanted, other, order = UUID(int=5), UUID(int=6), UUID(int=7)
    subscription = a_subscription(replay=Replay(wanted, 0, 9), test_id=order)
    read = Place(Chain(4, 2), other, Chain(8, 8), None)
    known = Place(Chain(3, 3), wanted, Chain(6, 5), order)
    older = Place(Chain(1, 1), wanted, Chain(2, 2), None)
    assert furthest(subscription, (read, known, older)) == Place(
        Chain(4, 3), wanted, Chain(6, 5), order
    )
    assert furthest(a_subscription(), (read, older)) == read
