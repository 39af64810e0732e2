"""What is ordered of a subscription: created, paused, replayed, tested, ended.

Every order is told to the organization first, as an event on ``raw.audit`` that the bus has
acknowledged: nobody changes unseen where the log goes.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, Self
from uuid import uuid4  # noqa: TID251 - an order happens here and has no identity yet

from processor.emit import acls, topics
from processor.emit.own_events import OwnEvent, OwnEvents
from processor.emit.route import murmur2
from processor.errors import HubAuditError, StartRefused
from processor.normalize import known_org
from processor.settings import Settings
from processor.store import subscriptions as store
from processor.store.books import ours
from processor.store.pool import FORWARDER, Database
from processor.store.reader import Reader
from processor.store.subscriptions import Subscription
from schemas.catalogue import FormatName
from schemas.subscription import Filter, topic_of

CHANGED = "audit.subscription.changed.v1"

MATCHED_NOTHING = (
    f"no entry of the last {store.MATCHED_DAYS} days would have passed this filter: "
    "is it what you want?"
)
NOT_SHUT_OUT = (
    "Hub Audit may not take the reader's ACLs back: have the operators of the bus run the commands"
)
NOT_LET_IN = "the bus has to let the SIEM in: have its operators run the commands"


Looks = Callable[[str, Filter], Awaitable[bool | None]]
"""Tells whether a filter would have let any entry of an organization pass; None: not known."""


class SubscriptionError(HubAuditError):
    """An order that makes no sense; the message says why."""


class AlreadySubscribed(SubscriptionError):
    """There is a subscription of this organization and format."""


class NotSubscribed(SubscriptionError):
    """There is none."""


class Connection(NamedTuple):
    """What a SIEM's reader has to be told to read its topic, and nobody else's."""

    bootstrap_servers: str
    security_protocol: str
    topic: str
    group_id: str
    isolation_level: str
    principal: str


class Created(NamedTuple):
    """A new subscription's topic, whether its reader is let in, and what is to be considered."""

    topic: str
    access: store.Access
    acls: list[str]
    unmatched: bool

    @property
    def warnings(self) -> list[str]:
        """What its owner should look at."""
        found = [MATCHED_NOTHING] if self.unmatched else []
        return [*found, NOT_LET_IN] if self.access == "by_hand" else found


def connection_of(settings: Settings, org_id: str, name: FormatName) -> Connection:
    """Return how the subscriber of an organization's format connects, whether there is one yet."""
    public = settings.forward
    return Connection(
        bootstrap_servers=public.public_bootstrap_servers or settings.kafka.bootstrap_servers,
        security_protocol=public.public_security_protocol or settings.kafka.security_protocol,
        topic=settings.topic(topic_of(org_id, name)),
        group_id=acls.group_of(org_id),
        isolation_level="read_committed",
        principal=acls.principal_of(org_id),
    )


def commands_of(settings: Settings, org_id: str, name: FormatName) -> list[str]:
    """Return the commands that let the subscriber read its topic."""
    topic = settings.topic(topic_of(org_id, name))
    return acls.commands(settings, org_id, topic)


def removal_of(settings: Settings, org_id: str, name: FormatName, *, last: bool) -> list[str]:
    """Return the commands that take that back; ``last``: the organization has no other topic."""
    return acls.removal(settings, org_id, settings.topic(topic_of(org_id, name)), last=last)


def waits_for(*, paused: bool, running: bool) -> str:
    """Return what has to happen before an order is carried out, to stand behind it; mostly empty.

    ``running`` is whether a forwarder is.
    """
    if paused:
        return " (delivered when it is resumed)"
    return "" if running else " (delivered when a forwarder runs)"


