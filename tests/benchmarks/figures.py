"""The figures: what each has to reach, and whether it does."""

from collections.abc import Callable
from typing import NamedTuple

from tests.benchmarks import shown
from tests.benchmarks.shown import Results, Value, median_of

FLAT_MB_PER_MILLION = 4.0
"""Memory that grows by no more is flat: ten million events add a tenth of what is allowed."""


class Limit(NamedTuple):
    """A number of a figure, how it is written, and what it has to reach: at least, or at most."""

    value: Value
    form: str
    unit: str
    floor: float | None
    target: float | None
    most: bool = False

    def misses(self, results: Results, bound: float | None) -> bool:
        """Tell whether it was measured and does not reach a bound."""
        value = self.value(results)
        if value is None or bound is None:
            return False
        return value > bound if self.most else value < bound

    def said(self, results: Results) -> str:
        """Return what it is beside its floor."""
        value = self.form.format(self.value(results))
        return f"{value} {self.unit}, floor {self.form.format(self.floor)}"


class Figure(NamedTuple):
    """A line of the table: which measurement, what of it, and what was hoped for."""

    name: str
    what: str
    floor: str
    target: str
    source: str
    shown: Callable[[Results], str]
    limits: tuple[Limit, ...] = ()


FIGURES = (
    Figure(
        "P1",
        "events/s, the full path, one worker",
        "18,000",
        "28,000",
        "one",
        shown.rate,
        (Limit(median_of("one", "events_per_second"), "{:,.0f}", "events/s", 18_000, 28_000),),
    ),
    Figure(
        "P2",
        "two workers, as a multiple of one",
        "1.2",
        "1.5",
        "two",
        shown.twice,
        (Limit(shown.twice_as_fast, "{:.2f}", "times the rate of one worker", 1.2, 1.5),),
    ),
    Figure(
        "P3",
        "CPU seconds of the worker per 1 M events",
        "40",
        "26",
        "one",
        shown.cpu,
        (
            Limit(
                median_of("one", "cpu_us_per_event"),
                "{:.1f}",
                "CPU s per 1 M events",
                40,
                26,
                most=True,
            ),
        ),
    ),
    Figure(
        "P4",
        "ms from append at 2,000 events/s, p50 / p99",
        "1,000",
        "300",
        "latency",
        shown.late,
        (
            Limit(
                median_of("latency", "row_p99"), "{:,.0f}", "ms to the row", 1_000, 300, most=True
            ),
            Limit(
                median_of("latency", "event_p99"),
                "{:,.0f}",
                "ms to the event",
                1_000,
                300,
                most=True,
            ),
        ),
    ),
    Figure(
        "P5",
        "rate as a ratio to what would be built or picked instead",
        "Quix 0.6, hand-written 0.5",
        "1.0, 0.75",
        "peers",
        shown.compared,
        (
            Limit(shown.least_ratio("Quix"), "{:.2f}", "of the rate of Quix Streams", 0.6, 1.0),
            Limit(
                shown.least_ratio("hand-written"), "{:.2f}", "of the hand-written's rate", 0.5, 0.75
            ),
        ),
    ),
    Figure(
        "P6",
        "share of bare COPY of the same rows, no index",
        "10 %",
        "16 %",
        "one",
        shown.share,
        (Limit(shown.share_of_copy, "{:.1%}", "of bare COPY", 0.10, 0.16),),
    ),
    Figure(
        "P7",
        "MB resident under load",
        "400, flat",
        "250",
        "memory",
        shown.memory,
        (
            Limit(median_of("memory", "resident_mb_max"), "{:.0f}", "MB", 400, 250, most=True),
            Limit(
                median_of("memory", "resident_mb_per_million"),
                "{:+.1f}",
                "MB a million",
                FLAT_MB_PER_MILLION,
                None,
                most=True,
            ),
        ),
    ),
    Figure(
        "P8",
        "s from kill -9 until all lanes flow (session 10 s)",
        "25",
        "15",
        "take_over",
        shown.seconds,
        (Limit(median_of("take_over", "seconds"), "{:.1f}", "s to take over", 25, 15, most=True),),
    ),
    Figure(
        "P9",
        "ms for a page of 50, filtered too, p50 / p99",
        "150",
        "20",
        "pages",
        shown.paged,
        (
            Limit(
                shown.slowest("pages"),
                "{:.0f}",
                "ms, p99 of the slowest filter",
                150,
                20,
                most=True,
            ),
        ),
    ),
    Figure(
        "P10",
        "ms for free text over 90 days, p50 / p99",
        "2,000",
        "900",
        "text",
        shown.texts,
        (Limit(shown.slowest("text"), "{:,.0f}", "ms, p99 of free text", 2_000, 900, most=True),),
    ),
    Figure(
        "-",
        "ms for the values of every facet / the histogram, of 90 days",
        "-",
        "-",
        "overview",
        shown.overview,
    ),
    Figure(
        "P11",
        "rows/s as CSV; share of psql's COPY; growth of memory",
        "200,000, 64 MB",
        "80 %",
        "export",
        shown.exported,
        (
            Limit(median_of("export", "rows_per_second"), "{:,.0f}", "rows/s", 200_000, None),
            Limit(median_of("export", "share_of_psql"), "{:.0%}", "of psql's COPY", None, 0.80),
            Limit(median_of("export", "growth_mb"), "{:.0f}", "MB more", 64, None, most=True),
        ),
    ),
    Figure(
        "P12",
        "us per row sealed; slowdown of storing meanwhile",
        "30",
        "20, 10 %",
        "sealing",
        shown.sealed,
        (
            Limit(
                median_of("sealing", "us_per_row"), "{:.1f}", "us a row sealed", 30, 20, most=True
            ),
            Limit(median_of("sealing", "slowdown"), "{:.0%}", "slower", None, 0.10, most=True),
        ),
    ),
    Figure(
        "P13",
        "Defend: events/s of one worker; s from an attack to its finding",
        "5,000, 5",
        "10,000, 2",
        "defend",
        shown.defended,
        (
            Limit(median_of("defend", "events_per_second"), "{:,.0f}", "events/s", 5_000, 10_000),
            Limit(median_of("defend", "alarm_worst"), "{:.2f}", "s to a finding", 5, 2, most=True),
        ),
    ),
    Figure(
        "P14",
        "s from `make demo` to the page, in a fresh clone / again",
        "180 / 30",
        "90 / 15",
        "arriving",
        shown.arrived,
        (
            Limit(
                median_of("arriving", "cold_seconds"), "{:.0f}", "s at first", 180, 90, most=True
            ),
            Limit(median_of("arriving", "warm_seconds"), "{:.0f}", "s again", 30, 15, most=True),
        ),
    ),
    Figure(
        "P15",
        "ms from commit to a SIEM's hands, p50 / p99, of 10 busy of 1,000 subscriptions",
        "1,000",
        "500",
        "forwarding",
        shown.forwarded,
        (Limit(median_of("forwarding", "live_p99"), "{:,.0f}", "ms, p99", 1_000, 500, most=True),),
    ),
)


