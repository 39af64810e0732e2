"""The consumer group on the bus: members come, go and fall silent; lanes are dealt out by range."""

import asyncio
from dataclasses import dataclass

from tests.simulation.loop import VirtualLoop

EXPIRY_SECONDS = 0.25
"""How often members that fell silent are looked for."""

Share = tuple[int, frozenset[int]]
"""A generation, and the lanes that a member has in it."""


@dataclass
class Member:
    """A member: when it was heard last, and its wish to join while it waits for the others."""

    heard_at: float
    joining: "asyncio.Future[Share] | None" = None


class Group:
    """The group's coordinator."""

    def __init__(self, loop: VirtualLoop, *, lanes: int, session_seconds: float) -> None:
        """Begin without members."""
        self._loop = loop
        self._lanes = lanes
        self._session_seconds = session_seconds
        self._members: dict[str, Member] = {}
        self._generation = 0
        self._rebalancing_since: float | None = None
        self._scan()

    def join(self, name: str) -> "asyncio.Future[Share]":
        """Become a member, or stay one in the next generation; answered when all have said so."""
        now = self._loop.time()
        member = self._members.setdefault(name, Member(now))
        member.heard_at = now
        joining = member.joining = member.joining or self._loop.create_future()
        if self._rebalancing_since is None:
            self._rebalancing_since = now
        self._deal_out()
        return joining

    def heartbeat(self, name: str, generation: int) -> bool:
        """Tell whether the member may go on as it is, or has to join again."""
        member = self._members.get(name)
        if member is None:
            return False
        member.heard_at = self._loop.time()
        return generation == self._generation and self._rebalancing_since is None

    def leave(self, name: str) -> None:
        """Be a member no more."""
        if self._members.pop(name, None) is not None and self._members:
            self._rebalancing_since = self._loop.time()
            self._deal_out()

    def _deal_out(self) -> None:
        """Begin the next generation when every member has asked for it."""
        waiting = [member.joining for member in self._members.values()]
        if self._rebalancing_since is None or not waiting or None in waiting:
            return
        self._generation += 1
        self._rebalancing_since = None
        names = sorted(self._members)
        size, extra = divmod(self._lanes, len(names))
        first = 0
        for at, name in enumerate(names):
            member = self._members[name]
            end = first + size + (at < extra)
            joining, member.joining = member.joining, None
            member.heard_at = self._loop.time()
            if joining is not None and not joining.done():
                joining.set_result((self._generation, frozenset(range(first, end))))
            first = end

    def _scan(self) -> None:
        """Drop who was not heard for a session, or keeps a rebalance waiting for one."""
        now = self._loop.time()
        since = self._rebalancing_since
        late = since is not None and now - since > self._session_seconds
        for name, member in list(self._members.items()):
            silent = now - member.heard_at > self._session_seconds
            if member.joining is None and (silent or late):
                del self._members[name]
                self._rebalancing_since = now if since is None else since
        self._deal_out()
        self._loop.call_later(EXPIRY_SECONDS, self._scan, context=self._loop.outside)
