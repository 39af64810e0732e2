"""The bounded queue between the consumer and one lane."""

import asyncio
from collections import deque
from collections.abc import Sequence

from schemas.record import Record


class Intake:
    """Records of one lane, waiting in arrival order, taken in batches.

    The bound is kept by the caller: it stops fetching while ``full``. What one fetch brought is
    always accepted, so the queue holds at most its bound and one answer of the broker.
    """

    def __init__(self, *, records_max: int, bytes_max: int) -> None:
        """Open an empty queue; both bounds also bound a batch."""
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._queue: deque[Record] = deque()
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self.closed = False

    def __len__(self) -> int:
        """Return how many records wait."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether a whole batch waits already."""
        return len(self._queue) >= self._records_max or self._bytes >= self._bytes_max

    def offer(self, records: Sequence[Record]) -> None:
        """Append ``records`` at the end of the queue; a closed one takes nothing."""
        if self.closed:
            return
        sizes = [_size(record) for record in records]
        self._queue.extend(records)
        self._sizes.extend(sizes)
        self._bytes += sum(sizes)
        self._arrived.set()

    def close(self) -> None:
        """Accept and give out nothing any more; a waiting ``take`` returns empty."""
        self.closed = True
        self._queue.clear()
        self._sizes.clear()
        self._bytes = 0
        self._arrived.set()

    async def take(self, *, wait_seconds: float, gather_seconds: float) -> list[Record]:
        """Return the next batch; empty when nothing came within ``wait_seconds`` or when closed.

        A batch that is not full waits ``gather_seconds`` for more: at low rates a transaction costs
        more than the records in it.
        """
        if not self._queue:
            await self._wait(wait_seconds)
        if self._queue and not self.full and not self.closed:
            await asyncio.sleep(gather_seconds)
        return self._next_batch()

    async def _wait(self, seconds: float) -> None:
        self._arrived.clear()
        if self.closed:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            pass

    def _next_batch(self) -> list[Record]:
        queue, sizes, taken = self._queue, self._sizes, 0
        batch: list[Record] = []
        while queue and len(batch) < self._records_max:
            if batch and taken + sizes[0] > self._bytes_max:
                break
            taken += sizes.popleft()
            batch.append(queue.popleft())
        self._bytes -= taken
        return batch


def _size(record: Record) -> int:
    """Return what a record weighs in memory, roughly: its bytes; headers may be long, too."""
    size = len(record.value or b"") + len(record.key or b"")
    if record.headers:
        size += sum(len(name) + len(value or b"") for name, value in record.headers)
    return size
