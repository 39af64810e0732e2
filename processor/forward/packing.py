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
"""The same for the size of what is sent: others wait for its transaction. Once so much is packed,
the rest waits for the next round."""

PAGE_ENTRIES = 250
"""So many are read at once, whoever's: with 16 KiB of details each they take 30 MiB at most."""

SMALL_ENTRIES, SMALL_BYTES = 1_000, 2_048
"""So many where those before became no larger: to wait for each page costs more than to read it."""


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


class Page(NamedTuple):
    """Entries that follow a number, and whether there may be more behind them, read or not."""

    entries: list[Entry]
    full: bool


async def packed(db: Database, due: Sequence[Due]) -> list[Parcel]:
    """Read what is due, and pack it until it is enough for a transaction: the first ones, or all.

    Those that lack few entries are read together. Of more there is never more than a page in
    memory, and what it becomes.
    """
    if not due:
        return []
    bounds = max(ENTRIES_MIN, ENTRIES_MAX // len(due)), max(BYTES_MIN, BYTES_MAX // len(due))
    parcels: list[Parcel] = []
    size = 0
    for together in _together(due, bounds[0]):
        pages = await _first_pages(db, together, bounds[0])
        for one, page in zip(together, pages, strict=True):
            parcels.append(await _Packer(db, one.subscription, *bounds).parcel(one, page))
            size += sum(len(record.value or b"") for record in parcels[-1].records)
            if size >= BYTES_MAX:
                return parcels
    return parcels


def _together(due: Sequence[Due], entries_max: int) -> Iterator[list[Due]]:
    """Yield those whose first pages are a page together, each as long as the longest."""
    several: list[Due] = []
    longest = 0
    for one in due:
        longest = max(longest, _page_of(one, entries_max))
        if several and longest * (len(several) + 1) > PAGE_ENTRIES:
            yield several
            several, longest = [], _page_of(one, entries_max)
        several.append(one)
    yield several


def _page_of(one: Due, entries_max: int) -> int:
    """Return how many entries its first page has at most."""
    return min(one.subscription.last_seq - one.place.live.through, entries_max, PAGE_ENTRIES)


async def _first_pages(db: Database, due: Sequence[Due], entries_max: int) -> list[Page]:
    """Read the first live entries of several; who has none is not asked for.

    Of one that lacks a page or more none is read yet: it is read as it is packed.
    """
    if len(due) == 1 and _page_of(due[0], entries_max) == PAGE_ENTRIES:
        return [Page([], full=True)]
    pages = [Page([], full=False) for _ in due]
    asked = [at for at, one in enumerate(due) if _page_of(one, entries_max) > 0]
    if asked:
        limit = max(_page_of(due[at], entries_max) for at in asked)
        wanted = [
            Wanted(each.org_id, place.live.through, each.last_seq)
            for each, place, _ in (due[at] for at in asked)
        ]
        found = await store.entries_after(db, wanted, limit)
        for at, entries in zip(asked, found, strict=True):
            pages[at] = Page(entries, len(entries) == limit)
    return pages


class _Packer:
    """Makes the records of one subscription, live ones and then replayed, within its bounds."""

    def __init__(self, db: Database, subscription: Subscription, entries: int, size: int) -> None:
        self._db, self._subscription = db, subscription
        self._entries_left, self._bytes_left = entries, size
        self._taken, self._bytes_packed = 0, 0

    async def parcel(self, due: Due, page: Page) -> Parcel:
        """Return what it gets; ``page`` is what of its live entries is read already."""
        each, place = self._subscription, due.place
        records, live = await self._chained(page, place.live, each.last_seq)
        if not records and due.silent:
            beat, live = messages.heartbeat(each, live, (), _now())
            records = [beat]
        place = place._replace(live=live)
        if each.replay is not None and open_replay(each, place) and self._has_room():
            wanted = each.replay
            chain = replay_chain(each, place)
            unread = Page([], full=True)
            more, chain = await self._chained(unread, chain, wanted.through, replay=wanted.id)
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

    def _has_room(self) -> bool:
        return self._entries_left > 0 and self._bytes_left > 0

    def _next_page(self) -> int:
        """Return how many entries have room if they are like those before, a page at most."""
        if not self._bytes_packed:
            return min(PAGE_ENTRIES, self._entries_left)
        small = self._bytes_packed <= SMALL_BYTES * self._taken
        alike = self._bytes_left * self._taken // self._bytes_packed + 1
        return min(SMALL_ENTRIES if small else PAGE_ENTRIES, self._entries_left, alike)

    def _take(
        self, page: Page, chain: Chain, end: int, replay: UUID | None
    ) -> tuple[list[Outgoing], Chain, bool]:
        """Return a page's records, how far the chain has come, and whether there is more to read.

        A page that is not full reaches the end.
        """
        records, chain = messages.entries(
            self._subscription, page.entries, chain, self._bytes_left, replay
        )
        size = sum(len(record.value or b"") for record in records)
        self._bytes_left -= size
        self._bytes_packed += size
        self._entries_left -= len(page.entries)
        self._taken += sum(1 for entry in page.entries if entry["seq"] <= chain.through)
        if page.entries and chain.through < page.entries[-1]["seq"]:
            return records, chain, False
        if not page.full:
            chain = chain._replace(through=max(end, chain.through))
        return records, chain, chain.through < end and self._has_room()

    async def _chained(
        self, page: Page, chain: Chain, end: int, replay: UUID | None = None
    ) -> tuple[list[Outgoing], Chain]:
        """Return the records of entries, and of the numbers among them that do not exist any more.

        ``page`` is the first of them, ``end`` the last number there is.
        """
        each, first, before = self._subscription, chain.through + 1, self._taken
        records, chain, open_ = self._take(page, chain, end, replay)
        if open_:
            wanted = Wanted(each.org_id, chain.through, end)
            async with store.reading(self._db, wanted, self._entries_left) as read:
                while open_:
                    limit = self._next_page()
                    entries = await read(limit)
                    page = Page(entries, len(entries) == limit)
                    more, chain, open_ = self._take(page, chain, end, replay)
                    records += more
        if chain.through - first + 1 > self._taken - before:
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
