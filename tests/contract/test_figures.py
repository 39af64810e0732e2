"""The figures that documents repeat are those of the last measurement."""

import json
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import measured
from tests.benchmarks.shown import of

ROOT = Path(__file__).parents[2]
HALF_A_DAY_SECONDS = 12 * 60 * 60


def kept(path: str) -> dict[str, Any]:
    """Return what a measurement left."""
    found: dict[str, Any] = json.loads((ROOT / "tests" / path).read_text())
    return found


def words(path: str) -> str:
    """Return a document on one line."""
    return " ".join((ROOT / path).read_text().split())


def test_capacity_is_what_was_measured() -> None:
    """Whoever sizes an installation sizes it by the rates on the page of the benchmarks."""
    results, said = measured(kept("benchmarks/results.json")), words("deploy/README.md")
    for workers, source in (
        ("1", "one"),
        ("2, on the same two cores as Kafka and Postgres", "two"),
    ):
        rate = of(results, source, "events_per_second")
        a_day = rate * HALF_A_DAY_SECONDS / 1_000_000
        assert f"| {workers} | {rate:,.0f} | {a_day:,.0f} million |" in said
    compiled, written = (of(results, name, "cpu_us_per_event") for name in ("one", "written"))
    assert f"one core at {compiled:.0f} us an event ({written:.0f} not compiled)" in said
    assert f"needs {of(results, 'memory', 'resident_mb_max'):.0f} MB" in said


def test_readme_has_the_faults_that_were_survived() -> None:
    """What the first page says of the full run is what the run found."""
    run, said = kept("faults/RESULTS.json"), words("README.md")
    assert run["clean"]
    assert f"among {run['totals']['raw']:,} records" in said
    assert f"{run['faults']} faults of {run['kinds']} kinds" in said
    assert f"in {run['recovery']['p95']} s (p95, {run['recovery']['max']} s at most)" in said
    defend = run["subscribers"]["Defend"]
    assert f"Defend in {defend['p95']} s ({defend['max']} s at most)" in said
    ended = len(run["crashes"])
    assert (f"ended one of them {ended} times" in said) == bool(ended)


def test_readme_has_the_soak_that_was_run() -> None:
    """What the first page says of the soak is what the soak found."""
    run, said = kept("faults/SOAK.json"), words("README.md")
    memory, quiet = run["life"]["memory_mib"], run["quiet"]
    assert run["clean"]
    assert f"{run['sent']:,} records" in said
    assert f"{run['asked']['share of the peak']:.0%} of the peak".replace("%", " %") in said
    assert memory["last_third"] <= memory["first_third"]
    assert f"({memory['last_third']} MiB after {memory['first_third']})" in said
    first, last = (quiet[third]["p99"] / 1000 for third in ("first", "last"))
    assert last <= first
    assert f"(p99 {last:.1f} s after {first:.1f}," in said
