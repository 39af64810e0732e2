"""Makes Grafana's JSON of the dashboards: ``python deploy/grafana/generate.py`` writes the files.

A test keeps them equal to what it would write.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from panels import DASHBOARDS, Dashboard, Panel, Query

DIRECTORY = Path(__file__).parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
VARIABLE = {
    "name": "datasource",
    "label": "Prometheus",
    "type": "datasource",
    "query": "prometheus",
    "current": {},
}
"""Whichever Prometheus Grafana has: elsewhere its id is another than with Compose."""

COLUMNS = 24
STAT_SIZE = (6, 4)
GRAPH_SIZE = (12, 8)


def document(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["hub-audit"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": [VARIABLE]},
        "links": [
            {
                "type": "dashboards",
                "tags": ["hub-audit"],
                "title": "Hub Audit",
                "asDropdown": True,
                "keepTime": True,
                "includeVars": True,
            }
        ],
        "panels": _placed(dashboard.panels),
    }


def _placed(panels: list[Panel]) -> list[dict[str, Any]]:
    """Return the panels from left to right and from top to bottom."""
    placed, x, y, row = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        width, height = STAT_SIZE if panel.stat else GRAPH_SIZE
        if x + width > COLUMNS or (row and height != row):
            x, y = 0, y + row
        placed.append(_panel(number, panel, {"x": x, "y": y, "w": width, "h": height}))
        x, row = x + width, height
    return placed


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_above is not None:
        steps.append({"color": "red", "value": panel.red_above})
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    options: dict[str, Any] = (
        {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}
        if panel.stat
        else {"legend": {"displayMode": "table", "placement": "right", "calcs": ["lastNotNull"]}}
    )
    return {
        "id": number,
        "type": "stat" if panel.stat else "timeseries",
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [_target(chr(ord("A") + at), query) for at, query in enumerate(panel.queries)],
    }


def _target(ref: str, query: Query) -> dict[str, Any]:
    return {
        "refId": ref,
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
    }


def documents() -> dict[str, str]:
    """Return the text of every file by its name."""
    return {
        f"{dashboard.uid}.json": json.dumps(document(dashboard), indent=2) + "\n"
        for dashboard in DASHBOARDS
    }


def main() -> None:
    """Write every file."""
    DIRECTORY.mkdir(exist_ok=True)
    for name, text in documents().items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
