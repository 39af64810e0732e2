"""The dashboards: written from their description, and of nothing but what exists."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from processor import metrics
from tests.contract.test_alerts import EXPRESSIONS, METRIC, SUFFIXES, unknown

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    """Return a dashboard."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def queries(path: Path) -> list[str]:
    """Return what the panels of a dashboard ask for."""
    return [target["expr"] for panel in read(path)["panels"] for target in panel["targets"]]


def test_files_are_what_would_be_written() -> None:
    """The JSON is what the description comes to (`make reference`)."""
    wanted: dict[str, str] = runpy.run_path(str(GRAFANA / "generate.py"))["documents"]()
    assert {path.name: path.read_text(encoding="utf-8") for path in FILES} == wanted


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dashboard_names_what_exists(path: Path) -> None:
    """Every metric, label and value is one that there is; no two panels lie on each other."""
    assert [query for query in queries(path) if unknown(query)] == []
    places = [
        (panel["gridPos"]["x"] + across, panel["gridPos"]["y"] + down)
        for panel in read(path)["panels"]
        for across in range(panel["gridPos"]["w"])
        for down in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dashboard_asks_the_prometheus_that_is_there(path: Path) -> None:
    """None is named: whoever imports it chooses one, and Compose's is the only one there."""
    (variable,) = read(path)["templating"]["list"]
    (there,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert (variable["type"], variable["query"]) == ("datasource", there["type"])
    chosen = {"type": there["type"], "uid": f"${{{variable['name']}}}"}
    for panel in read(path)["panels"]:
        for asking in (panel, *panel["targets"]):
            assert asking["datasource"] == chosen


def test_every_metric_is_shown_or_judged() -> None:
    """What is measured and never looked at would only cost."""
    shown = {name for path in FILES for query in queries(path) for name in METRIC.findall(query)}
    unseen = [
        each.name
        for each in metrics.declared()
        if shown.isdisjoint(each.name + suffix for suffix in SUFFIXES[each.kind])
    ]
    assert unseen == []


def test_what_several_say_of_the_store_is_not_summed() -> None:
    """Two maintainers see the same days and the same dead letters, not twice as many."""
    several = {
        each.name
        for each in metrics.declared()
        if each.kind == "gauge" and "maintain" in each.processes
        if each.processes != metrics.PROCESSES
    }
    shown = [query for path in FILES for query in queries(path)]
    summed = re.compile(r"\bsum(?: by \([^)]*\))? ?\((hub_audit\w+)")
    found = {name for each in (*EXPRESSIONS, *shown) for name in summed.findall(each)}
    assert not several & found
