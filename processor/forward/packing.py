"""What each subscription gets next: live entries first, then a replay's, then a test event."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from processor.emit.route import Outgoing
from processor.forward import messages
from processor.forward.messages import Chain
from processor.forward.place import Place, ended_replay, open_replay, replay_chain
from processor.siem import FORMATS
from processor.siem.heartbeat import Gap
from processor.store import subscriptions as store
from processor.store.pool import Database
from processor.store.subscriptions import Delivered, Subscription, Wanted
from schemas.entry import Entry

ENTRIES_MAX, ENTRIES_MIN = 4_000, 20
"""Of a round: shared by the subscriptions that have news, but so many for each of them."""

BYTES_MAX, BYTES_MIN = 8 * 1024 * 1024, 256 * 1024
"""The same for the size of what is sent: others wait for its transaction."""


class Due(NamedTuple):
    """A subscription for which there may be something, where it stands, and whether it is silent.

    One that has heard nothing for long gets a heartbeat if there is nothing else.
    """

    subscription: Subscription
    place: Place
    silent: bool


class Parcel(NamedTuple):
    """What one subscription gets in one round, and where it stands afterwards."""

    subscription: Subscription
    records: list[Outgoing]
    place: Place
    entries: bool

    def last_of_chains(self) -> list[Outgoing]:
        """Return the last entry of the live chain, that of the replay's, and the test event.

        Heartbeats are none of these: each is as good as another.
        """
        last = {
            next((name for name in ("hub_replay", "hub_test") if name in headers), ""): record
            for record in self.records
            if "hub_entry_id" in (headers := dict(record.headers))
        }
        return list(last.values())

    def delivered(self) -> Delivered:
        """Return what is to be noted of it.

        Of a replay up to where it was told: who goes on from the row has no other number to state
        as the previous one.
        """
        place = self.place
        return Delivered(
            self.subscription.id,
            place.live.through,
            place.live.told,
            sent=self.entries,
            replay_id=place.replay_id,
            replayed_through=place.replay.told,
            replay_done=ended_replay(self.subscription, place),
            test_done=place.test_id,
        )


async def packed(db: Database, due: Sequence[Due]) -> list[Parcel]:
    """Read what is due, all live entries in one query and all replayed ones in another."""
    if not due:
        return []
    bounds = max(ENTRIES_MIN, ENTRIES_MAX // len(due)), max(BYTES_MIN, BYTES_MAX // len(due))
    live = [Wanted(each.org_id, place.live.through, each.last_seq) for each, place, _ in due]
    again = [_replayed(each, place) for each, place, _ in due]
    found = await _found(db, live, bounds[0])
    repeats = await _found(db, again, bounds[0])
    return [
        await _Packer(db, one.subscription, *bounds).parcel(one, new, old)
        for one, new, old in zip(due, found, repeats, strict=True)
    ]


async def _found(db: Database, wanted: Sequence[Wanted], limit: int) -> list[list[Entry]]:
    """Return the first entries of each range; those that are empty are not asked for."""
    found: list[list[Entry]] = [[] for _ in wanted]
    asked = [at for at, each in enumerate(wanted) if each.through > each.after]
    if asked:
        entries = await store.entries_after(db, [wanted[at] for at in asked], limit)
        for at, several in zip(asked, entries, strict=True):
            found[at] = several
    return found


def _replayed(each: Subscription, place: Place) -> Wanted:
    """Return what is to be read for a replay; an empty range when there is none."""
    if each.replay is None or not open_replay(each, place):
        return Wanted(each.org_id, 0, 0)
    return Wanted(each.org_id, replay_chain(each, place).through, each.replay.through)


class _Packer:
    """Makes the records of one subscription, within the bounds of a round."""

    def __init__(self, db: Database, subscription: Subscription, entries: int, size: int) -> None:
        self._db, self._subscription = db, subscription
        self._entries_max, self._bytes_max = entries, size

    async def parcel(self, due: Due, new: list[Entry], old: list[Entry]) -> Parcel:
        """Return what it gets."""
        each, place = self._subscription, due.place
        records, live = await self._chained(new, place.live, each.last_seq)
        if not records and due.silent:
            beat, live = messages.heartbeat(each, live, (), _now())
            records = [beat]
        place = place._replace(live=live)
        if each.replay is not None and open_replay(each, place):
            wanted = each.replay
            chain = replay_chain(each, place)
            more, chain = await self._chained(old, chain, wanted.through, replay=wanted.id)
            if chain.through >= wanted.through and chain.told < chain.through:
                beat, chain = messages.heartbeat(each, chain, (), _now(), wanted.id)
                more.append(beat)
            records += more
            place = place._replace(replay_id=wanted.id, replay=chain)
        tested = each.test_id is not None and each.test_id != place.test_id
        if each.test_id is not None and tested:
            records.append(messages.test_event(each, place.live, each.test_id, _now()))
            place = place._replace(test_id=each.test_id)
        carries = any(record.key is not None for record in records)
        return Parcel(each, records, place, carries)

    async def _chained(
        self, found: list[Entry], chain: Chain, end: int, replay: UUID | None = None
    ) -> tuple[list[Outgoing], Chain]:
        """Return the records of entries, and of the numbers among them that do not exist any more.

        ``end`` is the last number there is: fewer entries than the limit reach it.
        """
        each, first = self._subscription, chain.through + 1
        records, chain = messages.entries(each, found, chain, self._bytes_max, replay)
        whole = not found or chain.through == found[-1]["seq"]
        if whole and len(found) < self._entries_max:
            chain = chain._replace(through=max(end, chain.through))
        seen = sum(1 for entry in found if entry["seq"] <= chain.through)
        if chain.through - first + 1 > seen:
            gone = await store.gaps(self._db, each.org_id, first, chain.through)
            gaps = [Gap(*gap) for gap in gone]
            for some in _chunks(gaps, FORMATS[each.format].gaps_max):
                beat, chain = messages.heartbeat(each, chain, some, _now(), replay)
                records.append(beat)
        return records, chain


def _chunks(gaps: Sequence[Gap], size: int) -> Iterator[Sequence[Gap]]:
    """Yield the gaps in parts of a size; one empty part when there are none."""
    for begin in range(0, max(1, len(gaps)), size):
        yield gaps[begin : begin + size]


def _now() -> str:
    """Return the time as entries write it; heartbeats and test events are of the moment."""
    now = datetime.now(UTC)  # noqa: TID251 - see above
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
