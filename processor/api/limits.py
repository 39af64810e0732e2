"""How often one client may ask, and how much of one organization is done at once.

Each process keeps its own count: so many instances, so many times as much.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from processor.api.problems import Problem

CLIENTS_MAX = 20_000
PLACE_RETRY_SECONDS = 10
TURN_SECONDS_MAX = 5.0
"""How long to wait for a turn: most searches are done sooner, and people do not wait longer."""

First = TypeVar("First")
Second = TypeVar("Second")


class Limits:
    """Lets a burst pass, and then so many requests a second."""

    def __init__(self, requests_per_second: float, burst: int) -> None:
        """Keep the limits; every client begins with a full bucket."""
        self._rate, self._burst = requests_per_second, float(burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Take one token from a client's bucket; raises Problem when it is empty."""
        left = self._left(client)
        # A refusal takes nothing: who asks a little too often would be kept out for ever.
        self._buckets[client] = left - 1 if left >= 1 else left, time.monotonic()
        self._buckets.move_to_end(client)
        if len(self._buckets) > CLIENTS_MAX:
            self._buckets.popitem(last=False)
        self._insist(left)

    def insist(self, client: str) -> None:
        """Leave the bucket as it is; raises Problem when it is empty."""
        self._insist(self._left(client))

    def _left(self, client: str) -> float:
        now = time.monotonic()
        left, at = self._buckets.get(client, (self._burst, now))
        return min(self._burst, left + (now - at) * self._rate)

    def _insist(self, left: float) -> None:
        if left < 1:
            wait = max(1, round((1 - left) / self._rate))
            raise Problem("too_many_requests", headers={"Retry-After": str(wait)})


class Places:
    """As many as there are may be taken by one organization; the others wait elsewhere."""

    def __init__(self, places: int, what: str) -> None:
        """Keep how many there are, and of what."""
        self._places, self._what = places, what
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, org_id: str) -> Iterator[None]:
        """Take a place for the length of a block; raises Problem when none is free."""
        if self._taken[org_id] >= self._places:
            detail = f"{self._places} {self._what} of your organization are running already"
            raise Problem(
                "too_many_requests", detail, headers={"Retry-After": str(PLACE_RETRY_SECONDS)}
            )
        self._taken[org_id] += 1
        try:
            yield
        finally:
            self._taken[org_id] -= 1
            if not self._taken[org_id]:
                del self._taken[org_id]


class Turns:
    """As many as there are may be had by one organization; who comes later waits a little."""

    def __init__(self, turns: int, what: str) -> None:
        """Keep how many there are, and of what."""
        self._turns, self._what = turns, what
        # Whoever has a turn or waits for one holds the organization's: it goes with the last.
        self._of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def taken(self, org_id: str) -> AsyncIterator[None]:
        """Take a turn for the length of a block; raises Problem when none comes in time."""
        turns = self._of.setdefault(org_id, asyncio.Semaphore(self._turns))
        try:
            async with asyncio.timeout(TURN_SECONDS_MAX):
                await turns.acquire()
        except TimeoutError as error:
            detail = f"{self._turns} {self._what} of your organization are running already"
            if self._turns == 1:
                detail = f"{self._what} of your organization wait for each other"
            wait = str(round(TURN_SECONDS_MAX))
            raise Problem("too_many_requests", detail, headers={"Retry-After": wait}) from error
        try:
            yield
        finally:
            turns.release()


async def together(
    first: Coroutine[Any, Any, First], second: Coroutine[Any, Any, Second]
) -> tuple[First, Second]:
    """Return what two come to; when one fails, nothing goes on any more once that is told."""
    tasks = asyncio.create_task(first), asyncio.create_task(second)
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
