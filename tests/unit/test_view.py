"""Queries as the page shows them: what leads out of them, and how far they reach."""

from datetime import UTC, datetime, timedelta

import pytest

from processor.api import view
from processor.query import parse, render
from processor.store.facets import Bar, Count
from schemas.query import Field
from tests.unit.canonical_entry import entry

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OLDEST = NOW - timedelta(days=90)


@pytest.mark.parametrize(
    ("text", "rests"),
    [
        ("created:7d", ["created:90d"]),
        ("created:90d", [None]),
        ("ada created:90d", ["created:90d", None]),
        ("ada created:7d", ["created:7d", "ada created:90d"]),
        ("ada recorded:1h", ["recorded:1h", "ada created:90d"]),
        ("created:30d created:..2026-11-20", ["created:..2026-11-20", "created:30d"]),
    ],
)
def test_condition_that_is_taken_away_makes_no_room_for_the_usual_period(
    text: str, rests: list[str | None]
) -> None:
    """Without a period a search is of all that is kept; what would be the same search is none."""
    query = parse(text)
    lifted = [view.lifted(query, term, 90) for term in query.terms]
    assert [rest and render(rest) for rest in lifted] == rests
    links = [view.log_url(rest) if rest else "" for rest in lifted]
    assert [chip.url for chip in view.chips(query, 90)] == links


@pytest.mark.parametrize(
    ("text", "beyond"),
    [
        ("created:2020-01-01..", True),
        ("created:..2026-11-20", True),
        ("created:..2026-01-01", True),
        ("created:2020-01-01,2026-11-20", True),
        ("created:2026-11-01,7d", False),
        ("created:..2026-11-20 created:30d", False),
        ("-created:2020-01-01", False),
        ("created:90d", False),
        ("seq:1..", False),
    ],
)
def test_periods_that_begin_before_what_is_kept(text: str, beyond: bool) -> None:
    """A period without a beginning does, and one of several is enough."""
    assert view.is_beyond(parse(text).at(NOW), OLDEST) == beyond


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        ("", False),
        ("created:7d", False),
        ("created:2026-11-29..2026-11-30", False),
        ("created:2026-11-29,2026-11-30", False),
        ("created:2026-11-29", True),
        ("created:2026-11-28,2026-11-29", True),
        ("created:30d..7d", True),
        ("created:7d created:..2026-11-29", True),
        ("-created:2026-11-29", False),
    ],
)
def test_periods_that_are_over(text: str, ended: bool) -> None:
    """Those that end before now: one that includes today goes on, and is followed."""
    assert view.has_ended(parse(text), NOW) == ended


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("created:2026-11-01,2026-11-20", "2026-11-01", "2026-11-21"),
        ("created:2026-11-01.. created:..2026-11-20", "2026-11-01", "2026-11-21"),
        ("created:2026-11-20 created:2026-11-01", "2026-11-20", "2026-11-20"),
    ],
)
def test_several_periods_reach_from_the_first_to_the_last(
    text: str, since: str, until: str
) -> None:
    """The histogram is of that stretch of time, and has no end before its beginning."""
    days = (f"{day}T00:00:00+00:00" for day in (since, until))
    expected = tuple(map(datetime.fromisoformat, days))
    assert view.ends(parse(text).at(NOW), OLDEST, NOW) == expected


@pytest.mark.parametrize(
    ("text", "field", "value", "negated", "narrowed"),
    [
        ("ada actor:a", Field.ACTOR, "b", False, "ada actor:b"),
        ("ada actor:a", Field.ACTOR, "b", True, "ada actor:a -actor:b"),
        ("ada -actor:a", Field.ACTOR, "b", True, "ada -actor:a,b"),
        ("-actor:a,b -ip:192.0.2.1", Field.ACTOR, "b", True, "-ip:192.0.2.1 -actor:a,b"),
        ("-actor:a", Field.ACTOR, "b", False, "-actor:a actor:b"),
        ("-ip:192.0.2.0/24", Field.IP, "2001:db8::1", True, "-ip:192.0.2.0/24,2001:db8::1"),
    ],
)
def test_value_is_searched_for_or_left_out_too(
    text: str, field: Field, value: str, negated: bool, narrowed: str
) -> None:
    """One value takes another's place; of those that are left out each stays."""
    assert view.pivot(parse(text), field, value, negated=negated) == view.log_url(parse(narrowed))


