"""``hub-audit forward`` that now and then kills or freezes itself where it hurts.

``python -m tests.faults.forwarder_with_failpoints SEED``: around every step of a delivery there is
a small chance of ``kill -9``, and one of a freeze that the test ends.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from random import Random
from typing import Any

from aiokafka import AIOKafkaProducer

from processor.cli import main
from processor.forward import shard
from processor.store import subscriptions as store

STRIKES = 0.03
"""The chance at each point: some strikes a second with a few shards at work."""

Step = Callable[..., Awaitable[Any]]


def struck(step: Step, chance: Random) -> Step:
    """Return a step before and after which the process may end or stop."""

    @wraps(step)
    async def risky(*given: Any, **named: Any) -> Any:
        """Do it, if it comes to that."""
        strike(chance)
        done = await step(*given, **named)
        strike(chance)
        return done

    return risky


def strike(chance: Random) -> None:
    """End or stop this process, rarely."""
    if chance.random() < STRIKES:
        os.kill(os.getpid(), chance.choice([signal.SIGKILL, signal.SIGSTOP]))


if __name__ == "__main__":
    dice = Random(sys.argv.pop(1))
    for name in ("send_batch", "send_offsets_to_transaction", "commit_transaction"):
        setattr(AIOKafkaProducer, name, struck(getattr(AIOKafkaProducer, name), dice))
    for module, name in ((shard, "packed"), (shard, "metadata"), (store, "note_delivered")):
        setattr(module, name, struck(getattr(module, name), dice))
    sys.argv[1:] = ["forward"]
    main()
