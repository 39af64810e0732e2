"""One shard of subscriptions: read the store by ``seq``, send, and keep every place exactly once.

Where a subscription stands is committed in the Kafka transaction that carries its records, as the
text of a group's offset for its topic; the row in Postgres follows. A forwarder starts the shard's
producer first, which fences a predecessor and ends its transaction, and then goes on from the
larger of the two places. So a crash at any point, or a predecessor that wakes from a freeze,
repeats nothing and loses nothing; and a topic that is empty, expired or made anew changes nothing,
since no place is read from the topic itself.

Whenever the producer starts, all places are read again: starting fences whoever has taken over
meanwhile, and from then on only what is committed counts.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from processor import metrics
from processor.emit import topics
from processor.emit.lookup import holds
from processor.emit.producer import Position, TransactionalProducer
from processor.emit.route import Outgoing
from processor.errors import BusOutage, Doubt, Fenced, Outage, TopicRefused
from processor.forward.packing import Parcel, packed
from processor.forward.place import Place, furthest, place_of, reached
from processor.forward.standing import Standing, keep_only
from processor.ingest.group import metadata
from processor.settings import Settings
from processor.store import subscriptions as store
from processor.store.pool import Database
from processor.store.recovery import LOST_COMMITS
from processor.store.subscriptions import Subscription
from schemas.subscription import topic_of

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""Between two looks for news: what a subscriber waits at most when nothing else is to be done."""

TOPICS_SECONDS = 15.0
MISSING = "topic {topic} does not exist: create it with one partition, or delete the subscription"
NOT_TAKEN = "the bus refuses its records ({said}): look at the topic's replicas and options"
UNSURE = "whether its last records arrived is not known yet: {said}"
LOST = (
    "the database lost entries that were delivered: up to {through} they were, it goes up to"
    " {last}: run `hub-audit recover`; should that find nothing any more, resume this and replay"
    " after {last}"
)
BACKOFF_SECONDS_MIN, BACKOFF_SECONDS_MAX = 0.5, 10.0


class Doubted(NamedTuple):
    """A transaction whose outcome is not known: when it began, in UNIX ms, and its last records.

    By subscription, and of its live chain, its replay's and its test event.
    """

    made_ms: int
    records: dict[UUID, list[Outgoing]]


