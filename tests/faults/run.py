"""The full run: a big mixed load, workers behind proxies, a fault after another, and the oracle.

``python -m tests.faults.run`` starts its own Kafka and Postgres, strikes, judges, and writes
``RESULTS.json`` and ``RESULTS.md`` beside this file, or into the directory it is given.
"""

import argparse
import asyncio
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Protocol

import psycopg

from processor.local.kafka import Broker
from processor.local.port import free_port
from processor.local.postgres import Server
from processor.store.migrations import migrate
from tests.faults import report
from tests.faults.blows import BLOWS
from tests.faults.conftest import BROKER
from tests.faults.field import Field, Wires
from tests.faults.harness import Stage
from tests.faults.load import BATCH
from tests.faults.oracle import judge
from tests.faults.reader import Listener, LiveReader
from tests.faults.subscribers import Subscribers
from tests.faults.verdict import Verdict
from tests.faults.vitals import Vitals, latencies
from tests.faults.world import Place

REST_SECONDS = 900.0
SHARES = {
    "poison": 0.0435,
    "repeats": 0.087,
    "conflicts": 0.005,
    "attacks": 0.01,
    "organizations": 40,
}
"""Of all records; with a million valid ones these are 50,000 bad and 100,000 repeated ones."""

VALID = 1 - SHARES["poison"] - SHARES["repeats"] - SHARES["conflicts"]
PER_SECOND_MAX = 4_000
FIRST_GUESS_SECONDS = 10.0
PAUSE_SECONDS = (0.0, 2.0)


def drawn(times: int, seed: int, kinds: Sequence[str] = tuple(BLOWS)) -> list[str]:
    """Return so many faults in random order, each kind in proportion and, if possible, once."""
    rng = Random(seed)
    weights = [BLOWS[kind].times for kind in kinds]
    due = {kind: max(1, round(times * BLOWS[kind].times / sum(weights))) for kind in kinds}
    pool = [kind for kind, number in due.items() for _ in range(number)]
    rng.shuffle(pool)
    first = rng.sample(list(kinds), min(len(kinds), times))
    for kind in first:
        pool.remove(kind)
    more = rng.choices(kinds, weights, k=max(0, times - len(first) - len(pool)))
    chosen = [*first, *pool, *more][:times]
    rng.shuffle(chosen)
    return chosen


@dataclass
class Pace:
    """Feeds records at the rate at which they last as long as the faults do."""

    stage: Stage
    total: int
    faults: int
    done: int = 0
    sent: int = 0
    seconds_each: float = FIRST_GUESS_SECONDS

    def run(self) -> None:
        """Send everything."""
        while self.sent < self.total:
            began = time.monotonic()
            size = min(BATCH, self.total - self.sent, max(20, round(self._per_second() / 5)))
            batch = list(islice(self.stage.shots, size))
            self.stage.sender.send(batch)
            self.sent += len(batch)
            time.sleep(max(0.0, began + len(batch) / self._per_second() - time.monotonic()))

    def struck(self, seconds: float) -> None:
        """Note that a fault is over, and how long it and its recovery took."""
        self.done += 1
        self.seconds_each += (seconds - self.seconds_each) / min(self.done, 20)

    def _per_second(self) -> float:
        left = (self.faults - self.done) * self.seconds_each
        return min(PER_SECOND_MAX, (self.total - self.sent) / left) if left else PER_SECOND_MAX


@dataclass
class Run:
    """What was asked for, and what was measured on the way."""

    events: int
    faults: int
    workers: int
    lanes: int
    seed: int
    kinds: Sequence[str] = tuple(BLOWS)
    crew: int = 2
    listen: Callable[[str, list[Place]], Listener] = LiveReader
    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    subscribers: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    restarted: int = 0
    subscribers_restarted: int = 0
    seconds: float = 0.0
    judging_seconds: float = 0.0
    memory_mib: int = 0
    vitals: dict[str, float] = field(default_factory=dict)
    latency: dict[str, float] = field(default_factory=dict)
    misses: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)

    def play(self, here: Field) -> Verdict:
        """Feed the load, strike meanwhile, wait for the end, and judge."""
        began = time.monotonic()
        here.start(self.workers)
        here.subscribers.start()
        watching = Vitals(lambda: here.workers)
        here.stage.feed_transactions()
        pace = Pace(here.stage, round(self.events / VALID), self.faults)
        feeding = threading.Thread(target=pace.run, daemon=True)
        feeding.start()
        for number, kind in enumerate(drawn(self.faults, self.seed, self.kinds), 1):
            self._strike(here, pace, number, kind)
        feeding.join()
        if pace.sent < pace.total:
            raise RuntimeError(f"only {pace.sent} of {pace.total} records were sent")
        rest(here.stage, lambda: self._tend(here))
        self.seconds = time.monotonic() - began
        began = time.monotonic()
        self.vitals = watching.stop()
        world = here.stage.observe()
        here.subscribers.observe(world)
        self.latency = latencies(world)
        verdict = judge(world)
        self.judging_seconds = time.monotonic() - began
        self.restarted = here.restarted
        self.subscribers_restarted = here.subscribers.restarted
        self.memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return verdict

    def _strike(self, here: Field, pace: Pace, number: int, kind: str) -> None:
        began = time.monotonic()
        strike(here, kind, self.misses)
        here.tend()
        with ThreadPoolExecutor(1) as beside:
            theirs = beside.submit(here.subscribers.recovery)
            recovery = here.recovery()
        self.recoveries[kind].append(recovery)
        for crew, seconds in theirs.result().items():
            self.subscribers[crew][kind].append(seconds)
        here.subscribers.order(number / self.faults)
        time.sleep(here.rng.uniform(*PAUSE_SECONDS))
        pace.struck(time.monotonic() - began)
        others = ", ".join(f"{crew} {s:.1f}" for crew, s in theirs.result().items())
        said = f"{number}/{self.faults} {kind}: recovered in {recovery:.1f} s ({others})"
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {said}, {pace.sent} sent\n")

    def _tend(self, here: Field) -> None:
        here.tend()
        here.subscribers.tend()


