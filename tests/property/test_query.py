"""The query grammar: whatever can be asked can be written, and reads back as the same."""

import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.query import QueryError, parse, render, suggest, with_term, without
from schemas.catalogue import CATALOGUE, CATEGORY_LABELS
from schemas.query import Field, Numbers, Period, Query, Term, Value, Word

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
)
WORDS = st.builds(Word, TEXTS, st.booleans())
INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)).map(  # noqa: DTZ001
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000, tzinfo=UTC)
)
AGO = st.integers(0, 999_999).map(lambda seconds: timedelta(seconds=seconds))
NUMBERS = st.integers(0, 2**63 - 1)


def periods() -> st.SearchStrategy[Period]:
    """Draw periods that do not end before they begin and have at least one end."""
    fixed = st.tuples(INSTANTS, INSTANTS).filter(lambda ends: ends[0] < ends[1])
    relative = st.tuples(AGO, AGO).filter(lambda ends: ends[0] > ends[1])
    return st.one_of(
        fixed.map(lambda ends: Period(*ends)),
        relative.map(lambda ends: Period(*ends)),
        INSTANTS.map(lambda at: Period(at, None)),
        INSTANTS.map(lambda at: Period(None, at + timedelta(milliseconds=1))),
        AGO.map(lambda ago: Period(ago, None)),
        AGO.map(lambda ago: Period(None, ago)),
        st.builds(Period, AGO, INSTANTS),
    )


def ranges() -> st.SearchStrategy[Numbers]:
    """Draw ranges of sequence numbers."""
    return st.one_of(
        st.tuples(NUMBERS, NUMBERS).map(lambda ends: Numbers(min(ends), max(ends))),
        NUMBERS.map(lambda n: Numbers(n, None)),
        NUMBERS.map(lambda n: Numbers(None, n)),
    )


def networks() -> st.SearchStrategy[Value]:
    """Draw networks of both families."""
    four = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32))
    six = st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(
        lambda drawn: (drawn[0].to_bytes(16, "big"), drawn[1])
    )
    drawn = st.one_of(four, six).map(lambda drawn: ip_network(drawn, strict=False))
    # These are read as IPv4, for so entries have them.
    return drawn.filter(lambda network: not getattr(network.network_address, "ipv4_mapped", None))


VALUES: dict[Field, st.SearchStrategy[Value]] = {
    **dict.fromkeys(
        (Field.ACTOR, Field.TARGET, Field.TARGET_TYPE, Field.SESSION, Field.REQUEST), WORDS
    ),
    Field.TEXT: TEXTS.map(Word),
    Field.CORRELATION: WORDS,
    Field.ACTION: st.one_of(
        st.sampled_from(sorted(CATALOGUE)).map(Word), st.just(Word("user.", prefix=True))
    ),
    Field.CATEGORY: st.sampled_from(sorted(CATEGORY_LABELS)).map(Word),
    Field.OUTCOME: st.sampled_from(("success", "failure")).map(Word),
    Field.IP: networks(),
    Field.ID: st.uuids().map(lambda id_: Word(str(id_))),
    Field.SEQ: ranges(),
    Field.CREATED: periods(),
    Field.RECORDED: periods(),
}


# The others take any word.
VALUE = {
    "action": "user.created", "category": "users", "outcome": "success", "ip": "192.0.2.1",
    "id": "01a207d9-217b-828a-a137-81caa759c1be", "seq": "1", "created": "7d", "recorded": "7d",
}  # fmt: skip
"""Of each field a value."""


@st.composite
def queries(draw: st.DrawFn) -> Query:
    """Draw queries of every kind of term."""
    fields = draw(st.lists(st.sampled_from(Field), max_size=4))
    return Query(
        tuple(
            Term(
                field,
                tuple(draw(st.lists(VALUES[field], min_size=1, max_size=3, unique=True))),
                draw(st.booleans()),
            )
            for field in fields
        )
    )


@given(queries())
def test_what_is_rendered_reads_back_as_the_same(query: Query) -> None:
    """Parsing what was rendered gives the same query, and rendering it again the same text."""
    text = render(query)
    assert parse(text) == query
    assert render(parse(text)) == text


@given(st.text(max_size=40) | st.text(alphabet='-:",*. ab\\0123456789T/', max_size=30))
def test_any_text_is_a_query_or_says_where_it_is_not(text: str) -> None:
    """No text raises anything but QueryError, whose place lies within the text or at its end."""
    refused = None
    try:
        query = parse(text)
    except QueryError as error:
        refused = error
    if refused is None:
        assert parse(render(query)) == query
    else:
        assert 0 <= refused.column <= len(text)
        assert refused.caret().splitlines()[-1].endswith("^")


@given(st.text(max_size=30), st.integers(-3, 40))
def test_suggestions_never_fail(text: str, cursor: int) -> None:
    """Whatever was typed, and wherever the cursor is, there is a list."""
    assert len(suggest(text, cursor)) <= 10


