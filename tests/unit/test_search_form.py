"""The form beside the query box: what is touched in it changes the query, and nothing else does."""

from datetime import UTC, datetime

import pytest

from processor.api.search_form import DATES, WORDS, filled, sent, written_out
from processor.query import QueryError, parse, render

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TWO_KINDS = "action:user.created,user.removed"


def asked(shown: str, box: str | None = None, **touched: str) -> str:
    """Return what is asked for when a form is sent that showed a query."""
    query = parse(shown)
    empty: dict[str, str] = dict.fromkeys([*WORDS, *DATES], "")
    given = empty | filled(query) | {"was": render(query)} | touched
    return render(sent(given, query if box is None else parse(box), NOW))


@pytest.mark.parametrize(
    ("shown", "touched", "wanted"),
    [
        ("ada bob created:7d", {}, "ada bob created:7d"),
        ("ada bob created:7d", {"text": "cy"}, "cy bob created:7d"),
        ("ada bob created:7d", {"text": ""}, "bob created:7d"),
        ("ada bob created:7d", {"actor": "eve"}, "ada bob created:7d actor:eve"),
        ("actor:a,b actor:c", {"actor": "d"}, "actor:a,b actor:d"),
        ("-actor:a", {"actor": "b"}, "-actor:a actor:b"),
        (TWO_KINDS, {"actor": "a"}, f"{TWO_KINDS} actor:a"),
        (TWO_KINDS, {"action": "user.updated"}, "action:user.updated"),
        ("", {"actor": "ada*"}, "actor:ada*"),
        ("", {"text": "ada*"}, "ada"),
        ("", {"text": "*"}, '"*"'),
        ("", {"actor": "*"}, 'actor:"*"'),
        ("", {"actor": "x" * 501}, f"actor:{'x' * 500}"),
    ],
)
def test_only_the_condition_that_is_shown_is_replaced(
    shown: str, touched: dict[str, str], wanted: str
) -> None:
    """A field shows one condition; others on the same field stay, and so does their order."""
    assert asked(shown, **touched) == wanted


@pytest.mark.parametrize(
    ("shown", "touched", "wanted"),
    [
        ("created:2026-11-01..2026-11-10", {"until": "2026-11-20"}, "2026-11-01..2026-11-20"),
        ("created:2026-11-01..2026-11-10", {"until": ""}, "2026-11-01.."),
        ("created:2026-11-01", {"until": "2026-11-02"}, "2026-11-01..2026-11-02"),
        ("created:2026-11-01T10:00Z..2026-11-10", {"until": "2026-11-12"},
         "2026-11-01T10:00Z..2026-11-12"),
        ("created:7d", {"since": "2026-11-28"}, "2026-11-28.."),
        ("created:7d", {"until": "2026-11-28"}, "7d..2026-11-28"),
        ("created:7d", {"until": "2026-10-28"}, "..2026-10-28"),
        ("created:2026-11-01..", {"since": "2026-11-01 10:00"}, "2026-11-01T10:00Z.."),
    ],
)  # fmt: skip
def test_end_that_is_not_touched_stays(shown: str, touched: dict[str, str], wanted: str) -> None:
    """Also one that no day can show, unless nothing would be left of the days that are chosen."""
    assert asked(shown, **touched) == f"created:{wanted}"


def test_days_that_are_taken_away_leave_no_period() -> None:
    """Then the usual one is in force again."""
    assert asked("created:2026-11-01..2026-11-10 ada", since="", until="") == "ada"


def test_what_is_not_touched_is_as_the_box_has_it() -> None:
    """Who changes the text and one field gets both; a field changes what the text says by then."""
    box = "actor:b created:2026-11-02.."
    assert asked("actor:a created:2026-11-01..", box, text="x") == f"{box} x"
    assert asked("actor:a created:2026-11-01..", box, actor="c") == box.replace(":b", ":c")


@pytest.mark.parametrize(
    ("touched", "reason"),
    [
        ({"since": "1 x"}, "a time is 2026-11-30"),
        ({"until": '2026-11-30" x'}, "a time is 2026-11-30"),
        ({"since": "2026-11-02", "until": "2026-11-01"}, "this period ends before it begins"),
    ],
)
def test_days_that_are_none_are_said_to_be(touched: dict[str, str], reason: str) -> None:
    """What a browser would not send is an error with its place, as in the box."""
    with pytest.raises(QueryError, match=reason) as raised:
        asked("", **touched)
    assert raised.value.column == len("created:")


def test_query_that_is_too_long_once_it_is_written_out_is_refused() -> None:
    """Its links would lead nowhere: the period counts, and the quotes."""
    assert len(render(written_out(parse("x" * 1_989)))) == 2_000
    with pytest.raises(QueryError, match="this one 2,001 when it is written out"):
        written_out(parse("x" * 1_990))
    with pytest.raises(QueryError, match="2,000 characters at most"):
        written_out(parse("1:" + "x" * 1_986))
