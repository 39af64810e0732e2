"""What an operator sees: dashboards with data in every panel, and the right alert in time."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance import prometheus, run
from tests.acceptance.pictures import draw
from tests.acceptance.prometheus import Prometheus, Series, until

pytestmark = pytest.mark.timeout(240)

DASHBOARDS = sorted((prometheus.DEPLOY.parent / "grafana" / "dashboards").glob("*.json"))
LOADED_SECONDS = 12.0
WINDOW = "6s"
PAGED_SECONDS_MAX = 60.0

Watched = tuple[run.Run, Prometheus, Prometheus]


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


def test_every_panel_shows_data(watched: Watched) -> None:
    """Every query of every panel finds data in a run with load; with PICTURES set it is drawn."""
    running, quick, _ = watched
    begin = run.clock()
    until(lambda: set(quick.up().values()) == {1.0}, 30)
    with run.load(running):
        until(lambda: run.clock() - begin > LOADED_SECONDS / 2, 60)
        # A second worker: lanes change hands while they are watched.
        with running.process("process"):
            until(lambda: run.clock() - begin > 2 * LOADED_SECONDS, 60)
    end = run.clock()
    empty = []
    for path in DASHBOARDS:
        found = {
            title: [asked(quick, query, begin, end) for query in queries]
            for title, queries in panels(path)
        }
        empty += [f"{path.stem}: {title}" for title, each in found.items() if not all(each)]
        if directory := os.environ.get("PICTURES"):
            draw(Path(directory) / f"{path.stem}.svg", path.stem, found)
    assert empty == []


def test_no_alert_fires_in_a_healthy_run(watched: Watched) -> None:
    """Under load nothing fires, beyond what a quick look cannot tell from a burning objective."""
    _, quick, _ = watched
    noisy = re.compile(r"HubAudit(Freshness|Read\w+)Burn\w*")
    assert {name for name in quick.firing() if not noisy.fullmatch(name)} == set()


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