@given(queries(), st.integers(0, 60))
def test_what_is_suggested_in_a_query_is_one(query: Query, cursor: int) -> None:
    """Wherever the cursor is in it: as it is, or once a value stands behind the field's colon."""
    for each in suggest(render(query), cursor):
        name, colon, _ = each.label.partition(":")
        value = VALUE.get(name, "x") if colon else ""
        parse(re.sub(rf"{re.escape(each.label)}(?=\s|$)", each.label + value, each.text))


def at(*parts: int) -> datetime:
    """Return an instant."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("ada", Term(Field.TEXT, (Word("ada"),))),
        ("ada*", Term(Field.TEXT, (Word("ada"),))),
        ('"ada lovelace"', Term(Field.TEXT, (Word("ada lovelace"),))),
        ("10:30", Term(Field.TEXT, (Word("10:30"),))),
        ("a,b", Term(Field.TEXT, (Word("a,b"),))),
        ("-ada", Term(Field.TEXT, (Word("ada"),), negated=True)),
        ("ACTION:User.Created", Term(Field.ACTION, (Word("user.created"),))),
        ("action:user.*", Term(Field.ACTION, (Word("user.", prefix=True),))),
        (
            "-actor:ada@example.com,usr_1",
            Term(Field.ACTOR, (Word("ada@example.com"), Word("usr_1")), negated=True),
        ),
        ('target:"Sales team"*', Term(Field.TARGET, (Word("Sales team", prefix=True),))),
        (r'actor:"a\"b\\c"', Term(Field.ACTOR, (Word(r"a\"b\c".replace('\\"', '"')),))),
        ("ip:192.0.2.7/24", Term(Field.IP, (ip_network("192.0.2.0/24"),))),
        ("ip:2001:db8::1", Term(Field.IP, (ip_network("2001:db8::1"),))),
        ("ip:::ffff:192.0.2.1", Term(Field.IP, (ip_network("192.0.2.1"),))),
        ("ip:::ffff:192.0.2.7/120", Term(Field.IP, (ip_network("192.0.2.0/24"),))),
        ("ip:::/0", Term(Field.IP, (ip_network("::/0"),))),
        (
            "id:01A207D9217B828AA13781CAA759C1BE",
            Term(Field.ID, (Word(str(UUID("01a207d9-217b-828a-a137-81caa759c1be"))),)),
        ),
        ("seq:7", Term(Field.SEQ, (Numbers(7, 7),))),
        ("seq:7..", Term(Field.SEQ, (Numbers(7, None),))),
        ("seq:..7", Term(Field.SEQ, (Numbers(None, 7),))),
        ("created:30d", Term(Field.CREATED, (Period(timedelta(days=30), None),))),
        (
            "created:2026-11-01..2026-11-30",
            Term(Field.CREATED, (Period(at(2026, 11, 1), at(2026, 12, 1)),)),
        ),
        (
            "created:2026-11-30",
            Term(Field.CREATED, (Period(at(2026, 11, 30), at(2026, 12, 1)),)),
        ),
        (
            "created:2026-11-30T12:00+01:00..",
            Term(Field.CREATED, (Period(at(2026, 11, 30, 11), None),)),
        ),
        ("created:..7d", Term(Field.CREATED, (Period(None, timedelta(days=7)),))),
        (
            "created:2026-11-30..7d",
            Term(Field.CREATED, (Period(at(2026, 11, 30), timedelta(days=7)),)),
        ),
        (
            "created:2026-11-30T12:00:00.1239Z..",
            Term(Field.CREATED, (Period(at(2026, 11, 30, 12, 0, 0, 123_000), None),)),
        ),
        ("created:36500d", Term(Field.CREATED, (Period(timedelta(days=36_500), None),))),
    ],
)
def test_text_means(text: str, term: Term) -> None:
    """Each form of a condition means what the documentation says."""
    assert parse(text) == Query((term,))


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("actoin:user.created", 0, "there is no field 'actoin', did you mean action?"),
        ("a -actoin:x", 3, "there is no field 'actoin'"),
        ("acter:a", 0, "there is no field 'acter', did you mean actor? To search for this text, q"),
        ("http://x", 0, "there is no field 'http'; to search for this text, quote it"),
        ("outcome:bad", 8, "there is no outcome 'bad', only success, failure"),
        ("category:bad", 9, "there is no category 'bad', only authentication, users,"),
        ("action:user.craeted", 7, "there is no action 'user.craeted', did you mean user.created?"),
        ("action:bought*", 7, "no action begins with 'bought'"),
        ("outcome:fail*", 8, "outcome: takes whole words, not prefixes"),
        ("ip:10.0.0.0/99", 3, "an address is 192.0.2.1"),
        ("ip:10.1.2.1*", 3, "ip: takes addresses and networks, as 192.0.2.0/24, not prefixes"),
        ("id:7", 3, "an id is a UUID"),
        ("id:01a207d9-217b-828a-a137-81caa759c1be*", 3, "id: takes whole UUIDs, not prefixes"),
        ("seq:4,1*", 6, "seq: takes numbers and ranges, as 10..19, not prefixes"),
        ("seq:9..1", 4, "this range ends before it begins"),
        ("seq:x", 4, "a number is 42, 42..99, 42.. or ..99"),
        ("seq:..", 4, "a number is 42, 42..99, 42.. or ..99"),
        ("created:2026-02-30", 8, "a time is 2026-11-30"),
        ("created:2026-11-30..2026-11-01", 8, "this period ends before it begins"),
        ('x "open', 2, "this quote is never closed"),
        ('actor:""', 6, "there is nothing between these quotes"),
        ("actor:", 6, "a value is missing here"),
        ("actor:a, b", 8, "a value is missing here"),
        ('"a"b', 3, "a space is missing here"),
        ("a\0b", 1, "no entry can contain this character"),
        ("created:9999-12-31", 8, "a time is 2026-11-30"),
        ("created:999999w", 8, "36500d is as far back as one can ask"),
        ("created:36501d", 8, "36500d is as far back as one can ask"),
        ("-", 0, "a minus needs what is to be left out behind it"),
        ("x" * 2_001, 2_000, "a query has 2,000 characters at most, not 2,001"),
        ("x " * 51, 100, "a query has 50 conditions at most"),
        ("seq:" + ",".join(map(str, range(101))), 294, "a condition has 100 values at most"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, column: int, reason: str) -> None:
    """An error names the column of what is wrong and what would be right."""
    with pytest.raises(QueryError) as raised:
        parse(text)
    assert raised.value.column == column
    assert raised.value.reason.startswith(reason)


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("action:audit.viewed", True),
        ("action:audit.*", True),
        ("action:audit*", True),
        ("action:aud*", True),
        ("action:auth*", False),
        ("-action:audit*", False),
        ("category:audit", True),
        ("category:users", False),
        ("seq:1..", True),
        ("", False),
    ],
)
def test_log_of_the_log_is_shown_when_asked_for(text: str, own: bool) -> None:
    """Its entries are taken in by their category, their actions and what these begin with."""
    assert parse(text).shows_own == own


def test_caret_points_at_the_place() -> None:
    """The picture of an error is the text and a caret below the place."""
    with pytest.raises(QueryError) as raised:
        parse("ada action:user.craeted")
    assert raised.value.caret() == "ada action:user.craeted\n           ^"
    assert str(raised.value).startswith("column 12: there is no action 'user.craeted'")


def test_conditions_are_put_in_and_taken_out() -> None:
    """A condition replaces one of its kind on the same field, and goes as a whole."""
    query = parse("ada action:user.created -action:user.removed")
    (_, old, _), (new,) = query.terms, parse("action:user.updated").terms
    assert render(with_term(query, new)) == "ada -action:user.removed action:user.updated"
    assert render(without(query, old)) == "ada -action:user.removed"


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("act", "action:"),
        ("x -act", "x -action:"),
        ("action:user.c", "action:user.created"),
        ("action:user.created,user.r", "action:user.created,user.removed"),
        ("outcome:f", "outcome:failure"),
    ],
)
def test_suggestions_complete_the_word(typed: str, first: str) -> None:
    """The likeliest completion begins with what was typed and leaves the rest alone."""
    assert suggest(typed)[0].text == first


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("action:user.|created", "action:user.created"),
        ("x -act|ion:user.created y", "x -action: y"),
        ("x act| y", "x action: y"),
        ("action:user.c|x,role.created", "action:user.created,role.created"),
        ('action:user.c|"x y"* y', "action:user.created y"),
        ('actor:"a b",c act|', 'actor:"a b",c action:'),
        ("act|", "action:"),
    ],
)
def test_suggestions_take_the_place_of_the_whole_word(typed: str, first: str) -> None:
    """Of the rest of the word, which stands behind the cursor, nothing is left."""
    found = suggest(typed.replace("|", ""), typed.index("|"))
    assert found[0].text == first


@pytest.mark.parametrize("typed", ['actor:"a act', '"act', 'x "a \\" action:user.c', '"a b" "act'])
def test_nothing_is_suggested_between_quotes(typed: str) -> None:
    """What is quoted is meant to the letter."""
    assert suggest(typed) == []
    assert suggest(typed + '" x', len(typed)) == []


@pytest.mark.parametrize(
    ("typed", "labels"),
    [
        ("action:user.del", []),
        ("action:deleted", ["role.deleted"]),
        ("action:role.de", ["role.deleted"]),
        ("action:PLAN", ["billing.plan_changed"]),
        ("category:", [*CATEGORY_LABELS]),
        ("actor:a", []),
    ],
)
def test_suggestions_hold_what_was_typed(typed: str, labels: list[str]) -> None:
    """At their beginning or inside; nothing else is suggested once something is typed."""
    assert [each.label for each in suggest(typed)] == labels


@pytest.mark.parametrize("field", [field for field in Field if field is not Field.TEXT])
def test_every_field_is_suggested(field: Field) -> None:
    """With what it means; free text has no name."""
    (found,) = [each for each in suggest(field.value) if each.label == f"{field.value}:"]
    assert found.hint


def test_no_more_is_suggested_than_is_read() -> None:
    """The first ten of what there is."""
    assert [each.label for each in suggest("action:")] == [*CATALOGUE][:10]
