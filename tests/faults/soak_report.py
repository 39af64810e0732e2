"""The page that a soak writes: what was asked, what held, and how every minute went."""

from typing import TYPE_CHECKING, Any

from tests.faults.blows import BLOWS
from tests.faults.report import circumstances, crashed, judged, summary
from tests.faults.soak_watch import Late, trends
from tests.faults.verdict import Verdict

if TYPE_CHECKING:
    from tests.faults.soak import Minute, Soak

MEMORY_SLOPE_MAX = 8.0
P99_CHANGE_MAX = 0.10
JUDGED_MINUTES_MIN = 30
"""A shorter run says nothing of a slope."""


def figures(run: "Soak", verdict: Verdict) -> dict[str, Any]:
    """Return everything there is to say."""
    assert run.life is not None
    return {
        **circumstances("tests.faults.soak"),
        "asked": {
            "minutes": run.minutes,
            "share of the peak": run.share,
            "records per second": run.rate,
            "workers": run.workers,
            "lanes": run.lanes,
            "seed": run.seed,
        },
        "peak": round(run.peak),
        "peak_held": run.peak_held,
        "sent": run.sent,
        "backlog": run.backlog,
        "seconds": round(run.seconds),
        "judging_seconds": round(run.judging_seconds),
        "memory_mib": run.memory_mib,
        "restarted": run.restarted,
        "spared_ended": run.spared_ended,
        "warm_seconds": round(run.warm_seconds),
        "life": trends(run.life.samples, run.warm_seconds),
        "recovery": summary([each.recovery_seconds for each in run.done]),
        "quiet": _thirds(run),
        "minutes": [_minute(each) for each in run.done],
        "misses": run.misses,
        "crashes": run.crashes,
        "totals": dict(verdict.totals),
        "wrong": {name: n for name, n in verdict.figures().items() if _judged(name)},
        "clean": verdict.clean,
    }


def _judged(counter: str) -> bool:
    """Tell whether a soak's judge looks at it: forwarders and Defend are not there."""
    return not counter.startswith(("siem_", "findings_"))


def _minute(each: "Minute") -> dict[str, Any]:
    return {
        "kind": each.kind,
        "recovery": round(each.recovery_seconds, 1),
        "caught_up": each.caught_up_seconds,
        "all": _late(Late.of([each.struck, each.quiet])),
        "quiet": _late(each.quiet),
        "memory_mib": round(each.memory_mib),
    }