def strike(here: Field, kind: str, misses: list[str]) -> None:
    """Strike; note as a miss what could not be done as it was meant to be: nothing ends by it."""
    try:
        BLOWS[kind].strike(here)
    except (psycopg.Error, TimeoutError, OSError, AssertionError) as error:
        misses.append(f"{kind}: {type(error).__name__} {str(error)[:200]}")


def rest(stage: Stage, tend: Callable[[], None]) -> None:
    """Wait until everything is at its end, with processes that are looked after."""
    until = time.monotonic() + REST_SECONDS
    while True:
        tend()
        try:
            stage.rest(20)
        except TimeoutError:
            if time.monotonic() > until:
                raise
        else:
            return


@contextmanager
def servers(directory: Path) -> Iterator[tuple[Broker, Server]]:
    """Have a broker behind a proxy's port and a migrated database."""
    directory.chmod(0o755)
    broker = Broker(directory / "kafka", settings=BROKER, proxy_port=free_port(), heap_mb=768)
    server = Server(directory / "postgres")
    broker.start()
    server.start()
    try:
        asyncio.run(migrate(server.dsn()))
        yield broker, server
    finally:
        server.crash()
        broker.kill()


def keep_logs(directory: Path) -> None:
    """Copy the processes' logs to where they stay, and say where."""
    kept = tempfile.mkdtemp(prefix="hub-audit-faults-logs-")
    for log in directory.glob("*.log"):
        shutil.copy(log, kept)
    sys.stderr.write(f"the processes' logs are in {kept}\n")


class Play(Protocol):
    """What is played on a field; ``crew`` is how many forwarders and how many of Defend."""

    lanes: int
    seed: int
    crew: int
    crashes: list[str]

    @property
    def listen(self) -> Callable[[str, list[Place]], Listener]:
        """Who reads what is published while it is played."""

    def play(self, here: Field) -> Verdict:
        """Play it, and judge."""


def on_field(run: Play, broker: Broker, server: Server, dsn: str, directory: Path) -> Verdict:
    """Set the field up, play, and clear it away."""
    with ExitStack() as stack:
        wires = Wires(broker, dsn)
        stack.callback(wires.close)
        where = broker.bootstrap_servers, dsn, directory, f"run{run.seed}."
        stage = Stage(*where, run.lanes, run.seed, shares=dict(SHARES), listen=run.listen)
        stack.callback(stage.close)
        stage.settings |= {
            "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS": wires.bootstrap,
            "HUB_AUDIT_POSTGRES_DSN": wires.store.dsn,
            "HUB_AUDIT_KAFKA_REQUEST_TIMEOUT_MS": "3000",
        }
        subscribers = Subscribers(stage, run.crew)
        stack.callback(subscribers.kill)
        return run.play(Field(stage, broker, server, wires, Random(run.seed), subscribers))


def on_servers(run: Play) -> tuple[Verdict, dict[str, str]]:
    """Play with servers of its own, whose logs stay unless all is well.

    Returns the verdict, and the versions of what was played with.
    """
    with tempfile.TemporaryDirectory(prefix="hub-audit-faults-") as name:
        directory = Path(name)
        with servers(directory) as (broker, server), ExitStack() as unless_clean:
            unless_clean.callback(keep_logs, directory)
            found = report.versions(server.dsn())
            verdict = on_field(run, broker, server, server.dsn(), directory)
            run.crashes = crashes(directory)
            if verdict.clean and not run.crashes:
                unless_clean.pop_all()
    return verdict, found


def crashes(directory: Path) -> list[str]:
    """Return the logs of processes that ended by a bug, once for each time; no outage is one."""
    logs = sorted(directory.glob("*.log"))
    return [log.name for log in logs for _ in range(log.read_bytes().count(b'"event": "crashed"'))]


def main() -> int:
    """Play it; exit 1 when the oracle finds anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="valid ones")
    parser.add_argument("--faults", type=int, default=220)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--lanes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    run = Run(given.events, given.faults, given.workers, given.lanes, given.seed)
    verdict, found = on_servers(run)
    figures = report.figures(run, verdict, found)
    text = report.page(figures)
    report.leave(figures, text, given.results, "RESULTS")
    sys.stdout.write(f"{text}\n{verdict}\n")
    return 0 if verdict.clean and not run.crashes else 1


if __name__ == "__main__":
    sys.exit(main())
