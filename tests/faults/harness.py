"""A scenario's stage: topics and a database of its own, load, workers that come and die."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import psycopg

from processor.local.child import watch_over
from processor.local.port import free_port
from tests.faults import offsets, reader, topics
from tests.faults.ledger import Ledger
from tests.faults.load import Generator, Mix, Sender, Shot, feed
from tests.faults.observe import observe, output_places, raw_places
from tests.faults.oracle import judge
from tests.faults.verdict import Verdict
from tests.faults.world import Place, World

ROOT = Path(__file__).resolve().parents[2]
GROUP = "hub-audit-faults"
SESSION_TIMEOUT_MS = 2_000
# Longer than any recovery the fault page allows.
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.05
# Transaction time-out and the broker's scan for such transactions.
HANGING_SECONDS = 20.0


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> float:
    """Wait until the condition holds and return for how long; fail when it takes too long."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


class Worker:
    """A process of Hub Audit, a worker unless another command is named; its log is a file."""

    def __init__(self, environment: dict[str, str], log: Path, command: str = "process") -> None:
        """Start it."""
        self.log = log
        self._port = environment.get("HUB_AUDIT_HTTP_PORT")
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.worker_with_failpoint", command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env=environment,
            )
        self._watch = watch_over(self.process.pid, signal.SIGKILL)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def frozen(self) -> bool:
        """Whether it has stopped itself."""
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return False
        return stat.rsplit(")", 1)[1].split()[0] == "T"

    @property
    def joined(self) -> bool:
        """Whether the group has spoken to it."""
        return "lanes_assigned" in self.said()

    def answer(self, path: str) -> str:
        """Return what it answers over HTTP; nothing while it does not, or is not ready."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}") as response:
                text: str = response.read().decode()
                return text
        except OSError:
            return ""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as ``kill -9`` does, frozen or not."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
        if self._watch.poll() is None:
            self._watch.communicate(b"done\n")

    def drain(self) -> tuple[int, float]:
        """End it by SIGTERM; return its exit code and how long it took."""
        began = time.monotonic()
        self.send(signal.SIGTERM)
        code = self.process.wait(PATIENCE_SECONDS)
        return code, time.monotonic() - began

    def died(self) -> bool:
        """Whether it has ended, by SIGKILL."""
        return self.process.poll() == -signal.SIGKILL

    def said(self) -> str:
        """Return its log."""
        return self.log.read_text(errors="replace")


@dataclass
class Stage:
    """Where a scenario plays."""

    bootstrap: str
    dsn: str
    directory: Path
    prefix: str
    lanes: int = 3
    seed: int = 1
    settings: dict[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    shares: dict[str, Any] = field(default_factory=dict)
    listen: Callable[[str, list[Place]], reader.Listener] = reader.LiveReader

    def __post_init__(self) -> None:
        """Make the topics, and open the ledger."""
        topics.create(self.bootstrap, self.prefix, self.lanes)
        self.rng = Random(self.seed)
        self.group = f"{GROUP}.{self.prefix}"
        now_ms = int(time.time() * 1000)
        mix = Mix(seed=self.seed, now_ms=now_ms, lanes=self.lanes, **self.shares)
        self.shots: Iterator[Shot] = Generator(mix).shots()
        self.path = self.directory / "ledger.jsonl"
        self.ledger = Ledger(self.path)
        self.sender = Sender(self.bootstrap, self.prefix, self.ledger)
        self.live = self.listen(self.bootstrap, output_places(self.prefix, self.lanes))

    # --- load ------------------------------------------------------------------------------

    def feed(self, count: int, *, per_second: float = 0) -> None:
        """Send so many records of the mix."""
        feed(self.sender, self.shots, count, per_second=per_second)

    def feed_until(self, condition: Callable[[], bool], what: str, *, each: int = 30) -> float:
        """Send a few records again and again until the condition holds."""

        def holds() -> bool:
            # In this order: the last one may end, which may be the condition, between the looks.
            left = any(worker.running for worker in self.workers)
            if condition():
                return True
            if not left:
                raise RuntimeError(f"no worker is left\n{self.logs()}")
            self.feed(each)
            return False

        return until(holds, what)

    def feed_transactions(self) -> None:
        """Send a committed and an aborted transaction, which leave holes in the offsets."""
        self.sender.send_transaction(list(islice(self.shots, 20)), commit=True)
        self.sender.send_transaction(list(islice(self.shots, 10)), commit=False)

    # --- workers ---------------------------------------------------------------------------

    def start(
        self, point: str = "", *, passes: int = 1, number: signal.Signals = signal.SIGKILL
    ) -> Worker:
        """Start a worker, one that strikes itself when a point is named."""
        environment = self.environment()
        if point:
            environment |= {
                "FAULTS_POINT": point,
                "FAULTS_PASS": str(passes),
                "FAULTS_SIGNAL": number.name,
            }
        worker = Worker(environment, self.directory / f"worker-{len(self.workers)}.log")
        self.workers.append(worker)
        return worker

    def environment(self) -> dict[str, str]:
        """Return what a process of this stage is started with."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("HUB_AUDIT_")
        }
        return environment | {
            "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "HUB_AUDIT_POSTGRES_DSN": self.dsn,
            "HUB_AUDIT_KAFKA_TOPIC_PREFIX": self.prefix,
            "HUB_AUDIT_KAFKA_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
            "HUB_AUDIT_KAFKA_HEARTBEAT_INTERVAL_MS": "500",
            "HUB_AUDIT_ENVIRONMENT": "faults",
            "HUB_AUDIT_GROUP": self.group,
            "HUB_AUDIT_LANES": str(self.lanes),
            "HUB_AUDIT_HTTP_PORT": str(free_port()),
            **self.settings,
        }

    def logs(self) -> str:
        """Return the end of every worker's log."""
        return "\n".join(f"{w.log.name}: {w.said()[-1500:]}" for w in self.workers)

    # --- waiting ---------------------------------------------------------------------------

    def stored(self) -> int:
        """Return how many offsets are stored."""
        with psycopg.connect(self.dsn, autocommit=True) as db:
            found = db.execute("SELECT sum(stored_through) FROM source_offsets").fetchone()
        return int(found[0] or 0) if found else 0

    def progress(self, count: int) -> float:
        """Go on sending until so many more offsets are stored; return for how long."""
        goal = self.stored() + count
        return self.feed_until(lambda: self.stored() >= goal, f"{count} more offsets")

    def committed(self) -> dict[Place, tuple[int, str]]:
        """Return what the group has committed."""
        places = raw_places(self.prefix, self.lanes)
        return offsets.committed(self.bootstrap, self.group, places)

    def emitted(self) -> bool:
        """Tell whether everything acknowledged has passed the path to its end."""
        if not any(worker.running for worker in self.workers):
            raise RuntimeError(f"no worker is left\n{self.logs()}")
        found = self.committed()
        return all(found[place][0] >= end for place, end in self.sender.ends.items())

    def rest(self, seconds: float = PATIENCE_SECONDS) -> float:
        """Wait until everything that was sent is at its end; return for how long."""
        try:
            return until(self.emitted, "everything emitted", seconds)
        except TimeoutError:
            behind = {
                place: (end, found[place])
                for found in [self.committed()]
                for place, end in self.sender.ends.items()
                if found[place][0] < end
            }
            raise TimeoutError(f"not at its end: {behind}\n{self.logs()}") from None

    # --- judging ---------------------------------------------------------------------------

    def observe(self) -> World:
        """Return the world as it stands, with what the live reader saw."""
        self.settled()
        world = observe(
            self.bootstrap,
            self.dsn,
            self.path,
            prefix=self.prefix,
            lanes=self.lanes,
            group=self.group,
        )
        assert isinstance(self.live, reader.LiveReader)
        read = self.live.records
        count = len(world.canonical) + len(world.dead)
        until(lambda: len(read) >= count, "the live reader at the end")
        world.live = self.live.seen([*world.canonical, *world.dead])
        return world

    def settled(self) -> None:
        """Wait for the markers of the last transactions: they come after the commit's answer.

        What still hangs then is for the oracle to say.
        """
        places = output_places(self.prefix, self.lanes)

        def stable() -> bool:
            return all(e.stable == e.high for e in reader.ends(self.bootstrap, places).values())

        with contextlib.suppress(TimeoutError):
            until(stable, "no open transaction", HANGING_SECONDS)

    def judge(self) -> Verdict:
        """Let everything come to its end, and return the oracle's verdict."""
        self.rest()
        return judge(self.observe())

    def sql(self, query: Any, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database something."""
        with psycopg.connect(self.dsn, autocommit=True) as db:
            return db.execute(query, values).fetchall()

    def close(self) -> None:
        """End everything that was started, and remove the topics."""
        for worker in self.workers:
            worker.kill()
        self.live.stop()
        self.ledger.__exit__(None, None, None)
        topics.delete(self.bootstrap, self.prefix)
