"""Measure P1 to P15, and write RESULTS.md and results.json beside this file.

``python -m tests.benchmarks --events 2000000 --runs 3 --only P1 P4``, and with ``--page-only`` the
page is written anew of the results there are.

Figures that belong together are measured together (P1, P3, P6, P7 are one measurement); what is not
measured keeps its last result, with the day it is of. Kafka and Postgres are our own, unless
HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS and HUB_AUDIT_POSTGRES_DSN name others.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import (
    arriving,
    compiled,
    defending,
    forwarding,
    latency,
    peers,
    reading,
    report,
    throughput,
)
from tests.benchmarks.events import events
from tests.benchmarks.servers import Servers
from tests.benchmarks.stage import Bus

HERE = Path(__file__).parent
ALARMS = 20
"""Attacks, each of them timed until its finding, for P13."""

AS_IN_THE_IMAGE = {"copy", "one", "two", "latency", "take_over", "peers", "disturbed", "memory"}
"""What is measured on workers that are compiled where that is possible; all else is the source."""


@dataclass
class Measurement:
    """What is asked for, where it is measured, and what has come of it so far."""

    servers: Servers
    asked: argparse.Namespace
    results: dict[str, Any]
    machine: str

    def note(self, what: str, runs: Any, events_each: int = 0) -> None:
        """Keep the runs of a measurement and show them, so that a long session can be watched."""
        at = time.strftime("%Y-%m-%d %H:%MZ", time.gmtime())
        self.results[what] = {
            "at": at,
            "events": events_each,
            "runs": runs,
            "machine": self.machine,
            "compiled": what in AS_IN_THE_IMAGE and compiled.packages() is not None,
        }
        write(self.results)
        print(report.line(what, self.results[what]), flush=True)

    def loaded(self, count: int) -> Any:
        """Give a bus with so many events on it."""
        return Bus.laid(self.servers, events(1, count, int(time.time() * 1000)))


def rates(measurement: Measurement) -> None:
    """P1, P3, P6, P7 and, on the same events, P2 and what compiling is worth."""
    asked = measurement.asked
    measurement.results["worker"] = compiled.described()
    # Ratios are between figures of one session alone.
    for name in ("copy", "one", "two", "written"):
        measurement.results.pop(name, None)
    with measurement.loaded(asked.events) as bus:
        # A new broker spends ten times as much on a request until its code is compiled.
        throughput.run(bus, throughput.OURS)
        copied = throughput.copy_rows_per_second(bus, measurement.servers)
        measurement.note("copy", [{"rows_per_second": copied}])
        kinds = [("one", throughput.OURS)]
        kinds += [("two", throughput.TWO)] if "P2" in asked.only else []
        kinds += [("written", throughput.WRITTEN)] if compiled.packages() else []
        runs: dict[str, list[Any]] = {name: [] for name, _ in kinds}
        for _ in range(asked.runs):
            for name, contender in kinds:
                runs[name].append(throughput.run(bus, contender)._asdict())
                measurement.note(name, runs[name], asked.events)


def late(measurement: Measurement) -> None:
    """P4."""
    runs = [
        latency.latency(measurement.servers, measurement.asked.seconds)._asdict()
        for _ in range(measurement.asked.runs)
    ]
    measurement.note("latency", runs)


def killed(measurement: Measurement) -> None:
    """P8."""
    runs = [
        {"seconds": latency.take_over(measurement.servers)} for _ in range(measurement.asked.runs)
    ]
    measurement.note("take_over", runs)


def compared(measurement: Measurement) -> None:
    """P5, and what is left after a kill and a rebalance."""
    asked = measurement.asked
    with peers.contenders() as these:
        with measurement.loaded(asked.peer_events) as bus:
            rounds = peers.compare(bus, asked.runs, these)
            runs = [run._asdict() for one_round in rounds for run in one_round]
            measurement.note("peers", runs, asked.peer_events)
        with measurement.loaded(asked.disturbed_events) as bus:
            left = [each._asdict() for each in peers.disturbed(bus, these)]
            measurement.note("disturbed", left, asked.disturbed_events)


def read(measurement: Measurement) -> None:
    """P9 to P12."""
    count = measurement.asked.entries
    asyncio.run(reading.measure(measurement.servers, count, measurement.note))


def forwarded(measurement: Measurement) -> None:
    """P15."""
    measurement.note("forwarding", [asyncio.run(forwarding.measure(measurement.servers))])


def defended(measurement: Measurement) -> None:
    """P13."""
    asked = measurement.asked
    runs = [
        defending.measure(measurement.servers, asked.defend_events, ALARMS)._asdict()
        for _ in range(asked.runs)
    ]
    measurement.note("defend", runs, asked.defend_events)


def arrived(measurement: Measurement) -> None:
    """P14."""
    measurement.note("arriving", [arriving.measure() for _ in range(measurement.asked.runs)])


def grown(measurement: Measurement) -> None:
    """P7 over many more events, on one run."""
    asked = measurement.asked
    with measurement.loaded(asked.memory_events) as bus:
        runs = [throughput.run(bus, throughput.OURS)._asdict()]
        measurement.note("memory", runs, asked.memory_events)


STEPS: list[tuple[set[str], Callable[[Measurement], None]]] = [
    ({"P1", "P2", "P3", "P6", "P7"}, rates),
    ({"P4"}, late),
    ({"P5"}, compared),
    ({"P8"}, killed),
    ({"P9", "P10", "P11", "P12"}, read),
    ({"P13"}, defended),
    ({"P14"}, arrived),
    ({"P15"}, forwarded),
]


def write(results: dict[str, Any]) -> None:
    """Write both files."""
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "RESULTS.md").write_text(report.page(results))


def arguments() -> argparse.Namespace:
    """Read what is asked for."""
    names = sorted(name for figures, _ in STEPS for name in figures)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="of P1, P2, P3, P6, P7")
    parser.add_argument("--peer-events", type=int, default=500_000, help="of P5")
    parser.add_argument(
        "--disturbed-events", type=int, default=200_000, help="of P5, killed and rebalanced"
    )
    parser.add_argument("--memory-events", type=int, default=0, help="P7 once over so many")
    parser.add_argument("--entries", type=int, default=6_000_000, help="of P9 to P12")
    parser.add_argument("--defend-events", type=int, default=200_000, help="of P13")
    parser.add_argument("--seconds", type=float, default=30, help="of sending, for P4")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--page-only", action="store_true", help="measure nothing, write the page anew"
    )
    parser.add_argument("--only", nargs="+", default=names, choices=names, metavar="P")
    return parser.parse_args()


def main() -> None:
    """Measure what is asked for."""
    asked = arguments()
    # By an exception: servers are stopped and their directories removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    file = HERE / "results.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    if asked.page_only:
        write(results)
        return
    with Servers.running() as servers:
        machine = report.machine(servers)
        results.setdefault("machine", machine)
        if {"P1", "P3"} & set(asked.only):  # the page's own; what is of another says so
            results["machine"] = machine
        measurement = Measurement(servers, asked, results, machine)
        for figures, step in STEPS:
            if figures & set(asked.only):
                step(measurement)
        if asked.memory_events:
            grown(measurement)
    print(report.page(results))


if __name__ == "__main__":
    main()
