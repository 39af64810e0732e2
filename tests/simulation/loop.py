"""Virtual time: an event loop on which a second costs nothing and every run can be repeated.

A process of the simulation is a context: what its tasks schedule belongs to it, so that all of it
can be frozen, as SIGSTOP does, or come to its end at once, as by SIGKILL.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from itertools import count
from random import Random
from typing import Any, TypeVar

Result = TypeVar("Result")

SHUFFLED = 0.2
"""How often the handle that runs next is not the one that has waited longest."""


DRAIN_SECONDS = 10.0


class Died(BaseException):
    """What the code of a killed process meets wherever it would touch the outside."""


class StuckError(AssertionError):
    """Nothing can happen any more, or it takes for ever."""


class NumberedTask(asyncio.Task[Any]):
    """A task whose place in a set is the same in every run."""

    number = 0

    def __hash__(self) -> int:
        """Return the task's number."""
        return self.number


CURRENT: ContextVar["Process | None"] = ContextVar("process", default=None)


class Turn:
    """A callback that waits for its turn, and whose it is: as asyncio's handle, but cheap."""

    __slots__ = ("args", "callback", "cancelled", "context", "process")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> None:
        """Take the context that is given, or the current one."""
        self.callback = callback
        self.args = args
        if context is None:
            self.context = copy_context()
            self.process = CURRENT.get()
        else:
            self.context = context
            self.process = context.get(CURRENT)
        self.cancelled = False

    def cancel(self) -> None:
        """Let nothing happen when its turn comes."""
        self.cancelled = True


class Process:
    """A process of the simulation."""

    def __init__(self, name: str) -> None:
        """Begin alive."""
        self.name = name
        self.alive = True
        self.frozen = False
        self.parked: list[Turn] = []
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.context = copy_context()
        self.context.run(CURRENT.set, self)
        self.at_death: list[Callable[[], None]] = []

    def check(self) -> None:
        """Stop whoever goes on in a process that is dead."""
        if not self.alive:
            raise Died(self.name)


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in an order that the seed decides; when none is ready, time jumps."""

    def __init__(self, rng: Random) -> None:
        """Begin at time 0."""
        self.rng = rng
        self.errors: list[dict[str, Any]] = []
        self.outside: Context = copy_context()
        self._now = 0.0
        self._ready: deque[Turn] = deque()
        self._timers: list[tuple[float, int, Turn]] = []
        self._ties = count()
        self._running = False

    # --- what asyncio asks of a loop ---------------------------------------------------------

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._now

    def call_soon(  # type: ignore[override] # a turn is all of a handle that is used
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Turn:
        """Run a callback as soon as it is its turn."""
        turn = Turn(callback, args, context)
        self._ready.append(turn)
        return turn

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Turn:
        """Run a callback at a moment."""
        turn = Turn(callback, args, context)
        heapq.heappush(self._timers, (when, next(self._ties), turn))
        return turn

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Turn:
        """Run a callback after some time."""
        turn = Turn(callback, args, context)
        heapq.heappush(self._timers, (self._now + delay, next(self._ties), turn))
        return turn

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, Result],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[Result]:
        """Start a task; it belongs to the process that starts it."""
        task = NumberedTask(coro, loop=self, name=name, context=context)
        task.number = next(self._ties)
        process = CURRENT.get() if context is None else context.get(CURRENT)
        if process is not None:
            process.tasks[task] = None
            task.add_done_callback(lambda done: process.tasks.pop(done, None))
        return task

    def get_debug(self) -> bool:
        """Tell that nothing is watched: seeds are many."""
        return False

    def is_running(self) -> bool:
        """Tell whether callbacks are run at the moment."""
        return self._running

    def is_closed(self) -> bool:
        """Tell that it never closes: it holds nothing."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody caught."""
        self.errors.append(context)

    # --- processes ---------------------------------------------------------------------------

    def spawn(self, process: Process, coro: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Start a process's first task."""
        return self.create_task(coro, context=process.context)

    def freeze(self, process: Process) -> None:
        """Let nothing of a process run."""
        process.frozen = True

    def thaw(self, process: Process) -> None:
        """Let a process go on; what came due meanwhile comes at once."""
        process.frozen = False
        parked, process.parked = process.parked, []
        self._ready.extend(parked)

    def kill(self, process: Process) -> None:
        """End a process: whatever its code still does has no effect outside of it."""
        process.alive = False
        for note in process.at_death:
            note()
        self.thaw(process)
        for task in list(process.tasks):
            task.cancel()

    # --- running -----------------------------------------------------------------------------

    def run(self, awaited: Awaitable[Result], *, until_seconds: float = 1e9) -> Result:
        """Run until something is done; StuckError when that is not before a virtual moment."""
        asyncio._set_running_loop(self)
        self._running = True
        try:
            future = asyncio.ensure_future(awaited, loop=self)
            while not future.done():
                self._step(until_seconds)
            return future.result()
        finally:
            self._running = False
            asyncio._set_running_loop(None)

    def drain(self) -> None:
        """Let the tasks of dead processes come to their ends."""
        self.run(self._drained(), until_seconds=self._now + DRAIN_SECONDS)

    async def _drained(self) -> None:
        await asyncio.sleep(DRAIN_SECONDS / 2)

    def _step(self, until_seconds: float) -> None:
        ready = self._ready
        if not ready:
            self._advance(until_seconds)
        if len(ready) > 1 and self.rng.random() < SHUFFLED:
            ready.rotate(-self.rng.randrange(len(ready)))
        turn = ready.popleft()
        if turn.cancelled:
            return
        process = turn.process
        if process is not None and process.frozen:
            process.parked.append(turn)
            return
        try:
            turn.context.run(turn.callback, *turn.args)
        except Exception as error:  # noqa: BLE001 - as asyncio does: the loop outlives a callback
            self.call_exception_handler({"message": "a callback failed", "exception": error})

    def _advance(self, until_seconds: float) -> None:
        """Jump to the next moment at which something is due."""
        timers = self._timers
        while timers and timers[0][2].cancelled:
            heapq.heappop(timers)
        if not timers or timers[0][0] > until_seconds:
            raise StuckError(f"nothing ends this before {until_seconds} s")
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(timers)[2])


def is_of(error: BaseException, *kinds: type[BaseException]) -> bool:
    """Tell whether an exception, or every one of a group, is of a kind."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_of(inner, *kinds) for inner in error.exceptions)
    return isinstance(error, kinds)
