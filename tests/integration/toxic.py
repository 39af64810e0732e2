"""What a bad network does to bytes on their way: it delays, stops, or drips them."""

import asyncio
from dataclasses import dataclass

STOPPED_SECONDS = 0.05


@dataclass
class Toxic:
    """How a proxy passes bytes on; without anything set, as they come.

    ``up`` is the way to the server. What is stopped goes on when it no longer is, as on a
    connection whose packets are lost for a while.
    """

    delay_seconds: float = 0.0
    up_stopped: bool = False
    down_stopped: bool = False
    slice_bytes: int = 0
    slice_seconds: float = 0.0

    def heal(self) -> None:
        """Pass everything on as it comes."""
        self.delay_seconds = self.slice_seconds = 0.0
        self.up_stopped = self.down_stopped = False
        self.slice_bytes = 0

    async def pass_on(self, writer: asyncio.StreamWriter, sent: bytes, *, up: bool) -> None:
        """Write bytes to the other side."""
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        while self.up_stopped if up else self.down_stopped:  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(STOPPED_SECONDS)
        size = self.slice_bytes or len(sent)
        for at in range(0, len(sent), max(size, 1)):
            writer.write(sent[at : at + size])
            await writer.drain()
            if self.slice_seconds and self.slice_bytes:
                await asyncio.sleep(self.slice_seconds)
