"""Where the faults of a full run are done: workers behind two proxies, and who looks after them."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psycopg

from processor.local.kafka import Broker
from processor.local.postgres import Server
from tests.faults.harness import Stage, Worker, until
from tests.faults.subscribers import Subscribers
from tests.integration.kafka_proxy import KafkaProxy
from tests.integration.postgres_proxy import PostgresProxy

RECOVERY_SECONDS_MAX = 120.0


class Wires:
    """The proxies before bus and store, on an event loop in a thread of their own."""

    def __init__(self, broker: Broker, dsn: str) -> None:
        """Open both."""
        assert broker.proxy_port is not None
        assert broker.proxied_port is not None
        self.bus = KafkaProxy(broker.proxy_port, broker.proxied_port)
        self.bootstrap = f"127.0.0.1:{broker.proxy_port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.store = PostgresProxy(dsn)
        self.run(self.bus.start())
        self.run(self.store.__aenter__())

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        """Have the proxies' loop do something."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    def cut(self, proxy: KafkaProxy | PostgresProxy) -> None:
        """Break all connections of one proxy."""
        self._loop.call_soon_threadsafe(proxy.cut)

    def close(self) -> None:
        """Close both and end the thread."""
        with suppress(TimeoutError):
            self.run(self.bus.stop())
            self.run(self.store.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@dataclass
class Field:
    """A stage, its servers and wires, and the workers and subscribers that are to be alive."""

    stage: Stage
    broker: Broker
    server: Server
    wires: Wires
    rng: Random
    subscribers: Subscribers
    workers: list[Worker] = field(default_factory=list)
    restarted: int = 0

    def start(self, count: int) -> None:
        """Start so many workers, and wait until all are members."""
        self.workers += [self.stage.start() for _ in range(count)]
        until(lambda: all(worker.joined for worker in self.workers), "all workers are members")

    def one(self) -> Worker:
        """Return some worker."""
        return self.rng.choice(self.workers)

    def replace(self, worker: Worker) -> None:
        """Start another one in the place of a worker that is no more."""
        self.workers.remove(worker)
        self.workers.append(self.stage.start())

    def tend(self) -> None:
        """Start what has ended by itself, as every supervisor does."""
        for worker in [each for each in self.workers if not each.running]:
            self.restarted += 1
            self.replace(worker)

    def recovery(self) -> float:
        """Return how long it takes until every lane moves on, or has nothing left to do.

        After ``RECOVERY_SECONDS_MAX`` it is given up: that is a figure like any other.
        """
        began = time.monotonic()
        before = self._batches()
        sent = dict(self.stage.sender.ends)

        def moved() -> bool:
            self.tend()
            now = self._batches()
            if not before:
                before.update(now)
            idle = {lane for lane, batch in before.items() if now.get(lane) == batch}
            if not now or not idle:
                return bool(now)
            found = self.stage.committed()
            return all(found[at][0] >= end for at, end in sent.items() if at[1] in idle)

        with suppress(TimeoutError):
            until(moved, "every lane goes on", RECOVERY_SECONDS_MAX)
        return time.monotonic() - began

    def _batches(self) -> dict[int, int]:
        try:
            return dict(self.stage.sql("SELECT lane, batch FROM lanes"))
        except psycopg.Error:
            return {}


def freeze(pid: int) -> None:
    """Freeze a process."""
    os.kill(pid, signal.SIGSTOP)


def thaw(pid: int) -> None:
    """Let a process go on."""
    os.kill(pid, signal.SIGCONT)
