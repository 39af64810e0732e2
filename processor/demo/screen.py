"""Draws the scene in a terminal, or says it in lines where there is none."""

import time
from collections.abc import Callable, Sequence

from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from processor.demo.scene import Scene
from schemas.catalogue import CATEGORY_LABELS

REASONS = 6
TAIL_LINES = 3
# Lines of a panel's frame, of the newest entries' headings, of the three panels at the top.
FRAME, HEADINGS, TOP = 2, 1, 13


class Screen:
    """The demo's view: a live picture in a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, scene: Scene, hints: Sequence[tuple[str, str]]) -> None:
        """Show the scene; ``hints`` say where to look next."""
        self._console = console
        self._scene = scene
        self._hints = hints
        self._begun = time.monotonic()
        self._rate = Rate(lambda: scene.totals.passed)

    def live(self) -> Live:
        """Return the live picture; ``get_renderable`` draws it anew at each refresh."""
        return Live(
            get_renderable=self.draw, console=self._console, refresh_per_second=4, screen=False
        )

    def line(self) -> str:
        """Return the state of things in one line."""
        totals, scene = self._scene.totals, self._scene
        return (
            f"{time.monotonic() - self._begun:6.1f} s  published {scene.published}"
            f"  stored {totals.passed} ({self._rate.per_second():.0f}/s)  entries {totals.entries}"
            f"  duplicates {totals.duplicates}  discards {totals.discards}"
            f"  dead letters {totals.dead_letters}  lag {scene.lag_records}"
            f"  latency p50 {milliseconds(scene.latency_ms(0.5))}"
            f" p95 {milliseconds(scene.latency_ms(0.95))}"
            + (f"  {scene.away}" if scene.away else "")
        )

    def draw(self) -> RenderableType:
        """Return the whole picture."""
        top = Table.grid(expand=True, padding=(0, 1))
        for _ in range(3):
            top.add_column(ratio=1)
        top.add_row(self._flow(), self._categories(), self._dead_letters())
        title = Text(f"Hub Audit  {time.monotonic() - self._begun:.0f} s", style="bold reverse")
        return Group(title, top, *self._lists(), self._where_next())

    def _lists(self) -> list[RenderableType]:
        """Return the newest entries and the tail, as far as the terminal is high enough."""
        room = self._console.height - TOP - FRAME - len(self._hints)
        lists: list[RenderableType] = []
        if room > 2 * (FRAME + TAIL_LINES):
            room -= FRAME + TAIL_LINES
            lists.append(self._tail())
        if room > FRAME + HEADINGS:
            lists.insert(0, self._newest(room - FRAME - HEADINGS))
        return lists

    def _flow(self) -> RenderableType:
        scene, totals = self._scene, self._scene.totals
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(justify="right")
        balance = "[green]balance[/]" if totals.balanced else "[bold red]OFF[/]"
        if scene.away:
            balance = f"[bold red]{scene.away}[/]"
        for name, value in (
            ("records/s", f"[bold]{self._rate.per_second():,.0f}[/]"),
            ("lag", f"{scene.lag_records:,}"),
            ("latency p50", milliseconds(scene.latency_ms(0.5))),
            ("latency p95", milliseconds(scene.latency_ms(0.95))),
            ("entries", f"{totals.entries:,}"),
            ("+ duplicates", f"{totals.duplicates:,}"),
            ("+ discards", f"{totals.discards:,}"),
            ("+ dead letters", f"{totals.dead_letters:,}"),
            ("= records", f"{totals.passed - totals.offset_holes:,}"),
            ("books", balance),
        ):
            table.add_row(name, value)
        return Panel(table, title="raw -> hub.*, since the start")

    def _categories(self) -> RenderableType:
        counts = self._scene.categories
        most = max(counts.values()) or 1
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column()
        table.add_column(justify="right")
        table.add_column(ratio=1)
        for category, label in CATEGORY_LABELS.items():
            count = counts[category]
            table.add_row(label, f"{count:,}", Bar(most, 0, count, color="cyan"))
        return Panel(table, title="categories")

    def _dead_letters(self) -> RenderableType:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column()
        table.add_column(justify="right")
        for reason, count in self._scene.reasons.most_common(REASONS):
            table.add_row(f"[yellow]{reason}[/]", f"{count:,}")
        return Panel(table, title="dead letters")

    def _newest(self, room: int) -> RenderableType:
        table = Table(expand=True, box=None, pad_edge=False, header_style="dim")
        for heading, width in (("at", 12), ("organization", 16), ("seq", 5), ("action", 22)):
            table.add_column(heading, no_wrap=True, min_width=width)
        for heading in ("outcome", "by"):
            table.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=1)
        for entry in list(self._scene.newest)[-room:]:
            actor = entry["actor"]
            who = actor.get("email") or actor.get("name") or actor["type"]
            style = "red" if entry["outcome"] == "failure" else ""
            table.add_row(
                entry["occurred_at"].partition("T")[2],
                entry["org_id"],
                str(entry["seq"]),
                entry["action"],
                f"{entry['outcome']} {entry.get('outcome_reason', '')}",
                who,
                style=style,
            )
        return Panel(table, title="newest entries")

    def _tail(self) -> RenderableType:
        lines = [
            Text(value, no_wrap=True, overflow="ellipsis")
            for value in list(self._scene.tail)[-TAIL_LINES:]
        ]
        return Panel(Group(*lines), title=f"tail of {self._scene.tailed}")

    def _where_next(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for what, command in self._hints:
            table.add_row(what, Text(command, style="bold", no_wrap=True))
        return Panel(table, title="look next (in another terminal)")


class Rate:
    """How fast a counter has been rising over the last seconds."""

    SPAN_SECONDS = 5.0

    def __init__(self, count: Callable[[], int]) -> None:
        """Watch a counter."""
        self._count = count
        self._seen: list[tuple[float, int]] = []

    def per_second(self) -> float:
        """Return the mean rate of the span before now."""
        now = time.monotonic()
        self._seen.append((now, self._count()))
        while self._seen[0][0] < now - self.SPAN_SECONDS and len(self._seen) > 1:
            self._seen.pop(0)
        (begun, first), (ended, last) = self._seen[0], self._seen[-1]
        return (last - first) / (ended - begun) if ended > begun else 0.0


def milliseconds(value: float | None) -> str:
    """Return a latency for people."""
    return "-" if value is None else f"{value:,.0f} ms"
