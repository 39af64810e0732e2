"""One shard of subscriptions: read the store by ``seq``, send, and keep every place exactly once.

Where a subscription stands is committed in the Kafka transaction that carries its records, as the
text of a group's offset for its topic; the row in Postgres follows. A forwarder starts the shard's
producer first, which fences a predecessor and ends its transaction, and then goes on from the
larger of the two places. So a crash at any point, or a predecessor that wakes from a freeze,
repeats nothing and loses nothing; and a topic that is empty, expired or made anew changes nothing,
since no place is read from the topic itself.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import orjson

from processor import metrics
from processor.emit import topics
from processor.emit.producer import Position, TransactionalProducer
from processor.emit.route import Outgoing
from processor.errors import Fenced, Outage, TopicRefused
from processor.forward import messages
from processor.forward.messages import Chain
from processor.ingest.group import metadata
from processor.settings import Settings
from processor.store import subscriptions as store
from processor.store.pool import Database
from processor.store.subscriptions import Delivered, Subscription, Wanted
from schemas.entry import Entry
from schemas.subscription import topic_of

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""Between two looks for news: what a subscriber waits at most when nothing else is to be done."""

ENTRIES_MAX, ENTRIES_MIN = 4_000, 20
"""Of a round: shared by the subscriptions that have news, but so many for each of them."""

RETRY_SECONDS = 30.0
"""How often a subscription that could not be served is tried again."""

TOPICS_SECONDS = 15.0
BACKOFF_SECONDS_MIN, BACKOFF_SECONDS_MAX = 0.5, 10.0

Name = tuple[str, str]
"""Organization and format of a subscription."""


class Place(NamedTuple):
    """Where a subscription stands: its live chain, its replay's, and its last test event."""

    live: Chain
    replay_id: UUID | None = None
    replay: Chain = Chain(0, 0)
    test_id: UUID | None = None


class Parcel(NamedTuple):
    """What one subscription gets in one round, and where it stands afterwards."""

    subscription: Subscription
    records: list[Outgoing]
    place: Place
    replay_done: UUID | None = None

    @property
    def name(self) -> Name:
        """Whose it is."""
        return self.subscription.org_id, self.subscription.format