@pytest.mark.parametrize(
    ("told", "actor", "target"),
    [
        ({"id": "u", "name": "Ann", "email": "a@b.c"}, "a@b.c", "Ann"),
        ({"id": "u", "email": "a@b.c"}, "a@b.c", "a@b.c"),
        ({"id": "u", "name": "Ann"}, "Ann", "Ann"),
        ({"id": "u"}, "u", "u"),
        ({}, "user", ""),
    ],
)
def test_row_says_who_and_what(told: dict[str, str], actor: str, target: str) -> None:
    """By what people know best: an actor's address, a target's name."""
    party = {"type": "user", **told}
    row = view.row(parse(""), entry(actor=party, target=party, ip_raw="unknown"))
    assert (row["actor"], row["target"], row["address"]) == (actor, target, "unknown")
    assert view.row(parse(""), entry(ip="192.0.2.1"))["address"] == "192.0.2.1"


def test_a_bar_says_how_many_entries_it_stands_for() -> None:
    """One entry is said in the singular."""
    bars = [Bar(NOW, NOW + HOUR, 1), Bar(NOW + HOUR, NOW + 2 * HOUR, 1_000)]
    assert [shape.label for shape in view.shapes(parse(""), bars, goes_on=False)] == [
        "1 entry from 2026-11-30 12:00:00Z to 2026-11-30 13:00:00Z",
        "1,000 entries from 2026-11-30 13:00:00Z to 2026-11-30 14:00:00Z",
    ]


@pytest.mark.parametrize(
    ("count", "cut", "shown"),
    [(300, False, "300"), (300, True, "300+"), (1_000, False, "1,000"), (1_001, True, "1,000+")],
)
def test_count_that_may_be_higher_says_so(count: int, cut: bool, shown: str) -> None:
    """Where counting ends, and where a day had too many values to count each."""
    (value,) = view.facet(parse(""), Field.IP, [Count("192.0.2.1", count)], cut=cut)
    assert value.count == shown


def test_last_bar_of_a_search_without_an_end_has_none() -> None:
    """It stands for what is ahead of now as well, and leads to that."""
    bars = [Bar(NOW, NOW + HOUR, 1), Bar(NOW + HOUR, NOW + 2 * HOUR, 2)]
    first, last = view.shapes(parse("ada created:7d"), bars, goes_on=True)
    assert first.url == view.log_url(parse("ada created:2026-11-30T12:00Z..2026-11-30T12:59Z"))
    assert last.url == view.log_url(parse("ada created:2026-11-30T13:00Z.."))
    assert last.label == "2 entries from 2026-11-30 13:00:00Z on"


@pytest.mark.parametrize(
    "unseen",
    [
        *("\x00", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u200f", "\u061c"),
        *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u180e", "\u2028", "\u2029"),
        *("\u3164", "\U000e0001", "\U000e0041", "\U000e007f"),
    ],
    ids=ascii,
)
def test_what_cannot_be_seen_is_shown_to_be_there(unseen: str) -> None:
    """A name with such a character in it looks like no other."""
    assert view.visible(f"ad{unseen}min") == "ad\N{REPLACEMENT CHARACTER}min"


@pytest.mark.parametrize(
    "name",
    [
        *("Zoë Müller", "東京", "محمد", "a\tb\nc", "👍🏽", "नीरज"),
        *("می\u200cنویسد", "राजलक्\u200dष्मी", "👩\u200d💻", "❤️\u200d🔥"),
    ],
)
def test_names_are_shown_as_they_are(name: str) -> None:
    """In every script, with marks that belong to a letter, and over several lines."""
    assert view.visible(name) == name
