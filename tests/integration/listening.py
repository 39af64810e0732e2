"""Connections that come to a port, each served by a task of its own; none is left behind."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Listening:
    """A port of this machine that is open from ``start`` to ``stop``.

    Not asyncio's own server: closed while it accepts, that one drops the new socket unclosed
    (Python 3.11), and clients that come again at once, as Kafka's do, meet just that moment.
    """

    def __init__(self, serve: Serve, port: int = 0) -> None:
        """Open the port, any free one by default; connections wait for ``start``."""
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._stopped = False
        self._served: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.port: int = self._socket.getsockname()[1]

    def start(self) -> None:
        """Serve whoever comes."""
        self._accepting = asyncio.create_task(self._accept())

    async def stop(self) -> None:
        """Close the port, end what is served and see every connection closed."""
        self._stopped = True
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes who accepts, without losing what it has
        await self._accepting
        self._socket.close()
        served = dict(self._served)
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)
        for writer in served.values():
            await cut(writer)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopped:
            try:
                connection, _ = await loop.sock_accept(self._socket)
            except ConnectionError:
                continue  # it was gone before it was accepted
            except OSError:
                if self._stopped:
                    return
                raise
            reader, writer = await asyncio.open_connection(sock=connection)
            task = asyncio.create_task(self._serve(reader, writer))
            self._served[task] = writer
            task.add_done_callback(self._served.pop)


async def cut(writer: asyncio.StreamWriter) -> None:
    """Break a connection off, and see it closed."""
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()
