"""A store that keeps in memory what matters of Postgres: rows, locks, transactions, and their ends.

Writes of a transaction stand in an overlay until it commits (READ COMMITTED); row locks are held
to its end, or back to the savepoint that is rolled back to. A statement that needs a lock which
another session has is tried again, from its beginning, when that session gives it up.
"""

from collections.abc import Callable
from datetime import date, timedelta
from itertools import count
from typing import Any

import asyncpg

from tests.simulation.loop import VirtualLoop

Key = tuple[Any, ...]

IDLE_IN_TRANSACTION_SECONDS = 15.0
REAPER_SECONDS = 2.0
GONE: Any = object()
"""Stands in an overlay where a row was removed."""


class BlockedError(Exception):
    """A statement cannot go on before another session gives a lock up."""

    def __init__(self, resource: Key, owner: "Session") -> None:
        """Keep which, and whose it is."""
        self.resource = resource
        self.owner = owner


class Store:
    """The server: committed rows by table and key, and who holds which lock."""

    def __init__(self, loop: VirtualLoop, today: date, days: int) -> None:
        """Begin with empty tables and with partitions for a window of days."""
        self.loop = loop
        self.rows: dict[Key, Any] = {}
        self.today = today
        window = [today + timedelta(days=n) for n in range(-days, 9)]
        self.days: dict[str, set[date]] = {
            "audit_entries": set(window),
            "dead_letters": set(window),
        }
        self.locks: dict[Key, Session] = {}
        self.sessions: dict[int, Session] = {}
        self.blocked: list[Blocked] = []
        self._pids = count(100)
        self._reap()

    def connect(self) -> "Session":
        """Open a session."""
        session = Session(self, next(self._pids))
        self.sessions[session.pid] = session
        return session

    def crash(self) -> None:
        """End every session; what was not committed never was."""
        for session in list(self.sessions.values()):
            session.end()

    def table(self, name: str) -> dict[Key, Any]:
        """Return the committed rows of a table by key."""
        return {key[1:]: row for key, row in self.rows.items() if key[0] == name}

    def run(self, session: "Session", act: Callable[["Session"], Any]) -> Any:
        """Run a statement; a future when it has to wait for a lock."""
        try:
            return session.run(act)
        except BlockedError as block:
            waiting = Blocked(self, session, act, block)
            waiting.refuse_deadlock()
            self.blocked.append(waiting)
            return waiting.done

    def released(self) -> None:
        """Let those go on who waited for a lock that was given up."""
        waiting, self.blocked = self.blocked, []
        for blocked in waiting:
            blocked.again()

    def blockers(self, pid: int) -> list[int]:
        """Return the sessions that keep another one waiting."""
        return [b.owner.pid for b in self.blocked if b.session.pid == pid]

    def _reap(self) -> None:
        """End sessions that are idle in a transaction for too long."""
        now = self.loop.time()
        for session in list(self.sessions.values()):
            waits = any(blocked.session is session for blocked in self.blocked)
            idle = now - session.heard_at > IDLE_IN_TRANSACTION_SECONDS
            if session.in_transaction and idle and not waits and not session.copying:
                session.end()
        self.loop.call_later(REAPER_SECONDS, self._reap, context=self.loop.outside)


