"""A TCP proxy that knows where a Kafka request ends and what it asks for, to disturb just that."""

import asyncio
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from enum import Enum, IntEnum, auto

from tests.integration.listening import Listening, cut
from tests.integration.toxic import Toxic

SIZE = struct.Struct(">i")
REQUEST = struct.Struct(">hhi")


class Api(IntEnum):
    """The requests that tests disturb, by their key in the protocol."""

    PRODUCE = 0
    OFFSET_FETCH = 9
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class Deed(Enum):
    """What is done with one frame."""

    PASS = auto()
    HOLD = auto()
    CUT = auto()


def always_pass(_api: int, _count: int) -> "Deed | bytes":
    """Let every frame through."""
    return Deed.PASS


class KafkaProxy:
    """Stands before a broker; ``on_request`` and ``on_answer`` decide about each frame.

    They get the api key and how many requests of it have been seen. HOLD keeps a request until
    ``deliver_held`` (also when its connection is long gone) and an answer for ever; CUT closes the
    client's connection after passing a request on; bytes replace the body of an answer.
    """

    def __init__(self, port: int, broker_port: int) -> None:
        """Describe the proxy; ``start`` opens it."""
        self.on_request: Callable[[int, int], Deed | bytes] = always_pass
        self.on_answer: Callable[[int, int], Deed | bytes] = always_pass
        self.seen: Counter[int] = Counter()
        self.toxic = Toxic()
        self._port = port
        self._broker_port = broker_port
        self._held: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Open the port."""
        self._listening = Listening(self._serve, self._port)
        self._listening.start()

    async def stop(self) -> None:
        """Close the port and every connection."""
        await self._listening.stop()

    def cut(self) -> None:
        """Break every connection there is."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def deliver_held(self) -> int:
        """Deliver the requests held back; return how many there were."""
        held, self._held = self._held, []
        for writer, frame in held:
            with suppress(ConnectionError):
                writer.write(frame)
                await writer.drain()
        return len(held)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        async with AsyncExitStack() as ends:
            ends.push_async_callback(cut, to_client)
            try:
                broker, to_broker = await asyncio.open_connection("127.0.0.1", self._broker_port)
            except OSError:
                return  # the broker is away, and so are we
            ends.push_async_callback(cut, to_broker)
            self._writers |= {to_client, to_broker}
            ends.callback(self._writers.difference_update, {to_client, to_broker})
            asked: dict[int, int] = {}
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests(client, to_client, to_broker, asked))
                both.create_task(self._answers(broker, to_client, asked))

    async def _requests(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        to_broker: asyncio.StreamWriter,
        asked: dict[int, int],
    ) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frame = await _frame(client)
                api, _version, correlation = REQUEST.unpack_from(frame, SIZE.size)
                asked[correlation] = api
                self.seen[api] += 1
                deed = self.on_request(api, self.seen[api])
                if deed is Deed.HOLD:
                    self._held.append((to_broker, frame))
                    continue
                await self.toxic.pass_on(to_broker, frame, up=True)
                if deed is Deed.CUT:
                    break
            to_client.close()
        if not any(writer is to_broker for writer, _ in self._held):
            to_broker.close()

    async def _answers(
        self, broker: asyncio.StreamReader, to_client: asyncio.StreamWriter, asked: dict[int, int]
    ) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frame = await _frame(broker)
                (correlation,) = SIZE.unpack_from(frame, SIZE.size)
                api = asked.pop(correlation, -1)
                deed = self.on_answer(api, self.seen[api])
                if deed is Deed.HOLD:
                    continue
                if isinstance(deed, bytes):
                    body = SIZE.pack(correlation) + deed
                    frame = SIZE.pack(len(body)) + body
                await self.toxic.pass_on(to_client, frame, up=False)
        to_client.close()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(SIZE.size)
    return head + await reader.readexactly(SIZE.unpack(head)[0])
