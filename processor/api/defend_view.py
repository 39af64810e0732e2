"""Findings as the page shows them: words, links and shapes. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import urlencode

from processor.api import view
from processor.api.view import Link, instant, visible
from processor.query.lexer import VALUES_MAX
from processor.store.findings import Kept, Overview
from schemas.finding import RULE_TEXTS, SEVERITIES, Finding, Severity
from schemas.query import Field, Numbers, Period, Query, Term

PERIODS = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
PERIODS["90d"] = timedelta(days=90)
STATUSES = {"open": "Open", "acknowledged": "Acknowledged", "all": "All"}
BARS = {"24h": 48, "7d": 56, "30d": 60, "90d": 45}
HEIGHT, WIDTH, GAP = 120, 960, 3
TOP_MAX = 6
QUERY_CHARACTERS_MAX = 1_500
AROUND = timedelta(minutes=30)


class Piece(NamedTuple):
    """The part of a bar that is of one severity, in the units of the drawing."""

    y: float
    height: float
    severity: Severity


class Bar(NamedTuple):
    """A bar of the timeline."""

    x: float
    width: float
    pieces: list[Piece]
    label: str
    url: str
    since: str
    counts: list[int]


def address(chosen: Mapping[str, str], **more: str | None) -> str:
    """Return the address of the dashboard with other choices."""
    given = {**chosen, **more}
    kept = {name: value for name, value in given.items() if value and DEFAULTS.get(name) != value}
    return "/defend" + ("?" + urlencode(kept) if kept else "")


DEFAULTS = {"period": "7d", "status": "open"}


def tiles(chosen: Mapping[str, str], overview: Overview) -> list[dict[str, Any]]:
    """Return how many are open of each severity, the worst first, with the links to them."""
    return [
        {
            "severity": severity,
            "count": overview.open.get(severity, 0),
            "current": chosen.get("severity") == severity,
            "url": address(
                chosen, severity=None if chosen.get("severity") == severity else severity
            ),
        }
        for severity in reversed(SEVERITIES)
    ]


def choices(chosen: Mapping[str, str], name: str, texts: Mapping[str, str]) -> list[Link]:
    """Return the links to the other values of a choice."""
    return [
        Link(text, address(chosen, **{name: value, "since": None, "until": None}),
             current=chosen[name] == value)
        for value, text in texts.items()
    ]  # fmt: skip


def bars(
    chosen: Mapping[str, str], overview: Overview, since: datetime, until: datetime
) -> Iterator[Bar]:
    """Yield the bars that have findings, the worst at the foot of each."""
    count = len(overview.bars)
    highest = max((sum(each.values()) for each in overview.bars), default=0)
    step, length = WIDTH / count, (until - since) / count
    for number, counted in enumerate(overview.bars):
        if not counted:
            continue
        begin, end = since + number * length, since + (number + 1) * length
        foot, pieces = float(HEIGHT), []
        for severity in reversed(SEVERITIES):
            if found := counted.get(severity, 0):
                height = (HEIGHT - 8) * found / highest
                foot -= height
                pieces.append(Piece(round(foot, 2), round(max(height - 1, 2), 2), severity))
        yield Bar(
            x=round(number * step + GAP / 2, 2),
            width=round(step - GAP, 2),
            pieces=pieces,
            label=f"{_counted(counted)} until {instant(end)}",
            url=address(chosen, since=_iso(begin), until=_iso(end), status="all"),
            since=instant(begin),
            counts=[counted.get(severity, 0) for severity in reversed(SEVERITIES)],
        )


def row(kept: Kept, now: datetime) -> dict[str, Any]:
    """Return a finding as a line of the list."""
    finding = kept.finding
    return {
        "finding": finding,
        "label": RULE_TEXTS[finding["rule"]].label,
        "url": f"/defend/{finding['finding_id']}",
        "rests_on": rests_on(finding),
        "ago": ago(now - datetime.fromisoformat(finding["last_at"])),
        "at": shown_time(finding["last_at"]),
        "kept": kept,
    }


def report(found: Mapping[str, Any]) -> dict[str, str]:
    """Return an endpoint's report as a line of the table; most of it may be missing."""
    host, user, process = found["host"], found.get("user") or {}, found["process"]
    told = {
        "time": found["time"],
        "verdict": found["verdict"],
        "title": found.get("title"),
        "host": host.get("name") or host["id"],
        "address": host.get("ip"),
        "user": user.get("email") or user.get("name") or user.get("id"),
        "process": process["name"],
        "path": process.get("path"),
    }
    return {name: visible(text or "") for name, text in told.items()}


def evidence_query(finding: Finding) -> Query:
    """Return the query of the entries that a finding rests on.

    A very long list of numbers becomes the stretch between its ends.
    """
    since, until = (datetime.fromisoformat(finding[at]) for at in ("first_at", "last_at"))
    values = tuple(Numbers(first, last) for first, last in _ranges(finding["evidence"]["seqs"]))
    period = Term(Field.CREATED, (Period(since, until + timedelta(milliseconds=1)),))
    characters = sum(len(f"{value.first}..{value.last},") for value in values)
    if characters > QUERY_CHARACTERS_MAX or len(values) > VALUES_MAX:
        values = (Numbers(values[0].first, values[-1].last),)
    return Query((Term(Field.SEQ, values), period))


def pivots(finding: Finding) -> dict[str, list[Link]]:
    """Return the links to what else the actors did around the time, and what came from there."""
    since, until = (datetime.fromisoformat(finding[at]) for at in ("first_at", "last_at"))
    near = Query((Term(Field.CREATED, (Period(since - AROUND, until + AROUND),)),))
    return {
        "actors": [
            Link(visible(name), view.pivot(near, Field.ACTOR, name)) for name in finding["actors"]
        ],
        "addresses": [
            Link(visible(name), view.pivot(near, Field.IP, name)) for name in finding["addresses"]
        ],
    }


def tops(overview: Overview, period: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return who and which addresses are in most findings, with the links into the log."""
    kept = Query((Term(Field.CREATED, (Period(PERIODS[period], None),)),))
    both = (
        ("Top actors", Field.ACTOR, overview.actors),
        ("Top addresses", Field.IP, overview.addresses),
    )
    return [
        (
            label,
            [{"top": each, "url": view.pivot(kept, field, each.name)} for each in found[:TOP_MAX]],
        )
        for label, field, found in both
    ]


def ago(passed: timedelta) -> str:
    """Return how long ago something was, in the largest unit that fits."""
    seconds = max(0, round(passed.total_seconds()))
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now" if seconds < 5 else f"{seconds} seconds ago"  # noqa: PLR2004


def shown_time(text: str) -> str:
    """Return a rendered time as people read it."""
    return text.replace("T", " ").partition(".")[0] + "Z"


def rests_on(finding: Finding) -> str:
    """Return how much a finding rests on."""
    entries, alerts = (len(finding["evidence"][name]) for name in ("seqs", "alerts"))
    parts = []
    if entries:
        parts.append(view.entries(entries))
    if alerts:
        parts.append(f"{alerts:,} alert{'' if alerts == 1 else 's'}")
    return " and ".join(parts)


def _counted(counted: Mapping[Severity, int]) -> str:
    parts = [f"{counted[each]} {each}" for each in reversed(SEVERITIES) if counted.get(each)]
    return ", ".join(parts)


def _ranges(seqs: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the stretches without a hole."""
    first = seqs[0]
    for known, following in pairwise((*seqs, None)):
        assert known is not None  # noqa: S101 - only the last one is
        if following != known + 1:
            yield first, known
            if following is not None:
                first = following


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