class Shard:
    """Forwards the subscriptions of one shard for as long as it is held."""

    def __init__(self, settings: Settings, db: Database, shard: int) -> None:
        """Prepare the shard; ``run`` forwards."""
        self._settings = settings
        self._db = db
        self._shard = shard
        self._group = f"{settings.group}.forward"
        self._producer = TransactionalProducer(settings, f"siem.{shard}", self._group)
        self._places: dict[Name, Place] = {}
        self._heard: dict[Name, float] = {}
        self._put_off: dict[Name, float] = {}
        self._topics: frozenset[str] = frozenset()
        self._topics_at = float("-inf")
        self._clock = asyncio.get_running_loop().time

    async def run(self) -> None:
        """Forward until cancelled, or until another forwarder has taken the shard over."""
        backoff = BACKOFF_SECONDS_MIN
        try:
            while True:
                try:
                    await self.begin()
                    while True:
                        worked = await self.round()
                        backoff = BACKOFF_SECONDS_MIN
                        if not worked:
                            await asyncio.sleep(POLL_SECONDS)
                except Outage as error:
                    log.warning("shard_waits", extra={"shard": self._shard, "error": str(error)})
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)
        except Fenced:
            log.info("shard_lost", extra={"shard": self._shard})
        finally:
            await self.end()

    async def begin(self) -> None:
        """Fence whoever had the shard, and forget all places: they are read again."""
        await self._producer.start()
        self._places.clear()

    async def end(self) -> None:
        """Send nothing any more; what was just being sent is left to the transaction."""
        await self._producer.abandon()

    async def round(self) -> bool:
        """Send everybody what is new for them, within bounds; tell whether there was anything."""
        known = await self._learnt(await store.of_shard(self._db, self._shard))
        parcels = await self._packed([each for each in known if self._has_work(each)])
        metrics.forward_lag(self._shard, _behind(known, self._places))
        if not parcels:
            return False
        await self._sent(parcels)
        return True

    # --- what is to be done ------------------------------------------------------------------

    async def _learnt(self, subscriptions: Sequence[Subscription]) -> list[Subscription]:
        """Return those that can be served now; find out where new ones stand."""
        now = self._clock()
        present = await self._present_topics(now, new=self._unknown(subscriptions))
        ready = []
        for each in subscriptions:
            name = each.org_id, each.format
            if self._put_off.get(name, now) > now:
                continue
            if self._topic(each) not in present:
                await self._fail(each, f"topic {self._topic(each)} does not exist")
            else:
                ready.append(each)
        await self._find_places(self._unknown(ready))
        return ready

    def _unknown(self, subscriptions: Iterable[Subscription]) -> list[Subscription]:
        return [each for each in subscriptions if (each.org_id, each.format) not in self._places]

    async def _present_topics(self, now: float, *, new: Sequence[Subscription]) -> frozenset[str]:
        unseen = any(
            self._topic(each) not in self._topics
            and self._put_off.get((each.org_id, each.format), now) <= now
            for each in new
        )
        if unseen or now - self._topics_at > TOPICS_SECONDS:
            self._topics, self._topics_at = await topics.names(self._settings), now
        return self._topics

    async def _find_places(self, new: Sequence[Subscription]) -> None:
        """Read from Kafka where subscriptions stand; Postgres may know more of an idle one."""
        if not new:
            return
        wanted = [(self._topic(each), 0) for each in new]
        committed = await metadata(self._settings, self._group, wanted)
        for each in new:
            place = _place_of(committed.get((self._topic(each), 0)))
            if each.forwarded_through > place.live.through:
                live = Chain(each.forwarded_through, each.told_through)
                place = place._replace(live=live)
            self._places[each.org_id, each.format] = place

    def _has_work(self, each: Subscription) -> bool:
        place = self._places[each.org_id, each.format]
        return (
            each.last_seq > place.live.through
            or _open_replay(each, place)
            or each.test_id not in (None, place.test_id)
            or self._is_silent(each)
        )

    def _is_silent(self, each: Subscription) -> bool:
        heard = self._heard.setdefault((each.org_id, each.format), self._clock())
        return self._clock() - heard > self._settings.forward.heartbeat_seconds

    # --- packing ------------------------------------------------------------------------------

    async def _packed(self, due: Sequence[Subscription]) -> list[Parcel]:
        """Read what is due, all live entries in one query and all replayed ones in another."""
        if not due:
            return []
        limit = max(ENTRIES_MIN, ENTRIES_MAX // len(due))
        places = [self._places[each.org_id, each.format] for each in due]
        live = [
            Wanted(each.org_id, place.live.through, each.last_seq)
            for each, place in zip(due, places, strict=True)
        ]
        again = [_replayed(each, place) for each, place in zip(due, places, strict=True)]
        entries = await store.entries_after(self._db, live, limit)
        repeats: list[list[Entry]] = [[] for _ in due]
        if any(wanted.through > wanted.after for wanted in again):
            repeats = await store.entries_after(self._db, again, limit)
        return [
            await self._parcel(each, new, old, limit)
            for each, new, old in zip(due, entries, repeats, strict=True)
        ]

    async def _parcel(
        self, each: Subscription, new: list[Entry], old: list[Entry], limit: int
    ) -> Parcel:
        """Make the records of a subscription: live entries first, then a replay's, then a test."""
        place = self._places[each.org_id, each.format]
        records, live = await self._chained(each, new, place.live, each.last_seq, limit=limit)
        if not records and self._is_silent(each):
            beat, live = messages.heartbeat(each, live, ())
            records = [beat]
        place, done = place._replace(live=live), None
        if each.replay is not None and _open_replay(each, place):
            wanted = each.replay
            chain = _replay_chain(each, place)
            more, chain = await self._chained(
                each, old, chain, wanted.through, limit=limit, replay=wanted.id
            )
            if chain.through >= wanted.through:
                done = wanted.id
                if chain.told < chain.through:
                    beat, chain = messages.heartbeat(each, chain, (), wanted.id)
                    more.append(beat)
            records += more
            place = place._replace(replay_id=wanted.id, replay=chain)
        if each.test_id not in (None, place.test_id):
            assert each.test_id is not None  # noqa: S101 - says so to the type checker
            records.append(messages.test_event(each, place.live, each.test_id))
            place = place._replace(test_id=each.test_id)
        return Parcel(each, records, place, done)

    async def _chained(
        self,
        each: Subscription,
        found: list[Entry],
        chain: Chain,
        end: int,
        *,
        limit: int,
        replay: UUID | None = None,
    ) -> tuple[list[Outgoing], Chain]:
        """Return the records of entries, and of the numbers among them that do not exist any more.

        ``end`` is the last number there is: fewer entries than the limit reach it.
        """
        first = chain.through + 1
        records, chain = messages.entries(each, found, chain, replay)
        whole = not found or chain.through == found[-1]["seq"]
        if whole and len(found) < limit:
            chain = chain._replace(through=max(end, chain.through))
        seen = sum(1 for entry in found if entry["seq"] <= chain.through)
        if chain.through - first + 1 > seen:
            gaps = await store.gaps(self._db, each.org_id, first, chain.through)
            beat, chain = messages.heartbeat(each, chain, gaps, replay)
            records.append(beat)
        return records, chain

    # --- sending ------------------------------------------------------------------------------

    async def _sent(self, parcels: Sequence[Parcel]) -> None:
        """Send all in one transaction; where that fails, one by one, to find whose fault it is."""
        try:
            await self._transact(parcels)
        except TopicRefused:
            parcels = await self._one_by_one(parcels)
        await self._note(parcels)

    async def _one_by_one(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        sent = []
        for parcel in parcels:
            try:
                await self._transact([parcel])
            except TopicRefused as error:
                await self._fail(parcel.subscription, str(error))
            else:
                sent.append(parcel)
        return sent

    async def _transact(self, parcels: Sequence[Parcel]) -> None:
        positions = {
            (self._topic(parcel.subscription), 0): Position(0, _text(parcel.place))
            for parcel in parcels
        }
        records = [record for parcel in parcels for record in parcel.records]
        await self._producer.transact(records, positions)
        now = self._clock()
        for parcel in parcels:
            self._places[parcel.name] = parcel.place
            if parcel.records:
                self._heard[parcel.name] = now
        metrics.forwarded(len(records))

    async def _note(self, parcels: Sequence[Parcel]) -> None:
        """Write in Postgres what Kafka has committed."""
        if parcels:
            await store.note_delivered(self._db, [_delivered(parcel) for parcel in parcels])

    async def _fail(self, each: Subscription, why: str) -> None:
        """Set a subscription aside for a while; it keeps its place."""
        name = each.org_id, each.format
        self._put_off[name] = self._clock() + RETRY_SECONDS
        self._places.pop(name, None)
        if each.error != why:
            log.warning("subscription_failed", extra={"topic": self._topic(each), "error": why})
        await store.note_failed(self._db, each.org_id, each.format, why)

    def _topic(self, each: Subscription) -> str:
        return self._settings.topic(topic_of(each.org_id, each.format))


def _open_replay(each: Subscription, place: Place) -> bool:
    return each.replay is not None and (
        place.replay_id != each.replay.id or place.replay.through < each.replay.through
    )


def _replay_chain(each: Subscription, place: Place) -> Chain:
    if each.replay is None or place.replay_id == each.replay.id:
        return place.replay
    return Chain(each.replay.after, each.replay.after)


def _replayed(each: Subscription, place: Place) -> Wanted:
    """Return what is to be read for a replay; an empty range when there is none."""
    if each.replay is None or not _open_replay(each, place):
        return Wanted(each.org_id, 0, 0)
    return Wanted(each.org_id, _replay_chain(each, place).through, each.replay.through)


def _behind(known: Iterable[Subscription], places: dict[Name, Place]) -> int:
    """Return how many entries the subscription that is furthest behind lacks."""
    lacking = [each.last_seq - places[each.org_id, each.format].live.through for each in known]
    return max(lacking, default=0)


def _delivered(parcel: Parcel) -> Delivered:
    subscription, place = parcel.subscription, parcel.place
    return Delivered(
        subscription.org_id,
        subscription.format,
        place.live.through,
        place.live.told,
        sent=bool(parcel.records),
        replay_done=parcel.replay_done,
        test_done=place.test_id,
    )


def _text(place: Place) -> str:
    """Return a place as the text that is committed."""
    said: dict[str, object] = {"live": list(place.live)}
    if place.replay_id is not None:
        said["replay"] = [str(place.replay_id), *place.replay]
    if place.test_id is not None:
        said["test"] = str(place.test_id)
    return orjson.dumps(said).decode()


def _place_of(text: str | None) -> Place:
    """Return the place that was committed; the beginning when there is none."""
    if not text:
        return Place(Chain(0, 0))
    said = orjson.loads(text)
    replay_id, *chain = said.get("replay") or (None, 0, 0)
    return Place(
        live=Chain(*said["live"]),
        replay_id=None if replay_id is None else UUID(replay_id),
        replay=Chain(*chain),
        test_id=UUID(said["test"]) if "test" in said else None,
    )
