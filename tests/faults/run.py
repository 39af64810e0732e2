"""The headline: a big mixed load, two workers, three kill -9s, and the oracle's figures.

``python -m tests.faults.run`` starts its own Kafka and Postgres, prints a table, and writes
``RESULTS.json`` and ``RESULTS.md`` beside this file, or into the directory it is given.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processor.local.kafka import Broker
from processor.local.postgres import Server
from processor.store.migrations import migrate
from tests.faults.conftest import BROKER
from tests.faults.harness import Stage, until
from tests.faults.oracle import judge
from tests.faults.verdict import COUNTERS, Verdict

REST_SECONDS = 600.0


@dataclass
class Run:
    """What was asked for, and what was measured on the way."""

    events: int
    kills: int
    lanes: int
    seed: int
    per_second: float
    recoveries_seconds: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def play(self, stage: Stage) -> Verdict:
        """Feed the load, kill workers meanwhile, wait for the end, and judge."""
        began = time.monotonic()
        workers = [stage.start(), stage.start()]
        until(lambda: all(worker.joined for worker in workers), "both workers are members")
        half = self.events // 2
        loads = threading.Thread(target=self._load, args=(stage, half))
        loads.start()
        for turn in range(self.kills):
            goal = self.events * (turn + 1) // (self.kills + 2)
            until(lambda goal=goal: stage.stored() >= goal, f"{goal} stored", REST_SECONDS)  # type: ignore[misc]
            workers.pop(0).kill()
            workers.append(stage.start())
            self.recoveries_seconds.append(self._recovery(stage))
        loads.join()
        stage.rest(REST_SECONDS)
        self.seconds = time.monotonic() - began
        return judge(stage.observe())

    def _load(self, stage: Stage, half: int) -> None:
        stage.feed(half, per_second=self.per_second)
        stage.feed_transactions()
        stage.feed(self.events - half, per_second=self.per_second)

    def _recovery(self, stage: Stage) -> float:
        """Return how long it takes until every lane moves on, or has nothing left to do."""
        before = dict(stage.sql("SELECT lane, batch FROM lanes"))
        sent = dict(stage.sender.ends)

        def moved() -> bool:
            now = dict(stage.sql("SELECT lane, batch FROM lanes"))
            idle = {lane for lane, batch in before.items() if now[lane] == batch}
            found = stage.committed() if idle else {}
            return all(found[at][0] >= end for at, end in sent.items() if at[1] in idle)

        return until(moved, "every lane goes on", REST_SECONDS)

    def report(self, verdict: Verdict) -> dict[str, Any]:
        """Return everything there is to say."""
        return {
            "asked": {
                "events": self.events,
                "workers": 2,
                "kills": self.kills,
                "lanes": self.lanes,
                "seed": self.seed,
            },
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
            "seconds": round(self.seconds, 1),
            "recoveries_seconds": [round(s, 1) for s in self.recoveries_seconds],
            "totals": dict(verdict.totals),
            "wrong": verdict.figures(),
            "clean": verdict.clean,
        }


def table(report: dict[str, Any]) -> str:
    """Return the report as one Markdown table."""
    lines = ["| figure | value |", "|---|--:|"]
    asked = report["asked"]
    lines += [f"| {name} | {value} |" for name, value in asked.items()]
    lines += [f"| {name} | {value} |" for name, value in report["totals"].items()]
    lines.append(f"| seconds until everything was emitted | {report['seconds']} |")
    lines.append(f"| recovery after each kill, seconds | {report['recoveries_seconds']} |")
    lines += [f"| **{name}**: {COUNTERS[name]} | {n} |" for name, n in report["wrong"].items()]
    return "\n".join(lines)


def main() -> int:
    """Play it; exit 1 when the oracle finds anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--lanes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-second", type=float, default=0)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    run = Run(given.events, given.kills, given.lanes, given.seed, given.per_second)
    with tempfile.TemporaryDirectory(prefix="hub-audit-faults-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        broker = Broker(directory / "kafka", settings=BROKER)
        server = Server(directory / "postgres")
        broker.start()
        server.start()
        try:
            asyncio.run(migrate(server.dsn()))
            where = broker.bootstrap_servers, server.dsn(), directory
            stage = Stage(*where, "headline.", run.lanes, run.seed)
            try:
                verdict = run.play(stage)
            finally:
                stage.close()
        finally:
            server.crash()
            broker.kill()
    report = run.report(verdict)
    text = table(report)
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "RESULTS.json").write_text(json.dumps(report, indent=1) + "\n")
    (given.results / "RESULTS.md").write_text(text + "\n")
    sys.stdout.write(f"{text}\n\n{verdict}\n")
    return 0 if verdict.clean else 1


if __name__ == "__main__":
    sys.exit(main())
