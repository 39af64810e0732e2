"""Puts the generated traffic on the raw topics at a steady rate, as upstream services would."""

import asyncio
import time
from collections.abc import Iterator
from random import Random

from aiokafka import AIOKafkaProducer

from processor.demo.generator import Mix, traffic
from processor.demo.history import ACME, GLOBEX
from processor.demo.world import organizations

# Often enough to look steady, seldom enough to cost nothing.
TICK_SECONDS = 0.05
ORGANIZATIONS = 600


async def feed(bootstrap_servers: str, *, rate: float, seed: int) -> None:
    """Publish at ``rate`` records a second until cancelled.

    The client's default partitioner is murmur2 of the key, as in Java: the one upstream must use.
    """
    # Of one size each, so that what happens in acme is what happens in a company of its size.
    others = (org._replace(weight=1.0) for org in organizations(Random(seed), ORGANIZATIONS))
    mix = Mix(organizations=0, known=(*others, ACME, GLOBEX))
    publications = traffic(seed, now_ms(), mix)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all") as producer:
        begun, count = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - begun) * rate) - count
            sent = [
                await producer.send(each.topic, each.value, each.key, headers=list(each.headers))
                for each, _ in zip(publications, range(due), strict=False)
            ]
            count += len(sent)
            await asyncio.gather(*sent)
            await asyncio.sleep(TICK_SECONDS)


def now_ms() -> Iterator[int]:
    """Yield the time, again and again, in milliseconds since 1970."""
    while True:
        yield time.time_ns() // 1_000_000