class Control:
    """Carries out the orders of one person or program, who is named in the log."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        events: OwnEvents,
        actor: dict[str, str],
        client: Mapping[str, str] | None = None,
        *,
        looks: Looks | None = None,
    ) -> None:
        """Keep where orders go, whose they are, and where those come from if that is known.

        Looking through the log takes its time: where others wait for ``db``, it is done elsewhere.
        """
        self._settings, self._db, self._events, self._actor = settings, db, events, actor
        self._client = dict(client or {})
        self._looks = looks or partial(store.matched, Reader(db, store.MATCHED_SECONDS_MAX))

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings, actor: dict[str, str]) -> AsyncIterator[Self]:
        """Connect to the bus and the store for the length of a block."""
        async with ours(settings, role=FORWARDER) as db, OwnEvents.opened(settings) as events:
            yield cls(settings, db, events, actor)

    async def create(self, org_id: str, name: FormatName, wanted: Filter) -> Created:
        """Begin a subscription with the next entry; make its topic, and let its reader in.

        The row comes last: until then nothing is delivered, and all before it can be done again.
        Whoever orders the same at once has to wait until this is done: it would be told of before
        the row says that there is one already.
        """
        if known_org(org_id) is None:
            raise SubscriptionError("an organization is 1 to 128 characters of A-Z a-z 0-9 _ -")
        if await self.find(org_id, name) is not None:
            raise AlreadySubscribed(f"{topic_of(org_id, name)} exists already")
        matched = await self._looks(org_id, wanted)
        after = {"state": "active", "filter": wanted.model_dump(exclude_defaults=True)}
        await self._tell(org_id, name, {}, after)
        topic = self._settings.topic(topic_of(org_id, name))
        try:
            await topics.create_siem(self._settings, topic)
        except StartRefused as error:
            raise SubscriptionError(str(error)) from error
        let_in = [*acls.of_topic(org_id, topic), *acls.of_group(org_id)]
        access = await acls.allow(self._settings, let_in)
        hashed = murmur2(org_id.encode())
        if not await store.create(self._db, org_id, name, hashed, wanted, access):
            raise AlreadySubscribed(
                f"{topic_of(org_id, name)} was created by somebody else just now"
            )
        commands = commands_of(self._settings, org_id, name)
        return Created(topic, access, commands, unmatched=matched is False)

    async def knows(self, org_id: str) -> bool:
        """Tell whether there ever was an entry of an organization: one that is new has none."""
        return await store.last_seq(self._db, org_id) > 0

    async def pause(self, org_id: str, name: FormatName) -> None:
        """Deliver nothing until it is resumed; the place is kept for as long as entries are."""
        subscription = await self.existing(org_id, name)
        await self._tell(org_id, name, {"state": subscription.state}, {"state": "paused"})
        await store.set_paused(self._db, org_id, name, paused=True)

    async def resume(self, org_id: str, name: FormatName) -> None:
        """Go on where it was paused."""
        subscription = await self.existing(org_id, name)
        await self._tell(org_id, name, {"state": subscription.state}, {"state": "active"})
        await store.set_paused(self._db, org_id, name, paused=False)

    async def replay(
        self, org_id: str, name: FormatName, after: int | datetime, through: int | None = None
    ) -> int:
        """Deliver again what came after a number or from a time on; returns up to which number.

        A replay that is still under way is given up for the new one.
        """
        subscription = await self.existing(org_id, name)
        if isinstance(after, datetime):
            after = await store.seq_before(self._db, org_id, after)
        last = subscription.forwarded_through
        if after >= last:
            raise SubscriptionError(
                f"nothing after {after} has been delivered: the last one is {last}"
            )
        if through is not None and through <= after:
            raise SubscriptionError(f"there is nothing after {after} and up to {through}")
        await self._tell(org_id, name, {}, {"replay": {"after_seq": after, "through_seq": through}})
        return await store.order_replay(self._db, org_id, name, after, through) or 0

    async def test(self, org_id: str, name: FormatName) -> None:
        """Deliver an event that says that it is a test."""
        await self.existing(org_id, name)
        await self._tell(org_id, name, {}, {"test": True})
        await store.order_test(self._db, org_id, name)

    async def waits_for(self, org_id: str, name: FormatName) -> str:
        """Return what has to happen before an order is carried out, as ``waits_for`` does."""
        paused = (await self.existing(org_id, name)).paused
        return waits_for(paused=paused, running=await store.forwarding(self._db))

    async def delete(self, org_id: str, name: FormatName) -> list[str]:
        """End a subscription and delete its topic: what was delivered is the subscriber's.

        The row goes last: what was cut off before, or refused, can be ordered again. Returns what
        operators of the bus have to run where its reader's rights are not ours to take back.
        """
        subscription = await self.existing(org_id, name)
        await self._tell(org_id, name, {"state": subscription.state}, {"state": "deleted"})
        await store.set_paused(self._db, org_id, name, paused=True)
        topic = self._settings.topic(topic_of(org_id, name))
        shut_out = acls.of_topic(org_id, topic)
        last = len(await self.listed(org_id)) == 1
        if last:
            shut_out += acls.of_group(org_id)
        access = await acls.disallow(self._settings, shut_out)
        try:
            await topics.delete(self._settings, topic)
        except StartRefused as error:
            raise SubscriptionError(f"{error}: the subscription stays, paused") from error
        await store.delete(self._db, subscription.id)
        return removal_of(self._settings, org_id, name, last=last) if access == "by_hand" else []

    async def listed(self, org_id: str | None = None) -> list[Subscription]:
        """Return the subscriptions of an organization, or of all."""
        return await store.listed(self._db, org_id)

    async def find(self, org_id: str, name: FormatName) -> Subscription | None:
        """Return a subscription, None when there is none."""
        found = [each for each in await store.listed(self._db, org_id) if each.format == str(name)]
        return found[0] if found else None

    async def existing(self, org_id: str, name: FormatName) -> Subscription:
        """Return a subscription; raises NotSubscribed when there is none."""
        subscription = await self.find(org_id, name)
        if subscription is None:
            raise NotSubscribed(f"there is no subscription {topic_of(org_id, name)}")
        return subscription

    async def _tell(
        self, org_id: str, name: FormatName, before: dict[str, Any], after: dict[str, Any]
    ) -> None:
        data = {
            "actor": self._actor,
            "client": self._client,
            "subscription": {"id": topic_of(org_id, name)},
            "before": before,
            "after": after,
        }
        now = datetime.now(UTC)  # noqa: TID251 - when it was ordered
        await self._events.publish([OwnEvent(str(uuid4()), CHANGED, now, org_id, data)])
