"""A row, a query and a histogram as the page shows them: words, links and shapes. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any, NamedTuple
from urllib.parse import urlencode

from processor.api import own_view
from processor.query import render, with_term, without
from processor.store.conditions import Span, span
from processor.store.facets import COUNT_MAX, Bar, Count
from schemas.catalogue import CATALOGUE, CATEGORY_LABELS
from schemas.entry import Entry
from schemas.query import Field, Period, Query, Term, Word

PERIODS = {"1h": 3_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000, "90d": 7_776_000}
PERIOD_DEFAULT = "7d"
CHART_HEIGHT, CHART_WIDTH = 56, 960
FACET_VALUES_MAX = 10
NARROWER_MAX = 3
FACET_LABELS = {
    Field.CATEGORY: "Category",
    Field.ACTION: "Action",
    Field.OUTCOME: "Outcome",
    Field.ACTOR: "Actor",
    Field.TARGET_TYPE: "Target type",
    Field.IP: "IP address",
}

# Control characters, those by which the direction of writing is turned around, and those that take
# no room: two names that differ by one of them alone must not look the same. A joiner is seen by
# what it does behind an Arabic letter, a virama or a part of an emoji, and nowhere else.
_JOINING = (
    "\u0620-\u06ff\u0750-\u077f\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca"
    "\u1039\u17d2\ufe0f\U0001f000-\U0001faff"
)
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
    f"|(?<![{_JOINING}])[\u200c\u200d]"
)


class Link(NamedTuple):
    """Something to click on."""

    text: str
    url: str
    current: bool = False


class Shape(NamedTuple):
    """A bar of the histogram, in the units of the drawing."""

    x: float
    y: float
    width: float
    height: float
    url: str
    label: str
    since: str
    until: str
    entries: int


@dataclass(frozen=True, slots=True)
class FacetValue:
    """A value of a facet, how often it comes, and the links that take it in or out."""

    text: str
    count: str
    only: str
    out: str
    current: bool


def log_url(query: Query, **more: str) -> str:
    """Return the address of a query's page."""
    given = {"q": render(query), **more}
    return "/log?" + urlencode({name: value for name, value in given.items() if value})


def bounded(query: Query) -> Query:
    """Return the query with the default period when it has none; an id or number needs none."""
    named = {Field.CREATED, Field.RECORDED, Field.ID, Field.SEQ}
    if any(term.field in named and not term.negated for term in query.terms):
        return query
    ago = timedelta(seconds=PERIODS[PERIOD_DEFAULT])
    return Query((*query.terms, Term(Field.CREATED, (Period(ago, None),))))


def period_term(query: Query) -> Term | None:
    """Return the condition that is a query's period, if it has exactly one."""
    found = [term for term in query.terms if _is_period(term)]
    return found[0] if len(found) == 1 and len(found[0].values) == 1 else None


def period_of(query: Query) -> Period | None:
    """Return the period of a query, if it has exactly one."""
    term = period_term(query)
    value = term and term.values[0]
    return value if isinstance(value, Period) else None


def ends(query: Query, oldest: datetime, now: datetime) -> tuple[datetime, datetime]:
    """Return from when to when a query with fixed periods reaches."""
    asked = _asked_span(query)
    since = asked.since or oldest
    return since, max(asked.until or now, since)


def is_beyond(query: Query, oldest: datetime) -> bool:
    """Tell whether the periods of a query, which are fixed, begin before what is kept."""
    since = _asked_span(query).since
    return any(map(_is_period, query.terms)) and (since is None or since < oldest)


def _asked_span(query: Query) -> Span:
    """Return the instants outside of which nothing can match the query's periods."""
    return span(Query(tuple(filter(_is_period, query.terms))))


def _is_period(term: Term) -> bool:
    return term.field is Field.CREATED and not term.negated


def lifted(query: Query, term: Term, kept_days: int) -> Query | None:
    """Return the query without a condition; without a period it is of all that is kept.

    The default period would stand in that one's place. None says that it is the same query.
    """
    rest = without(query, term)
    if bounded(rest) != rest:
        rest = Query((*rest.terms, _all(kept_days)))
    return None if set(rest.terms) == set(query.terms) else rest


def _all(kept_days: int) -> Term:
    return Term(Field.CREATED, (Period(timedelta(days=kept_days), None),))


def presets(query: Query) -> list[Link]:
    """Return the links to the usual periods."""
    period = period_of(query)
    links = []
    for name, seconds in PERIODS.items():
        wanted = Period(timedelta(seconds=seconds), None)
        url = log_url(with_term(query, Term(Field.CREATED, (wanted,))))
        links.append(Link(name, url, current=period == wanted))
    return links


def narrower(query: Query) -> list[Link]:
    """Return the links to the usual periods that are shorter than the query's own."""
    period = period_of(query)
    own = period.since if period and isinstance(period.since, timedelta) else None
    shorter = [each for each in PERIODS.items() if own is None or each[1] < own.total_seconds()]
    names = {name for name, _ in shorter}
    return [link for link in presets(query) if link.text in names][:NARROWER_MAX]


