"""Measure P1 to P8 and write RESULTS.md and results.json beside this file.

``python -m tests.benchmarks --events 2000000 --runs 3 --only P1 P4``
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks import latency, peers, throughput
from tests.benchmarks.stage import Servers

HERE = Path(__file__).parent
FLOORS = {
    "P1": ("sustained events/s, one worker, 12 lanes", "18,000", "28,000"),
    "P2": ("two workers, as a multiple of one", "1.2", "1.5"),
    "P3": ("CPU seconds of the worker per 1 M events", "40", "26"),
    "P4": ("ms at 2,000 events/s: row p50 / p99; event p50 / p99", "1,000", "300"),
    "P5": ("ratio to the hand-written transactional pydantic loop", "0.5", "0.75"),
    "P6": ("share of bare COPY of the same rows", "10 %", "16 %"),
    "P7": ("MB resident under load: peak; growth over the second half", "400, flat", "250"),
    "P8": ("seconds from kill -9 until the lanes flow again", "25", "15"),
}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(FLOORS))
    asked = parser.parse_args()
    measured: dict[str, Any] = {"machine": machine(), "at": f"{datetime.now(UTC):%F %H:%MZ}"}
    measured["events"], measured["runs"] = asked.events, asked.runs
    with Servers.running() as servers:
        for step in (single, double, late, killed, compared):
            step(servers, asked, measured)
    (HERE / "results.json").write_text(json.dumps(measured, indent=2) + "\n")
    (HERE / "RESULTS.md").write_text(table(measured))
    print(table(measured))


def single(servers: Servers, asked: argparse.Namespace, measured: dict[str, Any]) -> None:
    """P1, P3, P6, P7: one worker."""
    if not {"P1", "P2", "P3", "P6", "P7"} & set(asked.only):
        return
    runs = [throughput.run(servers, asked.events, 1) for _ in range(asked.runs)]
    rate = median(run.events_per_second for run in runs)
    measured["exact"] = all(run.exact for run in runs)
    measured["P1"] = f"{rate:,.0f}"
    measured["P3"] = f"{median(run.cpu_us_per_event for run in runs):.1f}"
    copied = throughput.copy_rows_per_second(servers)
    measured["P6"] = f"{rate / copied:.1%} of {copied:,.0f} rows/s"
    growth = median(run.resident_mb_max - run.resident_mb_half for run in runs)
    measured["P7"] = f"{median(run.resident_mb_max for run in runs):.0f}; {growth:+.0f}"
    measured["rate"] = rate
    print(measured, flush=True)


def double(servers: Servers, asked: argparse.Namespace, measured: dict[str, Any]) -> None:
    """P2: two workers."""
    if "P2" in asked.only:
        runs = [throughput.run(servers, asked.events, 2) for _ in range(asked.runs)]
        rate = median(run.events_per_second for run in runs)
        measured["P2"] = f"{rate / measured['rate']:.2f} ({rate:,.0f} events/s)"
        print(measured["P2"], flush=True)


def late(servers: Servers, asked: argparse.Namespace, measured: dict[str, Any]) -> None:
    """P4: latency."""
    if "P4" in asked.only:
        runs = [latency.latency(servers, 20) for _ in range(asked.runs)]
        row, event = (
            " / ".join(f"{median(getattr(run, f'{what}_{p}') for run in runs):.0f}" for p in PS)
            for what in ("row", "event")
        )
        measured["P4"] = f"{row}; {event}"
        print(measured["P4"], flush=True)


PS = ("p50", "p99")


def killed(servers: Servers, asked: argparse.Namespace, measured: dict[str, Any]) -> None:
    """P8: take-over."""
    if "P8" in asked.only:
        measured["P8"] = f"{median(latency.take_over(servers) for _ in range(asked.runs)):.1f}"
        print(measured["P8"], flush=True)


def compared(servers: Servers, asked: argparse.Namespace, measured: dict[str, Any]) -> None:
    """P5: the hand-written loop, in alternating rounds."""
    if "P5" in asked.only:
        rounds = peers.ratios(servers, asked.events, asked.runs)
        ratio = median(ours.events_per_second / theirs.events_per_second for ours, theirs in rounds)
        cpu = median(ours.cpu_us_per_event / theirs.cpu_us_per_event for ours, theirs in rounds)
        theirs = median(their.events_per_second for _, their in rounds)
        measured["P5"] = f"{ratio:.2f} (theirs {theirs:,.0f} events/s; our CPU x{cpu:.2f})"
        print(measured["P5"], flush=True)


def median(values: Any) -> float:
    """Return the median."""
    return float(statistics.median(values))


def machine() -> str:
    """Describe where this ran."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    postgres = subprocess.run(
        ["psql", "--version"], capture_output=True, text=True, check=False
    ).stdout.strip()
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiokafka", "asyncpg", "pydantic"))
    return (
        f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {packages}, {postgres}, Apache Kafka 4.1.1"
    )


def table(measured: dict[str, Any]) -> str:
    """Return the results as a Markdown page."""
    lines = [
        "# Benchmark results",
        "",
        f"Written by `make bench` on {measured['at']}: medians of {measured['runs']} runs,",
        f"{measured['events']:,} events of 690 bytes each, 2,000 organizations by Zipf's law.",
        "",
        f"{measured['machine']}; broker, Postgres and workers share the machine.",
        "",
        "| | figure | floor | target | measured |",
        "|---|---|---|---|---|",
    ]
    for name, (what, floor, target) in FLOORS.items():
        lines.append(f"| {name} | {what} | {floor} | {target} | {measured.get(name, 'not run')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
