"""Draws what the panels of a dashboard show, where no Grafana is at hand."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from tests.acceptance.prometheus import Series

WIDTH, HEIGHT, COLUMNS = 440, 235, 3
PLOT_WIDTH, PLOT_HEIGHT = 410, 110
COLORS = ("#2a6fdb", "#d9480f", "#2b8a3e", "#9c36b5", "#c92a2a", "#0b7285", "#5c940d", "#495057")
SERIES_MAX = 8


def draw(path: Path, title: str, panels: Mapping[str, list[list[Series]]]) -> None:
    """Write one SVG with every panel of a dashboard."""
    rows = -(-len(panels) // COLUMNS)
    size = f'width="{COLUMNS * WIDTH}" height="{rows * HEIGHT + 40}"'
    body = [
        f'<g transform="translate({at % COLUMNS * WIDTH},{at // COLUMNS * HEIGHT + 40})">'
        f"{_panel(name, [series for found in queries for series in found])}</g>"
        for at, (name, queries) in enumerate(panels.items())
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<text x="15" y="25" font-size="18">{escape(title)}</text>{"".join(body)}</svg>',
        encoding="utf-8",
    )


def _panel(name: str, found: list[Series]) -> str:
    shown = found[:SERIES_MAX]
    values = [value for series in found for _, value in series.points] or [0.0]
    times = [at for series in found for at, _ in series.points] or [0.0]
    top, begin = max(*values, 1e-9), min(times)
    span = max(max(times) - begin, 1.0)
    lines = []
    for series, color in zip(shown, COLORS, strict=False):
        points = " ".join(
            f"{(at - begin) / span * PLOT_WIDTH:.1f},{PLOT_HEIGHT * (1 - value / top):.1f}"
            for at, value in series.points
            if value >= 0
        )
        lines.append(f'<polyline points="{points}" fill="none" stroke="{color}"/>')
    legend = " ".join(
        f'<tspan x="15" dy="9" fill="{color}">{escape(_label(series))}'
        f"={series.points[-1][1]:.3g}</tspan>"
        for series, color in zip(shown, COLORS, strict=False)
    )
    return (
        f'<text x="15" y="12" font-weight="bold">{escape(name)}</text>'
        f'<text x="15" y="26" fill="#868e96">max {top:.4g}, {len(found)} series</text>'
        f'<g transform="translate(15,34)"><rect width="{PLOT_WIDTH}" height="{PLOT_HEIGHT}"'
        f' fill="#f8f9fa"/>{"".join(lines)}</g><text x="15" y="150" font-size="8">{legend}</text>'
    )


def _label(series: Series) -> str:
    return ",".join(value for name, value in series.labels.items() if name != "__name__") or "all"