def goes_on(query: Query) -> bool:
    """Return whether the periods of a query, which are fixed, have no end."""
    return _asked_span(query).until is None


def has_ended(query: Query, now: datetime) -> bool:
    """Return whether nothing that happens from now on can be found by the query."""
    until = _asked_span(query.at(now)).until
    return until is not None and until <= now


def live_url(query: Query, after: int) -> str:
    """Return the address of what is new after a number."""
    return "/log/live?" + urlencode({"q": render(query), "after": after})


def chips(query: Query, kept_days: int) -> list[Link]:
    """Return each condition with the link that takes it away; none where nothing changes by it."""
    rests = [(term, lifted(query, term, kept_days)) for term in query.terms]
    return [
        Link(visible(render(Query((term,)))), log_url(rest) if rest else "") for term, rest in rests
    ]


def shapes(query: Query, bars: Sequence[Bar], *, goes_on: bool) -> Iterator[Shape]:
    """Yield the bars of the histogram, each a link that narrows the query to its time.

    The last one's time has no end where the query ``goes_on``: it has what is ahead of now, too.
    """
    if not bars:
        return
    highest = max(1, *(bar.count for bar in bars)) if len(bars) > 1 else max(1, bars[0].count)
    step = CHART_WIDTH / len(bars)
    for number, bar in enumerate(bars):
        height = CHART_HEIGHT * bar.count / highest
        if bar.count:
            height = max(height, 2.0)
        is_open = goes_on and number == len(bars) - 1
        until = None if is_open else _whole(bar.until)
        narrowed = Term(Field.CREATED, (Period(_whole(bar.since), until),))
        ends = "on" if is_open else f"to {instant(bar.until)}"
        yield Shape(
            x=round(number * step + 1, 2),
            y=round(CHART_HEIGHT - height, 2),
            width=round(step - 2, 2),
            height=round(height, 2),
            url=log_url(with_term(query, narrowed)),
            label=f"{entries(bar.count)} from {instant(bar.since)} {ends}",
            since=instant(bar.since),
            until=instant(bar.until),
            entries=bar.count,
        )


def facet(query: Query, field: Field, counts: Sequence[Count], *, cut: bool) -> list[FacetValue]:
    """Return the values of a facet; where it was cut, their counts are of that many at least."""
    chosen = {
        value.text
        for term in query.terms
        if term.field is field and not term.negated
        for value in term.values
        if isinstance(value, Word)
    }
    return [
        FacetValue(
            text=CATEGORY_LABELS.get(each.value, each.value)
            if field is Field.CATEGORY
            else visible(each.value),
            count=f"{min(each.count, COUNT_MAX - 1):,}" + "+" * (cut or each.count >= COUNT_MAX),
            only=pivot(query, field, each.value),
            out=pivot(query, field, each.value, negated=True),
            current=each.value in chosen,
        )
        for each in counts[:FACET_VALUES_MAX]
    ]


def pivot(query: Query, field: Field, text: str, *, negated: bool = False) -> str:
    """Return the address of a query narrowed to a value, or to everything but it too."""
    value = ip_network(text) if field is Field.IP else Word(text)
    out = [
        term.values
        for term in query.terms
        if negated and (term.field, term.negated) == (field, True)
    ]
    values = dict.fromkeys(each for group in (*out, (value,)) for each in group)
    return log_url(with_term(query, Term(field, tuple(values), negated)))


def row(query: Query, entry: Entry) -> dict[str, Any]:
    """Return an entry as a line of the table."""
    actor, target = entry["actor"], entry["target"]
    behalf, grantee = actor.get("on_behalf_of", {}), entry["details"].get("grantee", {})
    action = CATALOGUE[entry["action"]]
    return {
        "entry": entry,
        "anchor": f"e-{entry['entry_id']}",
        "url": "/log/" + entry["entry_id"] + "?" + urlencode({"q": render(query)}),
        "time": entry["occurred_at"],
        "shown_time": entry["occurred_at"].replace("T", " ").replace("Z", ""),
        "label": action.label,
        "actor": visible(
            actor.get("email") or actor.get("name") or actor.get("id") or actor["type"]
        ),
        "behalf": visible(behalf.get("email") or behalf.get("id") or ""),
        "target": visible(target.get("name") or target.get("email") or target.get("id") or ""),
        "grantee": visible(grantee.get("email") or grantee.get("name") or grantee.get("id") or ""),
        "address": visible(entry.get("ip") or entry.get("ip_raw") or ""),
        "about": visible(own_view.about(entry)),
    }


def entries(count: int) -> str:
    """Return a number of entries in words."""
    return f"{count:,} {'entry' if count == 1 else 'entries'}"


def days(count: int) -> str:
    """Return a number of days in words."""
    return f"{count} {'day' if count == 1 else 'days'}"


def visible(text: str) -> str:
    """Return a text without what would change how the text around it is read, or not be seen."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)


def instant(at: datetime) -> str:
    """Return an instant as people read it, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def _whole(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