def measured(results: Results) -> Results:
    """Return the results as the page takes them.

    Every run tells the memory; one over many more events tells it better.
    """
    return {"memory": results["one"], **results} if "one" in results else results


def verdict(figure: Figure, results: Results) -> str:
    """Return whether a figure reaches its floor and its target."""
    if not figure.limits or figure.source not in results:
        return "-"
    if any(limit.misses(results, limit.floor) for limit in figure.limits):
        return "**floor missed**"
    if any(limit.value(results) is None for limit in figure.limits):
        return "not all measured"
    if any(limit.misses(results, limit.target) for limit in figure.limits):
        return "floor met, target missed"
    return "met"


def missed_floors(results: Results) -> str:
    """Return, in a sentence, which floors are missed and by what."""
    judged = [figure for figure in FIGURES if figure.limits and figure.source in results]
    missed = {
        figure.name: "; ".join(
            limit.said(results) for limit in figure.limits if limit.misses(results, limit.floor)
        )
        for figure in judged
    }
    named = [f"{name} ({said})" for name, said in missed.items() if said]
    if not named:
        return f"All {len(judged)} figures reach their floors."
    verb = "misses its floor" if len(named) == 1 else "miss their floors"
    return f"Of {len(judged)} figures {len(named)} {verb}: {', '.join(named)}."
