"""What a forwarder knows of a shard's subscriptions: places, silence, and who makes trouble."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple, TypeVar
from uuid import UUID

from processor.forward.packing import Due, Parcel
from processor.forward.place import Place, open_replay, row_lags
from processor.store.subscriptions import Subscription

RETRY_SECONDS, RETRY_SECONDS_MAX = 30.0, 300.0
"""How often a subscription that could not be served is tried again; each trial may hold up the
others of its shard for as long as a transaction may take."""

BEATS_SECONDS_MAX = 2.0
"""Heartbeats that are due within so long go out together."""

Known = TypeVar("Known")


class PutOff(NamedTuple):
    """A subscription that cannot be served: until when it is left alone, and with what orders.

    A new order, or an owner who clears the error, has it tried at once.
    """

    until: float
    seconds: float
    orders: tuple[UUID | None, UUID | None]


class Standing:
    """What is known of a shard's subscriptions, by their ids."""

    def __init__(self, heartbeat_seconds: float, clock: Callable[[], float]) -> None:
        """Know nothing yet."""
        self.clock = clock
        self.places: dict[UUID, Place] = {}
        self.settled = False  # nothing was committed since the producer's start
        self.suspects: dict[UUID, float] = {}  # and when each was last tried
        self._trusted_at = float("-inf")
        self._heard: dict[UUID, float] = {}
        self._put_off: dict[UUID, PutOff] = {}
        self._heartbeat_seconds = heartbeat_seconds
        self._beats_at = float("-inf")

    def keep_only(self, ids: set[UUID]) -> None:
        """Forget what was paused or ended."""
        keep_only(self.places, ids)
        keep_only(self._heard, ids)
        keep_only(self._put_off, ids)
        keep_only(self.suspects, ids)

    def due(self, known: Sequence[Subscription]) -> list[Due]:
        """Return the subscriptions for which there is something to be done."""
        now = self.clock()
        beats = now - self._beats_at >= min(BEATS_SECONDS_MAX, self._heartbeat_seconds / 10)
        if beats:
            self._beats_at = now
        found = []
        for each in known:
            place, silent = self.places[each.id], self._is_silent(each, now)
            new = each.last_seq > place.live.through or open_replay(each, place)
            tested = each.test_id not in (None, place.test_id)
            if new or tested or row_lags(each, place) or (beats and silent):
                found.append(Due(each, place, silent))
        return found

    def _is_silent(self, each: Subscription, now: float) -> bool:
        if each.id not in self._heard:
            # As if each had been heard of at another moment: a thousand heartbeats at once are a
            # burst, and a thousand over a minute are nothing.
            spread = self._heartbeat_seconds * (each.id.int % 1_000) / 1_000
            self._heard[each.id] = now - spread
        return now - self._heard[each.id] > self._heartbeat_seconds

    def suspect(self, several: Iterable[Subscription]) -> None:
        """Hold against some that their transaction failed, until they have passed alone."""
        self.suspects.update(dict.fromkeys((each.id for each in several), self.clock()))

    def apart_from_suspects(self, due: Sequence[Due]) -> Iterator[list[Due]]:
        """Yield what is to be sent together: all that nothing is held against, and each suspect.

        Whoever was tried longest ago comes first: a round may end after any of them. So does, of
        those that are sent together, who has heard nothing for longest: not all may have room.
        """
        trusted = [each for each in due if each.subscription.id not in self.suspects]
        trusted.sort(key=lambda each: self._heard[each.subscription.id])
        alone = [each for each in due if each.subscription.id in self.suspects]
        groups = [(self._trusted_at, trusted)] if trusted else []
        groups += [(self.suspects[each.subscription.id], [each]) for each in alone]
        for _, group in sorted(groups, key=itemgetter(0)):
            if group is trusted:
                self._trusted_at = self.clock()
            else:
                self.suspects[group[0].subscription.id] = self.clock()
            yield group

    def passed(self, parcels: Sequence[Parcel]) -> None:
        """Note what was sent, and that nothing was wrong with it."""
        now = self.clock()
        for parcel in parcels:
            subscription = parcel.subscription.id
            self.places[subscription] = parcel.place
            self.suspects.pop(subscription, None)
            self._put_off.pop(subscription, None)
            if parcel.records:
                self._heard[subscription] = now

    def put_off(self, each: Subscription) -> None:
        """Leave a subscription alone for a while, for longer each time."""
        before = self._put_off.get(each.id)
        seconds = min(before.seconds * 2, RETRY_SECONDS_MAX) if before else RETRY_SECONDS
        self._put_off[each.id] = PutOff(self.clock() + seconds, seconds, _orders(each))

    def is_put_off(self, each: Subscription) -> bool:
        """Tell whether a subscription is to be left alone."""
        at = self._put_off.get(each.id)
        if at is None or each.error is None or at.orders != _orders(each):
            return False
        return self.clock() < at.until

    def behind(self, known: Sequence[Subscription]) -> int:
        """Return how many entries the subscription that is furthest behind lacks."""
        lacking = [each.last_seq - self.places[each.id].live.through for each in known]
        return max(lacking, default=0)


def _orders(each: Subscription) -> tuple[UUID | None, UUID | None]:
    return each.test_id, each.replay.id if each.replay else None


def keep_only(known: dict[UUID, Known], ids: set[UUID]) -> None:
    """Forget what is known of other subscriptions."""
    for gone in known.keys() - ids:
        del known[gone]
