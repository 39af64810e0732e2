"""The results as a page: figures against floors and targets, and who was compared with whom."""

import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

from processor.local.kafka import VERSION as KAFKA
from tests.benchmarks.figures import FIGURES, FLAT_MB_PER_MILLION, measured, missed_floors, verdict
from tests.benchmarks.servers import Servers
from tests.benchmarks.shown import FOREIGN_MAX, Results


def page(results: Results) -> str:
    """Return the results as a Markdown page."""
    return "\n".join(_page(results)) + "\n"


def _page(results: Results) -> Iterator[str]:
    results = measured(results)
    yield from ("# Benchmark results", "")
    yield "Written by `make bench` (`python -m tests.benchmarks`); every run is in `results.json`."
    yield "Events of 521 to 840 bytes, 605 in the mean, all types, 2 % discards; 12 lanes, 2,000"
    yield "organizations by Zipf's law. Rates are from the first commit to the last; medians of the"
    yield f"runs in which other programs took at most {FOREIGN_MAX:.0%} of the machine, if any."
    yield from ("", results["machine"], results.get("worker", ""), "", missed_floors(results))
    yield "A figure of several numbers is met when all are; of p50 and p99 the latter is judged,"
    yield f"the highest of them. Flat is at most {FLAT_MB_PER_MILLION:.0f} MB a million more."
    yield from ("", "| | figure | floor | target | measured | | quiet runs, events each, when |")
    yield "|---|---|---|---|---|---|---|"
    for figure in FIGURES:
        found = results.get(figure.source)
        value = figure.shown(results) if found else "not measured"
        runs = ", ".join((_runs(found), *_elsewhere(found, results))) if found else ""
        limits = f"{figure.floor} | {figure.target}"
        judged = verdict(figure, results)
        yield f"| {figure.name} | {figure.what} | {limits} | {value} | {judged} | {runs} |"
    for title, sources in (("P1", ("one", "written")), ("P2", ("two",)), ("P5", ("peers",))):
        of_title = [run for name in sources for run in results.get(name, {"runs": []})["runs"]]
        if of_title:
            yield from ("", f"## Runs of {title}", "", *_table(of_title))
    if "disturbed" in results:
        yield from ("", "## What a kill and a rebalance leave", "")
        yield from leavings(results["disturbed"]["runs"])
        said = results["disturbed"]["at"], *_elsewhere(results["disturbed"], results)
        yield from ("", f"On {', '.join(said)}.")


def leavings(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table: who loses or repeats what after which disturbance."""
    yield "| | after | events | rows missing | records missing | repeated | restarts | s |"
    yield "|---|---|---|---|---|---|---|---|"
    counts = ("expected", "missing_rows", "missing_records", "repeated_records", "restarts")
    for run in runs:
        numbers = " | ".join(f"{run[name]:,}" for name in counts)
        yield f"| {run['contender']} | {run['disturbance']} | {numbers} | {run['seconds']:.0f} |"


def _runs(found: dict[str, Any]) -> str:
    runs, each = found["runs"], found["events"]
    calm = sum(run.get("foreign_share", 0) <= FOREIGN_MAX for run in runs)
    return f"{calm} of {len(runs)}" + (f", {each:,}" if each else "") + f", {found['at']}"


def _elsewhere(found: dict[str, Any], results: Results) -> Iterator[str]:
    """Yield what is not as the head of the page has it, or is not known."""
    head = results.get("worker", "").startswith("Workers are compiled")
    if (own := found.get("compiled", False)) != head:
        yield "compiled" if own else "not compiled"
    if "machine" not in found:
        yield "machine not noted"
    elif found["machine"] != results["machine"]:
        yield f"on {found['machine'].partition(',')[0]}"


def _table(runs: list[dict[str, Any]]) -> Iterator[str]:
    yield "| | events/s | lanes busy | CPU us | Postgres | broker | MB | others | start | exact |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for run in runs:
        yield "| " + " | ".join(_cells(run)) + " |"


def _cells(run: dict[str, Any]) -> Iterator[str]:
    yield run["contender"]
    yield from (f"{run[f'{kind}events_per_second']:,.0f}" for kind in ("", "steady_"))
    yield from (f"{run[f'{who}_us_per_event']:.1f}" for who in ("cpu", "postgres", "broker"))
    yield f"{run['resident_mb_max']:.0f}"
    yield f"{run['foreign_share']:.0%}"
    yield f"{run['start_seconds']:.1f}"
    exact = run["entries"] == run["published"] == run["expected"]
    yield "yes" if exact else f"**no**: {run['entries']:,} rows, {run['published']:,} records"


def line(what: str, measured: dict[str, Any]) -> str:
    """Return the newest run of a measurement in one line."""
    newest = measured["runs"][-1].items()
    values = (f"{k} {v:,.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in newest)
    return f"{what}: " + ", ".join(values)


def machine(servers: Servers) -> str:
    """Describe where this ran."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((x.partition(": ")[2] for x in lines if x.startswith("model name")), "")
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("aiokafka", "asyncpg", "pydantic", "orjson")
    )
    with psycopg.connect(servers.admin_dsn) as connection:
        names = ("server_version", "shared_buffers", "max_wal_size", "synchronous_commit", "fsync")
        postgres = ", ".join(
            f"{name} {connection.execute(f'SHOW {name}').fetchone()[0]}"  # type: ignore[index]
            for name in names
        )
    return (
        f"{os.cpu_count()} cores of {model or platform.machine()}, {memory_gb:.0f} GiB, "
        f"{platform.system()} {platform.release()}; Python {platform.python_version()}, {packages};"
        f" Postgres: {postgres}; Apache Kafka {KAFKA}, one node. Broker, Postgres and workers share"
        " the machine."
    )
