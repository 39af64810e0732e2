"""A way to Postgres that stops, or breaks off, where a test wants it to."""

import asyncio
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.integration.listening import Listening, cut
from tests.integration.toxic import Toxic


class PostgresProxy:
    """Forwards connections to a server, until a connection sends something it waits for.

    ``freeze_at``: after these bytes nothing is forwarded until ``thaw``; the server has got all
    that stands before. ``break_at``: these bytes are forwarded, and the answer is lost: both
    connections break once the server has answered.
    """

    def __init__(
        self, dsn: str, *, freeze_at: bytes | None = None, break_at: bytes | None = None
    ) -> None:
        """Aim at the server of a DSN."""
        self._target = urlsplit(dsn)
        self._freeze_at = freeze_at
        self._break_at = break_at
        self._listening = Listening(self._serve)
        self._thawed = asyncio.Event()
        self._breaking: set[asyncio.StreamWriter] = set()
        self._ends: set[asyncio.StreamWriter] = set()
        self.frozen = asyncio.Event()
        self.toxic = Toxic()

    def cut(self) -> None:
        """Break every connection there is."""
        for writer in self._ends:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        """Listen."""
        self._listening.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Break every connection."""
        self._thawed.set()
        await self._listening.stop()

    @property
    def dsn(self) -> str:
        """Return the DSN by which clients come through here."""
        user = self._target.netloc.rpartition("@")[0]
        return self._target._replace(netloc=f"{user}@127.0.0.1:{self._listening.port}").geturl()

    def thaw(self) -> None:
        """Forward again."""
        self._freeze_at = self._break_at = None
        self._thawed.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward in both directions until one ends."""
        async with AsyncExitStack() as ends:
            ends.push_async_callback(cut, writer)
            try:
                to_reader, to_writer = await asyncio.open_connection(
                    self._target.hostname, self._target.port
                )
            except OSError:
                return  # the server is away, and so are we
            ends.push_async_callback(cut, to_writer)
            self._ends |= {writer, to_writer}
            ends.callback(self._ends.difference_update, {writer, to_writer})
            there = asyncio.create_task(self._requests(reader, to_writer))
            back = asyncio.create_task(self._answers(to_reader, writer, to_writer))
            try:
                await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
                await asyncio.gather(there, back, return_exceptions=True)

    async def _requests(
        self, reader: asyncio.StreamReader, to_writer: asyncio.StreamWriter
    ) -> None:
        while sent := await reader.read(65_536):
            if self._break_at is not None and self._break_at in sent:
                self._breaking.add(to_writer)
            if self._freeze_at is not None and self._freeze_at in sent:
                before, at, after = sent.partition(self._freeze_at)
                to_writer.write(before + at)
                self.frozen.set()
                await self._thawed.wait()
                sent = after
            await self.toxic.pass_on(to_writer, sent, up=True)

    async def _answers(
        self,
        to_reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        to_writer: asyncio.StreamWriter,
    ) -> None:
        with suppress(ConnectionError):
            while answer := await to_reader.read(65_536):
                if to_writer in self._breaking:
                    return
                await self.toxic.pass_on(writer, answer, up=False)
