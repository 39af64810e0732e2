"""Where a subscription stands, and the text as which that is committed. Pure."""

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

import orjson

from processor.emit.route import Header
from processor.forward.messages import Chain
from processor.store.subscriptions import Subscription


class Place(NamedTuple):
    """Where a subscription stands: its live chain, its replay's, and its last test event."""

    live: Chain
    replay_id: UUID | None = None
    replay: Chain = Chain(0, 0)
    test_id: UUID | None = None

    def text(self, subscription: UUID) -> str:
        """Return it as the text that is committed."""
        said: dict[str, object] = {"id": str(subscription), "live": list(self.live)}
        if self.replay_id is not None:
            said["replay"] = [str(self.replay_id), *self.replay]
        if self.test_id is not None:
            said["test"] = str(self.test_id)
        return orjson.dumps(said).decode()


def place_of(subscription: Subscription, text: str | None) -> Place:
    """Return where a subscription stands: by what is committed, and by its row, which may lag.

    What was committed for one that had the same name before says nothing about this one. What
    cannot be read was written by an operator's tool, and says nothing either.
    """
    row = Chain(subscription.forwarded_through, subscription.told_through)
    place = _read(subscription.id, text)
    if place is None:
        return Place(row)
    # Each of the four numbers is a fact: everything was considered so far, and told so far.
    live = Chain(max(row.through, place.live.through), max(row.told, place.live.told))
    return place._replace(live=live)


def furthest(subscription: Subscription, places: Iterable[Place]) -> Place:
    """Return where a subscription stands by several places that are all facts, some of them older.

    Of replays and test events the one that is wanted counts, since it is the last.
    """
    several = list(places)
    last = several[0]
    live = Chain(max(e.live.through for e in several), max(e.live.told for e in several))
    wanted = subscription.replay.id if subscription.replay else None
    replayed = max((e.replay for e in several if e.replay_id == wanted), default=None)
    if wanted is not None and replayed is not None:
        last = last._replace(replay_id=wanted, replay=replayed)
    if any(each.test_id == subscription.test_id for each in several):
        last = last._replace(test_id=subscription.test_id)
    return last._replace(live=live)


def reached(subscription: Subscription, place: Place, headers: Iterable[Header]) -> Place:
    """Return the place as it is for somebody who has got a record with an entry."""
    said = {name: value.decode() for name, value in headers if value is not None}
    through = int(said["hub_through_seq"])
    if "hub_test" in said:
        return place._replace(test_id=UUID(said["hub_test"]))
    if "hub_replay" not in said:
        live = Chain(max(through, place.live.through), max(through, place.live.told))
        return place._replace(live=live)
    replay = UUID(said["hub_replay"])
    before = replay_chain(subscription, place)
    if subscription.replay is None or subscription.replay.id != replay or before.through >= through:
        return place
    return place._replace(replay_id=replay, replay=Chain(through, through))


def _read(subscription: UUID, text: str | None) -> Place | None:
    try:
        said = orjson.loads(text or "")
        if said.get("id", str(subscription)) != str(subscription):
            return None
        through, told = said["live"]
        replay_id, *replay = said.get("replay") or (None, 0, 0)
        return Place(
            live=Chain(int(through), int(told)),
            replay_id=None if replay_id is None else UUID(replay_id),
            replay=Chain(*replay),
            test_id=UUID(said["test"]) if "test" in said else None,
        )
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def open_replay(subscription: Subscription, place: Place) -> bool:
    """Tell whether a replay is wanted and not at its end."""
    wanted = subscription.replay
    return wanted is not None and (
        place.replay_id != wanted.id or place.replay.through < wanted.through
    )


def ended_replay(subscription: Subscription, place: Place) -> UUID | None:
    """Return the wanted replay's id when all of it is sent; None when not, or none is wanted."""
    wanted = subscription.replay
    return None if wanted is None or open_replay(subscription, place) else wanted.id


def row_lags(subscription: Subscription, place: Place) -> bool:
    """Tell whether the row does not say yet what is committed.

    Whoever committed it came to an end before it could note it, and nobody else would: an order
    that is carried out would stand in the row as one that is under way.
    """
    through, told = place.live
    return (
        subscription.forwarded_through < through
        or subscription.told_through < told
        or ended_replay(subscription, place) is not None
        or (subscription.test_id is not None and subscription.test_id == place.test_id)
    )


def replay_chain(subscription: Subscription, place: Place) -> Chain:
    """Return how far the wanted replay has come."""
    wanted = subscription.replay
    if wanted is None or place.replay_id == wanted.id:
        return place.replay
    noted = max(wanted.after, subscription.replayed_through or 0)
    return Chain(noted, noted)
