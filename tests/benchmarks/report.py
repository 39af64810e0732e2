"""The results as a page: figures against floors and targets, and who was compared with whom."""

import os
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psycopg

from processor.local.kafka import VERSION as KAFKA
from tests.benchmarks.servers import Servers

FOREIGN_MAX = 0.15
"""A run in which others took more of the machine counts only when there is no quieter one."""

Results = dict[str, Any]


class Figure(NamedTuple):
    """A line of the table: which measurement, what of it, and what was hoped for."""

    name: str
    what: str
    floor: str
    target: str
    source: str
    shown: Callable[[Results], str]


def of(results: Results, source: str, name: str) -> float:
    """Return the median of a measurement's quiet runs."""
    return float(median(run[name] for run in quiet(results[source]["runs"])))


def quiet(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs that others did not disturb, all when there is none."""
    return [run for run in runs if run.get("foreign_share", 0) <= FOREIGN_MAX] or runs


def _rate(results: Results) -> str:
    rate, steady = (of(results, "one", f"{k}events_per_second") for k in ("", "steady_"))
    shown = f"**{rate:,.0f}** ({steady:,.0f} while all lanes have work)"
    if "written" in results:
        shown += f"; not compiled {of(results, 'written', 'events_per_second'):,.0f}"
    return shown


def _twice(results: Results) -> str:
    pairs = ("", "while all lanes have work "), ("steady_", "")
    one, other = (
        of(results, "two", f"{k}events_per_second") / of(results, "one", f"{k}events_per_second")
        for k, _ in pairs
    )
    rate = of(results, "two", "events_per_second")
    return f"**{one:.2f}** ({other:.2f} while all lanes have work): {rate:,.0f} events/s"


def _cpu(results: Results) -> str:
    ours, postgres, broker = (
        of(results, "one", f"{who}_us_per_event") for who in ("cpu", "postgres", "broker")
    )
    shown = f"**{ours:.1f}** (Postgres {postgres:.1f}, broker {broker:.1f})"
    if "written" in results:
        shown += f"; not compiled {of(results, 'written', 'cpu_us_per_event'):.1f}"
    return shown


def _late(results: Results) -> str:
    row, event = (
        " / ".join(f"{of(results, 'latency', f'{what}_{p}'):.0f}" for p in ("p50", "p99"))
        for what in ("row", "event")
    )
    return f"row **{row}**, canonical event **{event}**"


def _ratios(results: Results) -> str:
    runs = results["peers"]["runs"]
    ours = _of_contender(runs, "hub-audit", "events_per_second")
    names = [
        name for name in dict.fromkeys(run["contender"] for run in runs) if name != "hub-audit"
    ]
    ratios = (
        f"**{ours / _of_contender(runs, name, 'events_per_second'):.2f}** to {name}"
        for name in names
    )
    return "; ".join(ratios)


def _share(results: Results) -> str:
    copied = of(results, "copy", "rows_per_second")
    return f"**{of(results, 'one', 'events_per_second') / copied:.1%}** of {copied:,.0f} rows/s"


def _memory(results: Results) -> str:
    peak, slope = (of(results, "memory", f"resident_mb_{k}") for k in ("max", "per_million"))
    return f"**{peak:.0f}**, {slope:+.1f} MB a million in the second half of a run"


def _seconds(results: Results) -> str:
    return f"**{of(results, 'take_over', 'seconds'):.1f}**"


def _paged(results: Results) -> str:
    runs = results["pages"]["runs"]
    first = next(run for run in runs if run["filter"] == "first")
    slowest = max(runs, key=lambda run: run["p50"])
    shown = (
        f"{run['p50']:.0f} / {run['p99']:.0f}{label}"
        for run, label in ((first, " first page"), (slowest, f" {slowest['filter']}, the slowest"))
    )
    return "**" + "**; **".join(shown) + "**"


def _texts(results: Results) -> str:
    shown = (
        f"{run['word']} **{run['p50']:,.0f} / {run['p99']:,.0f}** ({run['days']:.0f} days)"
        for run in results["text"]["runs"]
    )
    return ", ".join(shown)


def _exported(results: Results) -> str:
    rate, share, growth = (
        of(results, "export", name) for name in ("rows_per_second", "share_of_psql", "growth_mb")
    )
    return f"**{rate:,.0f}**, **{share:.0%}** of psql's, {growth:+.0f} MB"


def _sealed(results: Results) -> str:
    per_row, slowdown, exchange = (
        of(results, "sealing", name) for name in ("us_per_row", "slowdown", "exchange_ms_max")
    )
    return f"**{per_row:.0f}**, **{slowdown:.0%}**; exchange at most {exchange:.0f} ms"


def _forwarded(results: Results) -> str:
    names = ("live_p50", "live_p99", "idle_cores", "busy_cores", "replay_entries_per_second")
    p50, p99, idle, busy, rate = (of(results, "forwarding", name) for name in names)
    return (
        f"**{p50:.0f} / {p99:.0f}**; {idle:.2f} of a core silent, {busy:.2f} busy; "
        f"replay {rate:,.0f} entries/s"
    )


def _defended(results: Results) -> str:
    rate, cpu, half, worst = (
        of(results, "defend", name)
        for name in ("events_per_second", "cpu_us_per_event", "alarm_p50", "alarm_worst")
    )
    return f"**{rate:,.0f}**, {cpu:.0f} us CPU each; **{half:.2f}** (worst {worst:.2f})"


def _arrived(results: Results) -> str:
    cold, warm = (of(results, "arriving", f"{name}_seconds") for name in ("cold", "warm"))
    return f"**{cold:.0f} / {warm:.0f}**"


FIGURES = (
    Figure("P1", "events/s, the full path, one worker", "18,000", "28,000", "one", _rate),
    Figure("P2", "two workers, as a multiple of one", "1.2", "1.5", "two", _twice),
    Figure("P3", "CPU seconds of the worker per 1 M events", "40", "26", "one", _cpu),
    Figure("P4", "ms from append at 2,000 events/s, p50 / p99", "1,000", "300", "latency", _late),
    Figure(
        "P5",
        "rate as a ratio to what would be built or picked instead",
        "Quix 0.6, hand-written 0.5",
        "1.0, 0.75",
        "peers",
        _ratios,
    ),
    Figure("P6", "share of bare COPY of the same rows, no index", "10 %", "16 %", "one", _share),
    Figure("P7", "MB resident under load", "400, flat", "250", "memory", _memory),
    Figure(
        "P8",
        "s from kill -9 until all lanes flow (session 10 s)",
        "25",
        "15",
        "take_over",
        _seconds,
    ),
    Figure("P9", "ms for a page of 50, filtered too, p50 / p99", "150", "20", "pages", _paged),
    Figure("P10", "ms for free text over 90 days, p50 / p99", "2,000", "900", "text", _texts),
    Figure(
        "P11",
        "rows/s as CSV; share of psql's COPY; growth of memory",
        "200,000, 64 MB",
        "80 %",
        "export",
        _exported,
    ),
    Figure(
        "P12",
        "us per row sealed; slowdown of storing meanwhile",
        "30",
        "20, 10 %",
        "sealing",
        _sealed,
    ),
    Figure(
        "P13",
        "Defend: events/s of one worker; s from an attack to its finding",
        "5,000, 5",
        "10,000, 2",
        "defend",
        _defended,
    ),
    Figure(
        "P14",
        "s from `make demo` to the page, in a fresh clone / again",
        "180 / 30",
        "90 / 15",
        "arriving",
        _arrived,
    ),
    Figure(
        "P15",
        "ms from commit to a SIEM's hands, p50 / p99, of 10 busy of 1,000 subscriptions",
        "1,000",
        "500",
        "forwarding",
        _forwarded,
    ),
)


def page(results: Results) -> str:
    """Return the results as a Markdown page."""
    return "\n".join(_page(results)) + "\n"


def _page(results: Results) -> Iterator[str]:
    if "one" in results:  # every run tells the memory; one over many more events tells it better
        results = {"memory": results["one"], **results}
    yield from ("# Benchmark results", "")
    yield "Written by `make bench` (`python -m tests.benchmarks`); every run is in `results.json`."
    yield "Events of 521 to 840 bytes, 605 in the mean, all types, 2 % discards; 12 lanes, 2,000"
    yield "organizations by Zipf's law. Rates are from the first commit to the last; medians of the"
    yield f"runs in which other programs took at most {FOREIGN_MAX:.0%} of the machine, if any."
    yield from ("", results["machine"], results.get("worker", ""), "")
    yield "| | figure | floor | target | measured | quiet runs, events each, when |"
    yield "|---|---|---|---|---|---|"
    for name, what, floor, target, source, shown in FIGURES:
        found = results.get(source)
        value = shown(results) if found else "not measured"
        runs = _runs(found) if found else ""
        if found and found.get("machine", results["machine"]) != results["machine"]:
            runs += f", on {found['machine'].partition(',')[0]}"
        yield f"| {name} | {what} | {floor} | {target} | {value} | {runs} |"
    for title, sources in (("P1", ("one", "written")), ("P2", ("two",)), ("P5", ("peers",))):
        of_title = [run for name in sources for run in results.get(name, {"runs": []})["runs"]]
        if of_title:
            yield from ("", f"## Runs of {title}", "", *_table(of_title))
    if "disturbed" in results:
        yield from ("", "## What a kill and a rebalance leave", "")
        yield from leavings(results["disturbed"]["runs"])
        yield from ("", f"On {results['disturbed']['at']}.")


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


def _of_contender(runs: list[dict[str, Any]], name: str, figure: str) -> float:
    return float(median(run[figure] for run in quiet([r for r in runs if r["contender"] == name])))


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
