"""What was measured, as numbers and as the text of a figure."""

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

FOREIGN_MAX = 0.15
"""A run in which others took more of the machine counts only when there is no quieter one."""

Results = dict[str, Any]
Value = Callable[[Results], float | None]


def of(results: Results, source: str, name: str) -> float:
    """Return the median of a measurement's quiet runs."""
    return float(median(run[name] for run in quiet(results[source]["runs"])))


def quiet(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs that others did not disturb, all when there is none."""
    return [run for run in runs if run.get("foreign_share", 0) <= FOREIGN_MAX] or runs


def of_contender(runs: list[dict[str, Any]], name: str, figure: str) -> float:
    """Return the median of a contender's quiet runs."""
    return float(median(run[figure] for run in quiet([r for r in runs if r["contender"] == name])))


def ratios(results: Results) -> dict[str, float]:
    """Return how fast ours is, as a multiple of each other contender."""
    runs = results["peers"]["runs"]
    names = dict.fromkeys(run["contender"] for run in runs)
    rate = {name: of_contender(runs, name, "events_per_second") for name in names}
    ours = rate.pop("hub-audit")
    return {name: ours / theirs for name, theirs in rate.items()}


def twice_as_fast(results: Results) -> float:
    """Return how fast two workers are, as a multiple of one."""
    rate = partial(of, results, name="events_per_second")
    return rate("two") / rate("one")


def share_of_copy(results: Results) -> float:
    """Return how fast the whole path is, as a share of bare COPY."""
    return of(results, "one", "events_per_second") / of(results, "copy", "rows_per_second")


def slowest(source: str) -> Value:
    """Return what tells the highest p99 of a measurement."""
    return lambda results: max(float(run["p99"]) for run in results[source]["runs"])


def least_ratio(to: str) -> Value:
    """Return what tells the ratio to the fastest of those so named; None where none ran."""

    def value(results: Results) -> float | None:
        found = [ratio for name, ratio in ratios(results).items() if name.startswith(to)]
        return min(found, default=None)

    return value


def median_of(source: str, name: str) -> Value:
    """Return what tells a median of a measurement."""
    return lambda results: of(results, source, name)


def rate(results: Results) -> str:
    """Show P1."""
    rate, steady = (of(results, "one", f"{k}events_per_second") for k in ("", "steady_"))
    shown = f"**{rate:,.0f}** ({steady:,.0f} while all lanes have work)"
    if "written" in results:
        shown += f"; not compiled {of(results, 'written', 'events_per_second'):,.0f}"
    return shown


def twice(results: Results) -> str:
    """Show P2."""
    pairs = ("", "while all lanes have work "), ("steady_", "")
    one, other = (
        of(results, "two", f"{k}events_per_second") / of(results, "one", f"{k}events_per_second")
        for k, _ in pairs
    )
    rate = of(results, "two", "events_per_second")
    return f"**{one:.2f}** ({other:.2f} while all lanes have work): {rate:,.0f} events/s"


def cpu(results: Results) -> str:
    """Show P3."""
    ours, postgres, broker = (
        of(results, "one", f"{who}_us_per_event") for who in ("cpu", "postgres", "broker")
    )
    shown = f"**{ours:.1f}** (Postgres {postgres:.1f}, broker {broker:.1f})"
    if "written" in results:
        shown += f"; not compiled {of(results, 'written', 'cpu_us_per_event'):.1f}"
    return shown


def late(results: Results) -> str:
    """Show P4."""
    row, event = (
        " / ".join(f"{of(results, 'latency', f'{what}_{p}'):.0f}" for p in ("p50", "p99"))
        for what in ("row", "event")
    )
    return f"row **{row}**, canonical event **{event}**"


def compared(results: Results) -> str:
    """Show P5."""
    return "; ".join(f"**{ratio:.2f}** to {name}" for name, ratio in ratios(results).items())


def share(results: Results) -> str:
    """Show P6."""
    copied = of(results, "copy", "rows_per_second")
    return f"**{share_of_copy(results):.1%}** of {copied:,.0f} rows/s"


def memory(results: Results) -> str:
    """Show P7."""
    peak, slope = (of(results, "memory", f"resident_mb_{k}") for k in ("max", "per_million"))
    return f"**{peak:.0f}**, {slope:+.1f} MB a million in the second half of a run"


def seconds(results: Results) -> str:
    """Show P8."""
    return f"**{of(results, 'take_over', 'seconds'):.1f}**"


def paged(results: Results) -> str:
    """Show P9."""
    runs = results["pages"]["runs"]
    first = next(run for run in runs if run["filter"] == "first")
    slowest = max(runs, key=lambda run: run["p99"])
    shown = (
        f"{run['p50']:.0f} / {run['p99']:.0f}{label}"
        for run, label in ((first, " first page"), (slowest, f" {slowest['filter']}, the slowest"))
    )
    return "**" + "**; **".join(shown) + "**"


def texts(results: Results) -> str:
    """Show P10."""
    shown = (
        f"{run['word']} **{run['p50']:,.0f} / {run['p99']:,.0f}** ({run['days']:.0f} days)"
        for run in results["text"]["runs"]
    )
    return ", ".join(shown)


def overview(results: Results) -> str:
    """Show how long an overview takes."""
    facets, histogram = (of(results, "overview", f"{name}_ms") for name in ("facets", "histogram"))
    return f"**{facets:.0f} / {histogram:.0f}**"


def exported(results: Results) -> str:
    """Show P11."""
    rate, share, growth = (
        of(results, "export", name) for name in ("rows_per_second", "share_of_psql", "growth_mb")
    )
    return f"**{rate:,.0f}**, **{share:.0%}** of psql's, {growth:+.0f} MB"


def sealed(results: Results) -> str:
    """Show P12."""
    per_row, slowdown, exchange = (
        of(results, "sealing", name) for name in ("us_per_row", "slowdown", "exchange_ms_max")
    )
    return f"**{per_row:.1f}**, **{slowdown:.0%}**; exchange at most {exchange:.0f} ms"


def forwarded(results: Results) -> str:
    """Show P15."""
    names = ("live_p50", "live_p99", "idle_cores", "busy_cores", "replay_entries_per_second")
    p50, p99, idle, busy, rate = (of(results, "forwarding", name) for name in names)
    return (
        f"**{p50:.0f} / {p99:.0f}**; {idle:.2f} of a core silent, {busy:.2f} busy; "
        f"replay {rate:,.0f} entries/s"
    )


def defended(results: Results) -> str:
    """Show P13."""
    rate, cpu, half, worst = (
        of(results, "defend", name)
        for name in ("events_per_second", "cpu_us_per_event", "alarm_p50", "alarm_worst")
    )
    return f"**{rate:,.0f}**, {cpu:.0f} us CPU each; **{half:.2f}** (worst {worst:.2f})"


def arrived(results: Results) -> str:
    """Show P14."""
    cold, warm = (of(results, "arriving", f"{name}_seconds") for name in ("cold", "warm"))
    return f"**{cold:.0f} / {warm:.0f}**"