def _thirds(run: "Soak") -> dict[str, Any]:
    """Return how late events came in the quiet parts of the first and of the last minutes."""
    third = max(1, len(run.done) // 3)
    first, last = (
        _late(Late.of(each.quiet for each in part))
        for part in (run.done[:third], run.done[-third:])
    )
    change = last["p99"] / first["p99"] - 1 if first["p99"] and last["p99"] else None
    return {
        "first": first,
        "last": last,
        "p99_change": None if change is None else round(change, 3),
    }


def _late(late: Late) -> dict[str, int | None]:
    return {"events": len(late), "p50": late.quantile(0.5), "p99": late.quantile(0.99)}


def page(said: dict[str, Any]) -> str:
    """Return the report in Markdown."""
    used = ", ".join(f"{name} {number}" for name, number in said["versions"].items())
    recovery = said["recovery"]
    lines = [
        "# What a soak came to",
        "",
        f"`{said['command']}` on {said['date']}; {said['machine']}; {used}.",
        "Written by the run. Its own broker and database, the load, the proxies and the judge",
        "shared the machine with the workers; forwarders and Defend did not run.",
        "",
        *_peak(said),
        f"Sent in {said['seconds']} s: {said['sent']} records, with a fault a minute: recovery",
        f"median {recovery['median']} s, p95 {recovery['p95']} s, max {recovery['max']} s.",
        f"Judged in {said['judging_seconds']} s; highest memory of the run's own process:",
        ", ".join(f"{n} MiB {name}" for name, n in said["memory_mib"].items()) + ".",
        f"Workers that ended by themselves and were started again: {said['restarted']},",
        f"and of the spared one: {said['spared_ended']}.",
        *crashed(said),
        "",
        *_held(said),
        *_life(said),
        *judged(said),
        *_minutes(said),
    ]
    return "\n".join(lines) + "\n"


def _peak(said: dict[str, Any]) -> list[str]:
    """Return how much load there was, and of what."""
    rate = f"{said['asked']['records per second']:.0f} records/s"
    if not said["peak"]:
        return [f"The load was **{rate}**, as asked; the peak was not measured."]
    limit = "by what was stored" if said["peak_held"] else "by the load's own making"
    return [
        f"The load was **{rate}**, {said['asked']['share of the peak']:.0%} of a peak of",
        f"{said['peak']} records/s: what was stored in a minute while load came as fast as it was",
        f"taken away, everything on this machine; it was limited {limit}.",
    ]


def _held(said: dict[str, Any]) -> list[str]:
    """Return what was to hold, and whether it did."""
    quiet, memory = said["quiet"], said["life"].get("memory_mib", {})
    slope, change = memory.get("slope_per_hour"), quiet["p99_change"]
    first, last = quiet["first"], quiet["last"]
    long = said["asked"]["minutes"] >= JUDGED_MINUTES_MIN
    shown = "-" if change is None else f"{change:+.1%}"
    rows = (
        (
            "nothing lost, nothing there twice",
            f"{sum(said['wrong'].values())} findings",
            "held" if said["clean"] else "**missed**",
        ),
        (
            f"memory of the spared worker at most {MEMORY_SLOPE_MAX:.0f} MiB/h",
            f"{slope} MiB/h",
            _verdict(slope is not None and slope <= MEMORY_SLOPE_MAX, long=long),
        ),
        (
            f"p99 between faults, last third against first, {P99_CHANGE_MAX:.0%} higher at most",
            f"{first['p99']} ms, {last['p99']} ms: {shown}",
            _verdict(change is not None and change <= P99_CHANGE_MAX, long=long),
        ),
    )
    table = ["| what is to hold | found | |", "|---|---|---|"]
    return [*table, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _verdict(held: bool, *, long: bool) -> str:
    if not long:
        return "too short to say"
    return "held" if held else "**missed**"


def _life(said: dict[str, Any]) -> list[str]:
    """Return what became of the spared worker."""
    return [
        f"The spared worker, which no fault picked, from {said['warm_seconds']} s on; before that",
        f"it had worked off {said['backlog']} records by itself, on all lanes at once:",
        "",
        "| | median of the first third | of the last | max | slope an hour |",
        "|---|--:|--:|--:|--:|",
        *(
            f"| {name.replace('_mib', ', MiB')} | {' | '.join(str(n) for n in each.values())} |"
            for name, each in said["life"].items()
        ),
        "",
    ]


def _minutes(said: dict[str, Any]) -> list[str]:
    """Return a line for every minute."""
    lines = [
        "Recovery is counted from the end of the fault until every lane has gone on or has nothing",
        "left to do; caught up is a lag of less than a second of load, in seconds as well. From",
        "then on, less 2 s, a minute is quiet. Lateness is from a record's append time until a",
        "`read_committed` reader has its canonical event, in milliseconds; memory is the spared",
        "worker's, in MiB. Rows are those of the [fault matrix](MATRIX.md).",
        "",
        "| | fault | row | recovery | caught up | p50 | p99 | quiet p50 | quiet p99 | memory |",
        "|--:|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for number, each in enumerate(said["minutes"], 1):
        late = [each["all"]["p50"], each["all"]["p99"], each["quiet"]["p50"], each["quiet"]["p99"]]
        cells = [each["recovery"], each["caught_up"], *late, each["memory_mib"]]
        shown = " | ".join("-" if cell is None else str(cell) for cell in cells)
        lines.append(f"| {number} | {each['kind']} | {BLOWS[each['kind']].rows} | {shown} |")
    if said["misses"]:
        lines += ["", "Not done as meant:", "", *(f"- {each}" for each in said["misses"])]
    return lines
