"""Work spread over processes, whose results come back in a fixed order."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection

from tests.faults.source import Result

CHUNK = 500
"""Results that a process hands over at once; it waits until they are taken."""


def in_turn(shares: Sequence[Callable[[], Iterator[Result]]]) -> Iterator[Result]:
    """Yield what each share yields, a process each: ``CHUNK`` of the first, of the second, ...

    A share that has no more is left out from then on. RuntimeError says what one has raised: not
    every exception can be handed over.
    """
    context = get_context("spawn")
    with contextlib.ExitStack() as stack:
        turns: deque[Connection] = deque()
        for share in shares:
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_hand_over, args=(theirs, share), daemon=True)
            process.start()
            theirs.close()
            stack.callback(process.join)
            stack.callback(process.kill)
            turns.append(ours)
        while turns:
            ours = turns.popleft()
            try:
                chunk = ours.recv()
            except EOFError:
                raise RuntimeError("a process that work was spread over has died") from None
            if isinstance(chunk, Exception):
                raise chunk
            if chunk:
                yield from chunk
                turns.append(ours)


def _hand_over(theirs: Connection, share: Callable[[], Iterator[Result]]) -> None:
    """Send the results of a share, and an empty chunk at their end."""
    try:
        results = share()
        while chunk := list(islice(results, CHUNK)):
            theirs.send(chunk)
        theirs.send([])
    except BrokenPipeError:  # nobody wants more
        return
    except Exception as error:  # noqa: BLE001 - it is raised where the results are wanted
        theirs.send(RuntimeError(f"{type(error).__name__}: {error}"))
