"""The fake store's clients: what the product's ``Database`` sees of asyncpg's pool."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from processor.store.pool import Database, outages
from tests.simulation.database import Session, Store
from tests.simulation.loop import Process
from tests.simulation.network import Network
from tests.simulation.statements import Row, copy_dead_letters, copy_entries, execute


class FakeDatabase(Database):
    """The product's pool over the fake store."""

    def __init__(self, process: Process, network: Network, store: Store) -> None:
        """Bind a process to the store."""
        self._fake_pool = FakePool(process, network, store)
        super().__init__(self._fake_pool, "")

    @asynccontextmanager
    async def login_connection(self) -> AsyncIterator[Any]:
        """Open a connection of its own."""
        with outages():
            connection = await self._fake_pool.connect()
        try:
            with outages(connection):
                yield connection
        finally:
            connection.terminate()


class FakePool:
    """Connections of one process."""

    def __init__(self, process: Process, network: Network, store: Store) -> None:
        """Begin without connections."""
        self._process = process
        self._network = network
        self._store = store
        self._idle: list[FakeConnection] = []
        self._all: list[FakeConnection] = []
        process.at_death.append(self.terminate)

    async def acquire(self, *, timeout: float) -> "FakeConnection":  # noqa: ARG002, ASYNC109 - asyncpg's
        """Lend a connection that is whole as far as anybody knows."""
        self._process.check()
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await self.connect()

    async def connect(self) -> "FakeConnection":
        """Open a connection."""
        session = await self._network.ask(self._process, self._store.connect)
        connection = FakeConnection(self._process, self._network, session)
        self._all = [known for known in self._all if not known.is_closed()]
        self._all.append(connection)
        return connection

    async def release(self, connection: "FakeConnection", *, timeout: float) -> None:  # noqa: ARG002, ASYNC109
        """Take a connection back."""
        if not connection.is_closed():
            self._idle.append(connection)

    def get_idle_size(self) -> int:
        """Return how many connections are idle."""
        return len(self._idle)

    def get_size(self) -> int:
        """Return how many connections there are."""
        return len(self._all)

    async def close(self) -> None:
        """Close every connection."""
        self.terminate()

    def terminate(self) -> None:
        """Cut every connection off: the server notices at once."""
        for connection in self._all:
            connection.terminate()


class FakeConnection:
    """One connection; when a request on it is not answered, it is lost."""

    def __init__(self, process: Process, network: Network, session: Session) -> None:
        """Speak with one session."""
        self._process = process
        self._network = network
        self._session = session
        self._closed = False

    def is_closed(self) -> bool:
        """Tell whether the connection is known to be lost."""
        return self._closed or self._session.ended

    def terminate(self) -> None:
        """Cut the connection off."""
        if not self._closed:
            self._closed = True
            loop = self._network.loop
            loop.call_soon(self._session.end, context=loop.outside)

    def get_server_pid(self) -> int:
        """Return the backend's number."""
        return self._session.pid

    async def execute(self, query: str, *args: Any) -> str:
        """Run a statement; return its status."""
        return str((await self._ask(lambda session: execute(session, query, args)))[1])

    async def fetch(self, query: str, *args: Any) -> list[Row]:
        """Run a statement; return its rows."""
        rows: list[Row] = (await self._ask(lambda session: execute(session, query, args)))[0]
        return rows

    async def fetchrow(self, query: str, *args: Any) -> Row | None:
        """Run a statement; return its first row."""
        rows = await self.fetch(query, *args)
        return rows[0] if rows else None

    async def fetchval(self, query: str, *args: Any) -> Any:
        """Run a statement; return the first value of its first row."""
        row = await self.fetchrow(query, *args)
        return None if row is None else row[0]

    async def copy_to_table(self, _table: str, *, source: Any, **_options: Any) -> str:
        """Copy entries, in two halves, so that a client can be lost between them."""
        copied = b"".join([part async for part in source])

        def half(session: Session) -> None:
            """Note that a COPY is under way, where no time-out reaches the backend."""
            session.copying = True

        await self._ask(half)
        return str(await self._ask(lambda session: copy_entries(session, copied)))

    async def copy_records_to_table(self, _table: str, *, records: Any, columns: Any) -> None:
        """Copy dead letters."""
        await self._ask(lambda session: copy_dead_letters(session, columns, records))

    async def _ask(self, act: Callable[[Session], Any]) -> Any:
        self._process.check()
        if self._closed:
            raise asyncpg.InterfaceError("connection is closed")
        session = self._session
        try:
            return await self._network.ask(self._process, lambda: session.store.run(session, act))
        except ConnectionError as error:
            self.terminate()
            raise asyncpg.ConnectionDoesNotExistError(str(error)) from error
        except BaseException:
            if session.ended:
                self._closed = True
            raise
