"""The page of the benchmarks: what is missed is said, and whose figures they are."""

import argparse
import json
from pathlib import Path
from typing import cast

import pytest

from tests.benchmarks import __main__ as bench
from tests.benchmarks import report
from tests.benchmarks.figures import FIGURES, Figure, Limit, measured, missed_floors, verdict
from tests.benchmarks.servers import Servers
from tests.benchmarks.shown import Results, Value

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "tests" / "benchmarks" / "RESULTS.md"
OTHER = "4 cores of another, 8 GiB"


@pytest.fixture
def results() -> Results:
    """Give what was measured."""
    return cast("Results", json.loads(PAGE.with_name("results.json").read_text()))


def row(results: Results, name: str) -> list[str]:
    """Return the cells of a figure's line."""
    (line,) = (x for x in report.page(results).splitlines() if x.startswith(f"| {name} |"))
    return line.strip("| ").split(" | ")


def test_page_is_that_of_the_results(results: Results) -> None:
    """The page is what its program writes: python -m tests.benchmarks --page-only."""
    assert PAGE.read_text() == report.page(results)


def test_readme_names_the_missed_floors(results: Results) -> None:
    """Whoever reads the first page alone reads what falls short, as the figures have it."""
    said = missed_floors(measured(results))
    assert said in " ".join((ROOT / "README.md").read_text().split())
    assert said in report.page(results)


def test_every_floor_and_target_is_judged() -> None:
    """What stands in the table as a floor or target has a number that is compared with it."""
    for figure in FIGURES:
        shown = [text != "-" for text in (figure.floor, figure.target)]
        floors = any(limit.floor is not None for limit in figure.limits)
        targets = any(limit.target is not None for limit in figure.limits)
        assert [floors, targets] == shown, figure.name


def judged(*limits: tuple[float | None, float | None, float | None, bool]) -> Figure:
    """Return a figure of given values, floors and targets, each at least or at most."""
    made = (
        Limit(tells(value), "{:.1f}", "s", floor, target, most=most)
        for value, floor, target, most in limits
    )
    return Figure("P0", "what", "1", "2", "one", lambda _: "", tuple(made))


def tells(value: float | None) -> Value:
    """Return what says a value, whatever was measured."""
    return lambda _: value


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        (judged((40.01, 40, 26, True)), "**floor missed**"),
        (judged((40, 40, 26, True)), "floor met, target missed"),
        (judged((26, 40, 26, True)), "met"),
        (judged((9.9, 10, 16, False)), "**floor missed**"),
        (judged((10, 10, 16, False)), "floor met, target missed"),
        (judged((16, 10, 16, False)), "met"),
        (judged((16, 10, 16, False), (0.2, None, 0.1, True)), "floor met, target missed"),
        (judged((16, 10, 16, False), (70, 64, None, True)), "**floor missed**"),
        (judged((16, 10, 16, False), (None, 1, 2, False)), "not all measured"),
        (judged(), "-"),
    ],
)
def test_verdict(figure: Figure, said: str) -> None:
    """A floor that is missed counts before a target, and every number has to reach its own."""
    assert verdict(figure, {"one": {}}) == said
    assert verdict(figure, {}) == "-"


def test_sealing_is_shown_as_it_is_judged(results: Results) -> None:
    """A row's microseconds have a decimal: 30.4 is not the 30 of the floor."""
    results["sealing"]["runs"][0]["us_per_row"] = 30.44
    *_, value, judged, _ = row(results, "P12")
    assert value.startswith("**30.4**")
    assert judged == "**floor missed**"
    results["sealing"]["runs"][0]["us_per_row"] = 30.0
    assert row(results, "P12")[-2] == "floor met, target missed"


def test_nothing_missed_is_said_too(results: Results) -> None:
    """Where every floor is reached the sentence says so."""
    only = {"take_over": results["take_over"]}
    assert missed_floors(only) == "All 1 figures reach their floors."
    only["take_over"]["runs"] = [{"seconds": 25.1}]
    assert missed_floors(only) == (
        "Of 1 figures 1 misses its floor: P8 (25.1 s to take over, floor 25.0)."
    )


def test_page_says_whose_figure_it_is(results: Results) -> None:
    """What the head of the page says holds for a figure, or the figure says what does."""
    results["take_over"] |= {"runs": [{"seconds": 11.5}], "machine": results["machine"]}
    assert row(results, "P8")[-1] == f"1 of 1, {results['take_over']['at']}"
    results["take_over"] |= {"compiled": False, "machine": OTHER}
    assert row(results, "P8")[-1].endswith("Z, not compiled, on 4 cores of another")
    del results["take_over"]["compiled"], results["take_over"]["machine"]
    assert row(results, "P8")[-1].endswith("Z, not compiled, machine not noted")
    results["worker"] = "Workers are not compiled, for want of a C compiler."
    results["take_over"] |= {"compiled": True, "machine": results["machine"]}
    assert row(results, "P8")[-1].endswith("Z, compiled")
    for name in ("compiled", "machine"):
        results["memory"].pop(name, None)
    assert row(results, "P7")[-1].endswith("Z, machine not noted")


def test_what_is_measured_carries_its_machine_and_whether_it_is_compiled(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A measurement is kept with both, and the page is written with it."""
    monkeypatch.setattr(bench, "HERE", tmp_path)
    nobody = cast("Servers", None)
    measurement = bench.Measurement(nobody, argparse.Namespace(), results, OTHER)
    measurement.note("overview", [{"facets_ms": 1.0, "histogram_ms": 2.0}], 3)
    kept = json.loads((tmp_path / "results.json").read_text())["overview"]
    assert (kept["machine"], kept["compiled"], kept["events"]) == (OTHER, False, 3)
    assert "4 cores of another" in (tmp_path / "RESULTS.md").read_text()
    assert results.keys() > bench.AS_IN_THE_IMAGE
