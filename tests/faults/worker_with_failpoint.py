"""Runs a worker that ends or freezes itself at a named moment.

``FAULTS_POINT`` is the name of the moment, ``FAULTS_PASS`` how many times it must come before it
strikes, ``FAULTS_SIGNAL`` the signal: SIGKILL, or SIGSTOP for a zombie. ``FAULTS_TASKS`` names a
file in which the number of tasks on the event loop is kept up to date.
"""

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

from tests.faults.points import POINTS, Point

# How long the server gets to see the first half of a COPY before the worker strikes itself.
HALF_COPY_SECONDS = 0.1


class Strike:
    """Counts how often the moment came, and strikes once."""

    def __init__(self, passes: int, number: signal.Signals) -> None:
        """Wait for so many passes."""
        self._left = passes
        self._number = number

    def due(self) -> bool:
        """Count a pass; tell whether it is the one."""
        self._left -= 1
        return self._left == 0

    def now(self) -> None:
        """End or freeze this process."""
        os.kill(os.getpid(), self._number)

    def count(self) -> None:
        """Count a pass and strike when it is the one."""
        if self.due():
            self.now()


def arm(point: Point, strike: Strike) -> None:
    """Wrap the call of a moment."""
    owner: Any = importlib.import_module(point.module)
    *path, name = point.name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original = getattr(owner, name)
    wrapper = _half_copy if point.when == "inside" else _around
    setattr(owner, name, wrapper(original, point.when, strike))


def _around(
    original: Callable[..., Awaitable[Any]], when: str, strike: Strike
) -> Callable[..., Awaitable[Any]]:
    @wraps(original)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            strike.count()
        result = await original(*args, **kwargs)
        # A poll that brought nothing is no pass.
        if when == "after" and result != []:
            strike.count()
        return result

    return wrapped


def _half_copy(
    original: Callable[..., Awaitable[Any]], _when: str, strike: Strike
) -> Callable[..., Awaitable[Any]]:
    @wraps(original)
    async def wrapped(*args: Any, source: Any, **kwargs: Any) -> Any:
        if strike.due():
            source = _half(source, strike)
        return await original(*args, source=source, **kwargs)

    return wrapped


async def _half(source: Any, strike: Strike) -> AsyncIterator[bytes]:
    """Yield half of what was to be copied, and strike; a zombie yields the rest when it wakes."""
    whole = await _bytes_of(source)
    yield whole[: len(whole) // 2]
    await asyncio.sleep(HALF_COPY_SECONDS)
    strike.now()
    yield whole[len(whole) // 2 :]


async def _bytes_of(source: Any) -> bytes:
    if isinstance(source, bytes):
        return source
    if hasattr(source, "read"):
        return bytes(source.read())
    return b"".join([bytes(part) async for part in source])


def count_tasks(path: Path) -> None:
    """Write down how many tasks there are whenever the loop's lateness is measured."""
    lag: Any = importlib.import_module("processor.metrics").LOOP_LAG
    original = lag.set

    @wraps(original)
    def counted(value: float) -> None:
        path.write_text(str(len(asyncio.all_tasks())))
        original(value)

    lag.set = counted


def main() -> None:
    """Arm the moment that the environment names, and run the command line."""
    name = os.environ.pop("FAULTS_POINT", "")
    passes = int(os.environ.pop("FAULTS_PASS", "1"))
    number = signal.Signals[os.environ.pop("FAULTS_SIGNAL", "SIGKILL")]
    if name:
        arm(POINTS[name], Strike(passes, number))
    if tasks := os.environ.pop("FAULTS_TASKS", ""):
        count_tasks(Path(tasks))
    command_line: Any = importlib.import_module("processor.cli").main
    command_line(sys.argv[1:])


if __name__ == "__main__":
    main()
