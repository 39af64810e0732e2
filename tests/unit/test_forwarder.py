"""A forwarder whose shards end."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from processor.forward.forwarder import Forwarder
from processor.settings import Settings


async def test_shard_that_was_cancelled_by_nobody_ends_the_forwarder() -> None:
    """It is a crash like others: the supervisor starts the process again, and the log says why."""
    no_store: Any = None
    forwarder = Forwarder(Settings.load(env={}), no_store, UUID(int=1))
    shard = asyncio.create_task(asyncio.Event().wait())
    shard.cancel()
    await asyncio.wait([shard])
    forwarder._tasks[3] = shard  # type: ignore[assignment] # as one that was taken
    with pytest.raises(RuntimeError, match="shard 3 was cancelled"):
        forwarder._look_at_ended()