class Shard:
    """Forwards the subscriptions of one shard for as long as it is held."""

    def __init__(self, settings: Settings, db: Database, shard: int) -> None:
        """Prepare the shard; ``run`` forwards."""
        self._settings = settings
        self._db = db
        self._shard = shard
        self._group = f"{settings.group}.forward"
        self._producer = TransactionalProducer(settings, f"siem.{shard}", self._group)
        self._standing = Standing(
            settings.forward.heartbeat_seconds, asyncio.get_running_loop().time
        )
        self._known: dict[UUID, Place] = {}  # facts from before the start
        self._doubted: list[Doubted] = []
        self._topics: frozenset[str] = frozenset()
        self._topics_at = float("-inf")

    async def run(self) -> None:
        """Forward until cancelled, or until another forwarder has taken the shard over."""
        backoff = BACKOFF_SECONDS_MIN
        try:
            while True:
                try:
                    while True:
                        worked = await self.round()
                        backoff = BACKOFF_SECONDS_MIN
                        if not worked:
                            await asyncio.sleep(POLL_SECONDS)
                except Outage as error:
                    log.warning("shard_waits", extra={"shard": self._shard, "error": str(error)})
                await self.end()
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)
        except Fenced:
            log.info("shard_lost", extra={"shard": self._shard})
        finally:
            await self.end()

    async def begin(self) -> None:
        """Fence whoever had the shard, and forget all places: they are read again."""
        await self._producer.start()
        self._known |= self._standing.places
        self._standing.places.clear()
        self._standing.settled = True
        self._topics_at = float("-inf")

    async def end(self) -> None:
        """Send nothing any more; what was just being sent is left to the transaction."""
        await self._producer.abandon()

    async def round(self) -> bool:
        """Send everybody what is new for them, within bounds; tell whether there was anything."""
        if not self._producer.ready:
            await self.begin()
        looked_at = time.time()
        served = await self._served()
        if self._without_place(served) and not self._standing.settled:
            await self.begin()
            looked_at = time.time()
            served = await self._served()  # another may have carried out orders we read before
        await self._find_places(served)
        placed = [each for each in served if each.id in self._standing.places]
        served = [each for each in placed if not await self._lost(each)]
        metrics.forward_lag(self._shard, self._standing.behind(served))
        due = self._standing.due(served)
        for together in self._standing.apart_from_suspects(due):
            if not await self._sent(await packed(self._db, together)):
                break  # the producer is to be started, and then all places are read again
        if self._standing.behind(served) <= 0:
            metrics.forward_level(self._shard, looked_at)
        return bool(due)

    # --- what is to be done ------------------------------------------------------------------

    async def _served(self) -> list[Subscription]:
        """Read the shard's subscriptions, and return those that can be served now."""
        standing = self._standing
        subscriptions = await store.of_shard(self._db, self._shard)
        ids = {each.id for each in subscriptions}
        standing.keep_only(ids)
        keep_only(self._known, ids)
        for doubted in self._doubted:
            keep_only(doubted.records, ids)
        self._doubted = [doubted for doubted in self._doubted if doubted.records]
        ready = [each for each in subscriptions if not standing.is_put_off(each)]
        present = await self._present_topics(ready)
        served = []
        for each in ready:
            topic = self._topic(each)
            missing = None if topic in present else MISSING.format(topic=topic)
            if why := each.unusable or missing:
                await self._fail(each, why)
            else:
                served.append(each)
        return served

    async def _present_topics(self, ready: Sequence[Subscription]) -> frozenset[str]:
        unseen = any(self._topic(each) not in self._topics for each in ready)
        now = self._standing.clock()
        if unseen or now - self._topics_at > TOPICS_SECONDS:
            self._topics, self._topics_at = await topics.names(self._settings), now
        return self._topics

    def _without_place(self, served: Sequence[Subscription]) -> list[Subscription]:
        return [each for each in served if each.id not in self._standing.places]

    async def _find_places(self, served: Sequence[Subscription]) -> None:
        """Read where subscriptions stand that are new here.

        What is committed may be answered wrongly for some milliseconds after a commit, though not
        after a start; but after a broker's restart its coordinator may know nothing of it, or a
        part. So what was known here before counts as well, and what a transaction in doubt has
        brought about is looked for on a topic.
        """
        new = self._without_place(served)
        if not new:
            return
        wanted = [(self._topic(each), 0) for each in new]
        committed = await metadata(self._settings, self._group, wanted)
        for each, topic in zip(new, wanted, strict=True):
            place = place_of(each, committed.get(topic))
            known = furthest(each, (place, self._known.get(each.id, place)))
            try:
                self._standing.places[each.id] = await self._proved(each, known)
            except BusOutage as error:
                await self._fail(each, UNSURE.format(said=error))
            else:
                self._known.pop(each.id, None)

    async def _proved(self, each: Subscription, place: Place) -> Place:
        """Return where a subscription stands if what is in doubt of it is on its topic.

        A record that is there says so for its own chain alone: another forwarder may have sent it,
        in a transaction that was composed otherwise. One that is not there says of its whole
        transaction that it never was.
        """
        for doubted in self._doubted:
            for record in doubted.records.get(each.id, ()):
                led = reached(each, place, record.headers)
                if led == place:
                    continue
                found = await holds(self._settings, record, doubted.made_ms)
                if found is False:
                    doubted.records.clear()
                    break
                if found:
                    place = led
            doubted.records.pop(each.id, None)
        return place

    async def _lost(self, each: Subscription) -> bool:
        """Tell whether the database has lost what was delivered; the subscription fails then.

        Numbers that were delivered would be given again, to entries that are never sent. Should
        they have been given already, it still fails until somebody has looked at it, or recovering
        has skipped them.
        """
        through = self._standing.places[each.id].live.through
        known = each.error if (each.error or "").startswith(LOST[: LOST.index("{")]) else None
        if through <= each.last_seq and known is None:
            return False
        # The row may have been read before another forwarder delivered what it does not say.
        last = await store.last_seq(self._db, each.org_id)
        if through <= last:
            gone = await store.gaps(self._db, each.org_id, through, through)
            if known is None or any(gap.reason == LOST_COMMITS for gap in gone):
                return False
        await self._fail(each, known or LOST.format(through=through, last=last))
        return True

    # --- sending ------------------------------------------------------------------------------

    async def _sent(self, parcels: Sequence[Parcel]) -> bool:
        """Send all in one transaction and note it; False when nothing can be sent after it as is.

        Either a topic refused, or the commit was slow: whoever comes next is not to blame for that.
        Those that may be to blame are sent one by one from then on, until they have passed.
        """
        try:
            await self._transact(parcels)
        except (TopicRefused, BusOutage) as error:
            await self._blame([each.subscription for each in parcels], error)
            return False
        self._standing.passed(parcels)
        await store.note_delivered(self._db, [parcel.delivered() for parcel in parcels])
        return self._producer.ready

    async def _blame(self, suspects: list[Subscription], error: BusOutage) -> None:
        """Find whose fault it is that a transaction failed; raises again while that is open."""
        if isinstance(error, TopicRefused):
            named = [each for each in suspects if self._topic(each) in error.topics]
            suspects = named or suspects
            if len(suspects) == 1:
                await self._fail(suspects[0], str(error))
        elif len(suspects) == 1 and suspects[0].id in self._standing.suspects:
            # The bus took our start, and this alone it took twice not.
            said = type(error.__cause__ or error).__name__
            await self._fail(suspects[0], NOT_TAKEN.format(said=said))
        self._standing.suspect(suspects)
        if not isinstance(error, TopicRefused):
            raise error

    async def _transact(self, parcels: Sequence[Parcel]) -> None:
        positions = {
            (self._topic(each.subscription), 0): Position(0, each.place.text(each.subscription.id))
            for each in parcels
        }
        records = [record for parcel in parcels for record in parcel.records]
        self._standing.settled = False
        began_ms = int(time.time() * 1000)
        try:
            await self._producer.transact(records, positions)
        except Doubt:
            last = {each.subscription.id: each.last_of_chains() for each in parcels}
            self._doubted.append(Doubted(began_ms, last))
            raise
        metrics.forwarded(len(records))

    async def _fail(self, each: Subscription, why: str) -> None:
        """Set a subscription aside for a while; it keeps its place."""
        if each.error != why:
            log.warning("subscription_failed", extra={"topic": self._topic(each), "error": why})
        self._standing.put_off(each)
        await store.note_failed(self._db, each.id, why)

    def _topic(self, each: Subscription) -> str:
        return self._settings.topic(topic_of(each.org_id, each.format))
