"""What an operator sees: dashboards with data in every panel, and the right alert in time."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.acceptance import prometheus, run
from tests.acceptance.pictures import draw
from tests.acceptance.prometheus import Prometheus, Series, until

pytestmark = pytest.mark.timeout(240)

DASHBOARDS = sorted((prometheus.DEPLOY.parent / "grafana" / "dashboards").glob("*.json"))
LOADED_SECONDS = 12.0
WINDOW = "6s"
PAGED_SECONDS_MAX = 60.0
UNTOLD = {
    f"HubAudit{objective}Burn{pace}"
    for objective in ("Freshness", "ReadLatency")
    for pace in ("Fast", "Slow", "")
}
"""A look of some seconds, at processes that have just started, cannot tell these from the truth."""

Watched = tuple[run.Run, Prometheus, Prometheus]


class Loaded(NamedTuple):
    """When there was load: its begin, when a second worker came, and its end."""

    begin: float
    second: float
    end: float


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, server_directory: Path) -> Iterator[Watched]:
    """Give everything, a Prometheus at the pace of a test, and one as it is deployed."""
    directory = tmp_path_factory.mktemp("watch")
    with (
        run.everything(server_directory / "everything") as running,
        prometheus.running(directory / "quick", running.targets, every="1s") as quick,
        prometheus.running(directory / "deployed", running.targets) as deployed,
    ):
        yield running, quick, deployed


@pytest.fixture(scope="module")
def loaded(watched: Watched) -> Loaded:
    """Have load on everything, before anything is stopped; give when that was."""
    running, quick, _ = watched
    until(lambda: set(quick.up().values()) == {1.0}, 30)
    until(lambda: quick.raised(run.clock(), run.clock()) == set(), 30)  # by what was not up yet
    begin = run.clock()
    with run.load(running):
        until(lambda: run.clock() - begin > LOADED_SECONDS, 60)
        second = run.clock()
        # Lanes change hands while they are watched.
        with running.process("process"):
            until(lambda: run.clock() - second > LOADED_SECONDS, 60)
    return Loaded(begin, second, run.clock())


def panels(path: Path) -> list[tuple[str, list[str]]]:
    """Return the title of each panel of a dashboard, with its queries."""
    return [
        (panel["title"], [target["expr"] for target in panel["targets"]])
        for panel in json.loads(path.read_text())["panels"]
    ]


def asked(server: Prometheus, query: str, begin: float, end: float) -> list[Series]:
    """Return the series of a panel's query that have data."""
    rated = query.replace("$__rate_interval", WINDOW)
    return [each for each in server.series(rated, begin, end, 1.0) if each.points]


def test_every_panel_shows_data(watched: Watched, loaded: Loaded) -> None:
    """Every query of every panel finds data in a run with load; with PICTURES set it is drawn."""
    _, quick, _ = watched
    empty = []
    for path in DASHBOARDS:
        found = {
            title: [asked(quick, query, loaded.begin, loaded.end) for query in queries]
            for title, queries in panels(path)
        }
        empty += [f"{path.stem}: {title}" for title, each in found.items() if not all(each)]
        if directory := os.environ.get("PICTURES"):
            draw(Path(directory) / f"{path.stem}.svg", path.stem, found)
    assert empty == []


def test_no_alert_is_raised_in_a_healthy_run(watched: Watched, loaded: Loaded) -> None:
    """Under load no alert fires nor gets ready to, until there is a worker that nobody scrapes."""
    _, quick, _ = watched
    assert quick.raised(loaded.begin, loaded.second) - UNTOLD == set()
    assert "HubAuditLanesUnheld" in quick.raised(loaded.second, loaded.end)


@pytest.mark.usefixtures("loaded")
def test_stopped_database_pages_within_a_minute(watched: Watched) -> None:
    """With the intervals as they are deployed, and no traffic at all, the alert names Postgres."""
    running, _, deployed = watched
    until(lambda: set(deployed.up().values()) == {1.0}, 60)
    running.server.crash()
    taken = until(lambda: "HubAuditDatabaseAway" in deployed.firing(), PAGED_SECONDS_MAX)
    print(f"paged after {taken:.1f} s")
    assert "HubAuditBusAway" not in deployed.firing()
    running.server.start()
    until(lambda: "HubAuditDatabaseAway" not in deployed.firing(), PAGED_SECONDS_MAX)
