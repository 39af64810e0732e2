"""What is ordered of a subscription: created, paused, replayed, tested, ended.

Every order is told to the organization first, as an event on ``raw.audit`` that the bus has
acknowledged: nobody changes unseen where the log goes.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self
from uuid import uuid4  # noqa: TID251 - an order happens here and has no identity yet

from processor.emit import topics
from processor.emit.own_events import OwnEvent, OwnEvents
from processor.emit.route import murmur2
from processor.errors import HubAuditError
from processor.normalize import known_org
from processor.settings import Settings
from processor.store import subscriptions as store
from processor.store.pool import FORWARDER, Database
from processor.store.subscriptions import Subscription
from schemas.catalogue import FormatName
from schemas.subscription import Filter, topic_of

CHANGED = "audit.subscription.changed.v1"


class SubscriptionError(HubAuditError):
    """An order that makes no sense: no such subscription, or one there already."""


class Created(NamedTuple):
    """A new subscription's topic, and the commands that let its subscriber read it."""

    topic: str
    acls: list[str]


class Control:
    """Carries out the orders of one person or program, who is named in the log."""

    def __init__(
        self, settings: Settings, db: Database, events: OwnEvents, actor: dict[str, str]
    ) -> None:
        """Keep where orders go, and whose they are."""
        self._settings, self._db, self._events, self._actor = settings, db, events, actor

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings, actor: dict[str, str]) -> AsyncIterator[Self]:
        """Connect to the bus and the store for the length of a block."""
        dsn = settings.postgres.dsn.get_secret_value()
        db = await Database.open(dsn, role=FORWARDER, connections=1)
        try:
            async with OwnEvents.opened(settings) as events:
                yield cls(settings, db, events, actor)
        finally:
            await db.close()

    async def create(self, org_id: str, name: FormatName, wanted: Filter) -> Created:
        """Begin a subscription with the next entry, and make its topic."""
        if known_org(org_id) is None:
            raise SubscriptionError("an organization is 1 to 128 characters of A-Z a-z 0-9 _ -")
        if await self._find(org_id, name) is not None:
            raise SubscriptionError(f"{topic_of(org_id, name)} exists already")
        after = {"state": "active", "filter": wanted.model_dump(exclude_defaults=True)}
        await self._tell(org_id, name, {}, after)
        topic = self._settings.topic(topic_of(org_id, name))
        await topics.create_siem(self._settings, topic)
        if not await store.create(self._db, org_id, name, murmur2(org_id.encode()), wanted):
            raise SubscriptionError(f"{topic_of(org_id, name)} exists already")
        return Created(topic, acls(org_id, topic))

    async def pause(self, org_id: str, name: FormatName) -> None:
        """Deliver nothing until it is resumed; the place is kept for as long as entries are."""
        await self._existing(org_id, name)
        await self._tell(org_id, name, {"state": "active"}, {"state": "paused"})
        await store.set_paused(self._db, org_id, name, paused=True)

    async def resume(self, org_id: str, name: FormatName) -> None:
        """Go on where it was paused."""
        await self._existing(org_id, name)
        await self._tell(org_id, name, {"state": "paused"}, {"state": "active"})
        await store.set_paused(self._db, org_id, name, paused=False)

    async def replay(
        self, org_id: str, name: FormatName, after: int | datetime, through: int | None = None
    ) -> int:
        """Deliver again what came after a number or from a time on; returns up to which number."""
        subscription = await self._existing(org_id, name)
        if isinstance(after, datetime):
            after = await store.seq_at(self._db, org_id, after)
        if after >= subscription.forwarded_through:
            raise SubscriptionError(
                f"nothing after {after} has been delivered: "
                f"the last one is {subscription.forwarded_through}"
            )
        await self._tell(org_id, name, {}, {"replay": {"after_seq": after, "through_seq": through}})
        last = await store.order_replay(self._db, org_id, name, after, through)
        return last or 0

    async def test(self, org_id: str, name: FormatName) -> None:
        """Deliver an event that says that it is a test."""
        await self._existing(org_id, name)
        await self._tell(org_id, name, {}, {"test": True})
        await store.order_test(self._db, org_id, name)

    async def delete(self, org_id: str, name: FormatName) -> None:
        """End a subscription and delete its topic: what was delivered is the subscriber's."""
        await self._existing(org_id, name)
        await self._tell(org_id, name, {"state": "active"}, {"state": "deleted"})
        await store.delete(self._db, org_id, name)
        await topics.delete(self._settings, self._settings.topic(topic_of(org_id, name)))

    async def listed(self, org_id: str | None = None) -> list[Subscription]:
        """Return the subscriptions of an organization, or of all."""
        return await store.listed(self._db, org_id)

    async def _find(self, org_id: str, name: FormatName) -> Subscription | None:
        found = [each for each in await store.listed(self._db, org_id) if each.format == str(name)]
        return found[0] if found else None

    async def _existing(self, org_id: str, name: FormatName) -> Subscription:
        subscription = await self._find(org_id, name)
        if subscription is None:
            raise SubscriptionError(f"there is no subscription {topic_of(org_id, name)}")
        return subscription

    async def _tell(
        self, org_id: str, name: FormatName, before: dict[str, Any], after: dict[str, Any]
    ) -> None:
        data = {
            "actor": self._actor,
            "subscription": {"id": topic_of(org_id, name)},
            "before": before,
            "after": after,
        }
        now = datetime.now(UTC)  # noqa: TID251 - when it was ordered
        await self._events.publish([OwnEvent(str(uuid4()), CHANGED, now, org_id, data)])


def acls(org_id: str, topic: str) -> list[str]:
    """Return the commands that let an organization's SIEM read its topic, and nobody else's."""
    principal = f"--allow-principal User:siem-{org_id}"
    return [
        f"kafka-acls.sh --add {principal} {what} --resource-pattern-type literal"
        for what in (
            f"--operation Read --operation Describe --topic {topic}",
            f"--operation Read --group siem.{org_id}",
        )
    ]
