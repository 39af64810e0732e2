"""What the routes work with, made once for a process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from processor.api.access import VIEW, Viewer
from processor.api.cursor import Cursors
from processor.api.limits import Limits, Places, Turns
from processor.api.problems import Problem
from processor.api.self_audit import SelfAudit
from processor.api.tokens import Verifier
from processor.emit.own_events import OwnEvents
from processor.settings import Settings
from processor.store import service_tokens
from processor.store.books import ours
from processor.store.feed import completeness
from processor.store.pool import FORWARDER, Database
from processor.store.reader import Reader

COMPLETE_SECONDS = 1.0
"""How long the answer to "complete up to when" serves everybody who asks."""

REFUSALS_PER_SECOND, REFUSALS_BURST = 1.0, 30
"""So many tokens that are none an address may try before it is not listened to for a while."""


@dataclass
class Services:
    """The store's reader, who may read, and whom to tell of it.

    ``exporting`` has some of the reader's connections, for exports of all organizations together.
    ``control`` is for what is not an organization's log: whose a token is, subscriptions. Over
    ``probe``, one connection, it is only asked whether the store is there.
    """

    settings: Settings
    reader: Reader
    exporting: Reader
    control: Database
    probe: Database
    verifier: Verifier
    cursors: Cursors
    limits: Limits
    refusals: Limits
    searches: Turns
    orders: Turns
    pages: Places
    exports: Places
    tails: Places
    events: OwnEvents
    self_audit: SelfAudit
    _complete: tuple[float, datetime | None] = (float("-inf"), None)

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> AsyncIterator[Self]:
        """Connect to the store and the bus for the length of a block."""
        serve, secret = settings.serve, settings.serve.cursor_secret
        cursors = Cursors(secret.get_secret_value() if secret else None)
        async with (
            Reader.opened(settings, connections=serve.connections) as reader,
            ours(settings, role=FORWARDER, connections=2) as control,
            ours(settings, role=FORWARDER, connections=1) as probe,
            aclosing(Verifier(settings.access)) as verifier,
            OwnEvents.opened(settings) as events,
        ):
            yield cls(
                settings,
                reader,
                reader.sharing(max(1, serve.connections // 2)),
                control,
                probe,
                verifier,
                cursors,
                Limits(serve.requests_per_second, serve.burst_requests),
                Limits(REFUSALS_PER_SECOND, REFUSALS_BURST),
                Turns(serve.searches_at_once or max(1, serve.connections // 4), "searches"),
                Turns(1, "orders"),
                Places(serve.exports_at_once, "large pages"),
                Places(serve.exports_at_once, "exports"),
                Places(serve.tails_at_once, "live tails"),
                events,
                SelfAudit(events, cursors),
            )

    async def oldest(self) -> tuple[datetime, datetime]:
        """Return the database's now, and the instant before which entries count as purged."""
        now = await self.reader.now()
        return now, now - timedelta(days=self.settings.retention_days)

    async def complete_up_to(self) -> datetime | None:
        """Return up to when the log is complete, None while that is not known."""
        clock = asyncio.get_running_loop().time()
        if clock - self._complete[0] > COMPLETE_SECONDS:
            self._complete = clock, await completeness(self.reader, self.settings.raw_topics)
        return self._complete[1]

    async def service_viewer(self, token: str) -> Viewer:
        """Return the program that a service token stands for; raises Problem."""
        found = await service_tokens.use(self.control, token)
        if found is None:
            raise Problem("token_invalid", "the service token is unknown, expired or revoked")
        return Viewer(
            org_id=found.org_id,
            subject=f"service-token:{found.id}",
            email=None,
            name=found.name,
            role="service",
            permissions=frozenset({VIEW}),
            type="service",
            valid_until=found.expires_at.timestamp(),
        )