class Session:
    """A backend: one client's connection and its transaction."""

    def __init__(self, store: Store, pid: int) -> None:
        """Begin outside of any transaction."""
        self.store = store
        self.pid = pid
        self.ended = False
        self.in_transaction = False
        self.failed = False
        self.copying = False
        self.lock_timeout_seconds = 0.0
        self.heard_at = store.loop.time()
        self._overlay: dict[Key, Any] = {}
        self._locks: list[Key] = []
        self._savepoints: dict[str, tuple[dict[Key, Any], int]] = {}

    # --- statements --------------------------------------------------------------------------

    def run(self, act: Callable[["Session"], Any]) -> Any:
        """Run one statement; an error spoils the transaction."""
        if self.ended:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed")
        self.heard_at = self.store.loop.time()
        if not self.in_transaction:
            return self._alone(act)
        try:
            return act(self)
        except asyncpg.PostgresError:
            self.failed = True
            raise

    def _alone(self, act: Callable[["Session"], Any]) -> Any:
        """Run a statement in a transaction of its own."""
        try:
            result = act(self)
        except (asyncpg.PostgresError, BlockedError):
            if not self.in_transaction:
                self._forget()
            raise
        if not self.in_transaction:
            self._apply()
        return result

    def begin(self) -> None:
        """Begin a transaction."""
        self.in_transaction = True
        self.failed = False

    def commit(self) -> None:
        """Make everything true at once."""
        self.in_transaction = False
        if self.failed:
            self._forget()
        else:
            self._apply()

    def rollback(self) -> None:
        """Make nothing true."""
        self.in_transaction = False
        self._forget()

    def savepoint(self, name: str) -> None:
        """Remember where the transaction stands."""
        self._savepoints[name] = (dict(self._overlay), len(self._locks))

    def rollback_to(self, name: str) -> None:
        """Go back to where it stood, its locks too."""
        overlay, held = self._savepoints[name]
        self._overlay = dict(overlay)
        self.failed = False
        for resource in self._locks[held:]:
            del self.store.locks[resource]
        del self._locks[held:]
        self.store.released()

    def end(self) -> None:
        """End the session, as a crash or ``pg_terminate_backend`` does."""
        self.ended = True
        self.store.sessions.pop(self.pid, None)
        for blocked in [b for b in self.store.blocked if b.session is self]:
            self.store.blocked.remove(blocked)
            blocked.fail(asyncpg.ConnectionDoesNotExistError("connection was closed"))
        self.rollback()

    # --- rows --------------------------------------------------------------------------------

    def get(self, *key: Any) -> Any:
        """Return a row as this transaction sees it, None when there is none."""
        row = self._overlay.get(key)
        if row is None:
            return self.store.rows.get(key)
        return None if row is GONE else row

    def put(self, row: Any, *key: Any) -> None:
        """Write a row."""
        self._overlay[key] = row

    def lock(self, *resource: Any) -> None:
        """Have a row to the end of the transaction, or wait for it."""
        owner = self.store.locks.get(resource)
        if owner is self:
            return
        if owner is not None:
            raise BlockedError(resource, owner)
        self.store.locks[resource] = self
        self._locks.append(resource)

    def claim(self, *key: Any) -> bool:
        """Take a key for a new row; false when a row has it; wait for a transaction that may."""
        for other in self.store.sessions.values():
            if other is not self and key in other._overlay:
                raise BlockedError(key, other)
        return self.get(*key) is None

    def _apply(self) -> None:
        self.store.rows.update(self._overlay)
        self._forget()

    def _forget(self) -> None:
        self._overlay = {}
        self._savepoints.clear()
        self.failed = self.copying = False
        self.lock_timeout_seconds = 0.0
        held, self._locks = self._locks, []
        for resource in held:
            del self.store.locks[resource]
        self.store.released()


class Blocked:
    """A statement that waits for a lock."""

    def __init__(
        self, store: Store, session: Session, act: Callable[[Session], Any], block: BlockedError
    ) -> None:
        """Wait, for the session's lock time-out at most."""
        self.session = session
        self.owner = block.owner
        self.done = store.loop.create_future()
        self._store = store
        self._act = act
        if session.lock_timeout_seconds:
            store.loop.call_later(
                session.lock_timeout_seconds, self._too_long, context=store.loop.outside
            )

    def again(self) -> None:
        """Try the statement again."""
        if self.done.done():
            return
        try:
            result = self.session.run(self._act)
        except BlockedError as block:
            self.owner = block.owner
            self._store.blocked.append(self)
        except asyncpg.PostgresError as error:
            self.fail(error)
        else:
            self.done.set_result(result)

    def fail(self, error: Exception) -> None:
        """Give up waiting."""
        if not self.done.done():
            self.done.set_exception(error)

    def refuse_deadlock(self) -> None:
        """Raise when who is waited for waits, at some distance, for this very session."""
        waits_for = {blocked.session: blocked.owner for blocked in self._store.blocked}
        at: Session | None = self.owner
        while at is not None:
            if at is self.session:
                self.session.failed = True
                raise asyncpg.DeadlockDetectedError("deadlock detected")
            at = waits_for.get(at)

    def _too_long(self) -> None:
        if self in self._store.blocked:
            self._store.blocked.remove(self)
            self.session.failed = True
            self.fail(asyncpg.LockNotAvailableError("canceling statement due to lock timeout"))
