"""The bus's client, where it must not do as it comes: ending a consumer, a connection that broke.

``stop()`` cancels what the consumer has under way and waits for it. A fetch that has just failed
pauses where the client does not expect that: then ``stop()`` ends as cancelled, which nobody asked
for, leaves its connections open, and takes along the task that awaits it. Other parts of it can
wait for ever for a broker that is away.

A connection that was reset counts as one for a turn of the loop more. What is sent then raises,
with uvloop, a RuntimeError, which nobody takes for an outage. So whether a connection is one is
told here, for all clients of the process.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from aiokafka.conn import AIOKafkaConnection

log = logging.getLogger(__name__)

STOP_SECONDS_MAX = 5.0
CUT_OFF_SECONDS = 1.0
"""What tasks and connections get to end once they are cut off: they have nobody to wait for."""


async def stop_consumer(consumer: Any) -> None:
    """Stop a consumer of the client library in bounded time; leave no task and no connection.

    What keeps it from ending in order is logged and not raised: whoever is done with a consumer
    has its answer, or an error of its own.
    """
    trouble: str | None = "cut short"
    try:
        trouble = await _trouble_of(consumer.stop(), STOP_SECONDS_MAX)
    finally:
        if trouble is not None:
            log.warning("consumer_stop_failed", extra={"error": trouble})
            await _cut_off(consumer)


async def _trouble_of(ending: Coroutine[Any, Any, None], seconds: float) -> str | None:
    """Run a coroutine in a task of its own, for so long at most; return what went wrong."""
    task = asyncio.ensure_future(ending)
    late = True
    try:
        await asyncio.wait([task], timeout=seconds)
        late = not task.done()
    finally:
        if late:
            task.cancel()
            await asyncio.wait([task], timeout=CUT_OFF_SECONDS)
    if late:
        return f"not within {seconds} s"
    if task.cancelled():
        return "ended as cancelled, by itself"
    error = task.exception()
    return None if error is None else repr(error)


async def _cut_off(consumer: Any) -> None:
    """End the consumer's tasks, then its connections; a task could open one again."""
    tasks = _tasks(consumer)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CUT_OFF_SECONDS)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # looked at, or asyncio logs it as an error
    await _trouble_of(consumer._client.close(), CUT_OFF_SECONDS)  # noqa: SLF001 - no public name


def _tasks(consumer: Any) -> set[asyncio.Task[Any]]:
    """Return what the consumer's parts have under way; they exist once it was started."""
    parts = (consumer._coordinator, consumer._fetcher)  # noqa: SLF001 - have no public names
    held = [each for part in parts if part is not None for each in vars(part).values()]
    found = [task for each in held for task in (each if isinstance(each, set) else (each,))]
    return {task for task in found if isinstance(task, asyncio.Task)}


_connected = AIOKafkaConnection.connected


def _can_send(connection: AIOKafkaConnection) -> bool:
    """Tell whether a connection is one, and not about to be closed because it broke."""
    if not _connected(connection):
        return False
    reader, writer = connection._reader, connection._writer  # noqa: SLF001 - have no public names
    return reader.exception() is None and not writer.is_closing()


AIOKafkaConnection.connected = _can_send
