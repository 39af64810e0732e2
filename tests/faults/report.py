"""The page that a full run writes: what was done, on what, and what the oracle found."""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from tests.faults.blows import BLOWS, NOT_RUN
from tests.faults.verdict import COUNTERS, Verdict

if TYPE_CHECKING:
    from tests.faults.run import Run

KAFKA = "4.1.1"
RECOVERY_P95_SECONDS = 15
RECOVERY_SECONDS_MAX = 45


def versions(dsn: str) -> dict[str, str]:
    """Return what was tested with what."""
    with psycopg.connect(dsn) as db:
        row = db.execute("SHOW server_version").fetchone()
    asked = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit,
        "Python": platform.python_version(),
        "Kafka": KAFKA,
        "Postgres": str(row[0]) if row else "",
        "aiokafka": version("aiokafka"),
        "asyncpg": version("asyncpg"),
    }


def figures(run: "Run", verdict: Verdict, found: dict[str, str]) -> dict[str, Any]:
    """Return everything there is to say."""
    every = [seconds for each in run.recoveries.values() for seconds in each]
    return {
        **circumstances("tests.faults.run"),
        "versions": found,
        "asked": {
            "valid events": run.events,
            "faults": run.faults,
            "workers": run.workers,
            "lanes": run.lanes,
            "seed": run.seed,
        },
        "seconds": round(run.seconds),
        "judging_seconds": round(run.judging_seconds),
        "judge_memory_mib": run.memory_mib,
        "restarted": run.restarted,
        "subscribers_restarted": run.subscribers_restarted,
        "crashes": run.crashes,
        "subscribers": {
            crew: summary([seconds for each in kinds.values() for seconds in each])
            for crew, kinds in run.subscribers.items()
        },
        "misses": run.misses,
        "vitals": run.vitals,
        "latency": run.latency,
        "faults": len(every),
        "kinds": len(run.recoveries),
        "recovery": summary(every),
        "recoveries": {
            kind: {
                **summary(each),
                **{crew: summary(kinds[kind])["max"] for crew, kinds in run.subscribers.items()},
            }
            for kind, each in sorted(run.recoveries.items())
        },
        "totals": dict(verdict.totals),
        "wrong": verdict.figures(),
        "clean": verdict.clean,
    }


def circumstances(module: str) -> dict[str, str]:
    """Return what was run, when and on what."""
    return {
        "command": " ".join([f"python -m {module}", *sys.argv[1:]]),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
    }


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Return number, median, 95th percentile and maximum."""
    ordered = sorted(seconds)
    at = min(len(ordered) - 1, round(0.95 * len(ordered)))
    return {
        "times": len(ordered),
        "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[at], 1),
        "max": round(ordered[-1], 1),
    }


def _spread(each: dict[str, float]) -> str:
    return f"median {each['median']} s, p95 {each['p95']} s, max {each['max']} s"


def judged(said: dict[str, Any]) -> list[str]:
    """Return the tables of what was asked for and passed, and of what would be wrong."""
    return [
        "| asked, and passed | |",
        "|---|--:|",
        *(f"| {name} | {value} |" for name, value in said["asked"].items()),
        *(f"| {name.replace('_', ' ')} | {value} |" for name, value in said["totals"].items()),
        "",
        "| what would be wrong | times |",
        "|---|--:|",
        *(f"| **{name}**: {COUNTERS[name]} | {n} |" for name, n in said["wrong"].items()),
        "",
    ]


def leave(figures: dict[str, Any], text: str, directory: Path, name: str) -> None:
    """Write figures and page where they are to stay."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    (directory / f"{name}.md").write_text(text)


def crashed(said: Mapping[str, Any]) -> list[str]:
    """Return the line on processes that ended by a bug; none of a run that did not look for it."""
    if "crashes" not in said:
        return []
    return [f"Processes that ended by a bug, which would be ours: {len(said['crashes'])}."]


def page(said: dict[str, Any]) -> str:
    """Return the report in Markdown."""
    recovery = said["recovery"]
    crews = list(said["subscribers"])
    used = ", ".join(f"{name} {number}" for name, number in said["versions"].items())
    lines = [
        "# What a full run under faults came to",
        "",
        f"`{said['command']}` on {said['date']}; {said['machine']}; {used}.",
        "Written by the run. Its own broker and database, the load, the proxies and the oracle",
        "shared the machine with the workers.",
        "",
        f"**{said['faults']} faults of {said['kinds']} kinds** in {said['seconds']} s,",
        f"judged in {said['judging_seconds']} s with {said['judge_memory_mib']} MiB:",
        f"recovery median {recovery['median']} s,",
        f"p95 {recovery['p95']} s (limit {RECOVERY_P95_SECONDS}),",
        f"max {recovery['max']} s (limit {RECOVERY_SECONDS_MAX}).",
        f"Workers that ended by themselves and were started again: {said['restarted']}.",
        "The subscribers under the same faults recovered so:",
        "; ".join(f"{crew} {_spread(each)}" for crew, each in said["subscribers"].items()) + ".",
        f"Of them ended by themselves and were started again: {said['subscribers_restarted']}.",
        *crashed(said),
        "From a record's append time to its canonical event, faults included, in seconds:",
        ", ".join(f"{name} {number}" for name, number in said["latency"].items()) + ".",
        "Of the workers, and of the one that lived longest:",
        ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in said["vitals"].items()) + ".",
        "",
        *judged(said),
        "Recovery is counted from the end of the fault until every lane has gone on or has nothing",
        "left to do, in seconds; for the two columns of subscribers, until every subscription and",
        "every partition has. Rows are those of the [fault matrix](MATRIX.md).",
        "",
        f"| fault | row | times | median | p95 | max |{''.join(f' {c}, max |' for c in crews)}",
        "|---|---|--:|--:|--:|--:|" + "--:|" * len(crews),
    ]
    for kind, each in said["recoveries"].items():
        names = ("times", "median", "p95", "max", *crews)
        found = " | ".join(str(each[name]) for name in names)
        lines.append(f"| {kind} | {BLOWS[kind].rows} | {found} |")
    return "\n".join([*lines, *_not_run(said)]) + "\n"


def _not_run(said: dict[str, Any]) -> list[str]:
    """Return what this run did not do, line by line."""
    lines = ["", "Not run here:", ""]
    lines += [f"- {row}: {why}" for row, why in NOT_RUN.items()]
    lines += [
        f"- one that could not be done as it was meant to be: {each}" for each in said["misses"]
    ]
    missing = [kind for kind in BLOWS if kind not in said["recoveries"]]
    lines += [f"- {kind}: not in a run this short" for kind in missing]
    return lines
