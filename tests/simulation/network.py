"""What can happen to a request: it takes time, is lost, is answered in vain, or arrives late."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from random import Random
from typing import Any

from tests.simulation.loop import Process, VirtualLoop


class Fate(Enum):
    """What becomes of one request."""

    PASSES = auto()
    SLOW = auto()
    LOST = auto()
    UNANSWERED = auto()
    HELD = auto()


@dataclass
class Chances:
    """How often each thing goes wrong, of 1; all of it ends when the world heals."""

    slow: float = 0.0
    lost: float = 0.0
    unanswered: float = 0.0
    held: float = 0.0

    def heal(self) -> None:
        """Let every request pass from now on."""
        self.slow = self.lost = self.unanswered = self.held = 0.0


LATENCY_SECONDS = (0.0004, 0.003)
SLOW_SECONDS = (0.05, 1.2)
HELD_SECONDS = (0.3, 6.0)
HELD_REQUESTS_MAX = 12
"""A request that was held arrives after so many later ones of its process, if not by time."""

CUT_SECONDS = 0.01


class Network:
    """The way from the processes to one server."""

    def __init__(self, loop: VirtualLoop, rng: Random, chances: Chances) -> None:
        """Begin with a server that is up."""
        self.loop = loop
        self.rng = rng
        self.chances = chances
        self.up = True
        self.next_fates: list[Fate] = []
        self.ambush: Callable[[Process], bool] | None = None
        self._held: list[tuple[Process, int, Callable[[], Any]]] = []

    async def ask(self, process: Process, act: Callable[[], Any]) -> Any:
        """Have the server do something and return what it says; ConnectionError without an answer.

        An act that returns a future is answered when that is done.
        """
        process.check()
        if self.ambush is not None and self.ambush(process):
            await asyncio.sleep(0)
            process.check()
        reply = self.loop.create_future()
        fate = self._fate()
        latency = self.rng.uniform(*LATENCY_SECONDS)
        if not self.up or fate is Fate.LOST:
            self._later(CUT_SECONDS, _answer, reply, ConnectionResetError("lost"))
        elif fate is Fate.HELD:
            # The connection breaks at once, and what was on it arrives all the same.
            if self.rng.random() < 0.5:
                self._later(self.rng.uniform(*HELD_SECONDS), self._deliver, act, None)
            else:
                self._held.append((process, self.rng.randint(1, HELD_REQUESTS_MAX), act))
            self._later(CUT_SECONDS, _answer, reply, ConnectionResetError("broken off"))
        elif fate is Fate.UNANSWERED:
            self._later(latency, self._deliver, act, None)
            self._later(CUT_SECONDS, _answer, reply, ConnectionResetError("not answered"))
        else:
            if fate is Fate.SLOW:
                latency = self.rng.uniform(*SLOW_SECONDS)
            self._later(latency, self._deliver, act, reply)
        if self._held:
            self._count_down(process)
        result = await reply
        process.check()
        return result

    def _count_down(self, process: Process) -> None:
        """Deliver what was held for as many requests of its process as it was to be."""
        held, self._held = self._held, []
        for owner, left, act in held:
            if owner is not process or left > 1:
                self._held.append((owner, left - (owner is process), act))
            else:
                self._later(self.rng.uniform(0, LATENCY_SECONDS[1]), self._deliver, act, None)

    def _fate(self) -> Fate:
        if self.next_fates:
            return self.next_fates.pop(0)
        chances, dice = self.chances, self.rng.random()
        if dice >= chances.slow + chances.lost + chances.unanswered + chances.held:
            return Fate.PASSES
        for fate, chance in (
            (Fate.SLOW, chances.slow),
            (Fate.LOST, chances.lost),
            (Fate.UNANSWERED, chances.unanswered),
            (Fate.HELD, chances.held),
        ):
            if dice < chance:
                return fate
            dice -= chance
        return Fate.PASSES

    def _later(self, seconds: float, callback: Callable[..., None], *args: Any) -> None:
        self.loop.call_later(seconds, callback, *args, context=self.loop.outside)

    def _deliver(self, act: Callable[[], Any], reply: asyncio.Future[Any] | None) -> None:
        """Let the server act; what it says goes nowhere when nobody waits for it."""
        if not self.up:
            _answer(reply, ConnectionResetError("server is down"))
            return
        try:
            result = act()
        except Exception as error:  # noqa: BLE001 - every error is the asker's
            result = error
        if isinstance(result, asyncio.Future):
            result.add_done_callback(lambda done: _pass_on(done, reply), context=self.loop.outside)
        else:
            _answer(reply, result)


def _pass_on(done: asyncio.Future[Any], reply: asyncio.Future[Any] | None) -> None:
    if done.cancelled():
        _answer(reply, ConnectionResetError("server gave up"))
    else:
        error = done.exception()
        _answer(reply, done.result() if error is None else error)


def _answer(reply: asyncio.Future[Any] | None, result: Any) -> None:
    if reply is None or reply.done():
        return
    if isinstance(result, Exception):
        reply.set_exception(result)
    else:
        reply.set_result(result)
