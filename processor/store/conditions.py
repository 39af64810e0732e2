"""A query as the condition of an SQL statement over ``audit_entries AS e``.

The text is put together from the constants of this module alone; whatever the asker wrote becomes a
bound parameter. A condition is never null: a negated term also takes the rows without that field.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple
from uuid import UUID

from schemas.query import OWN_CATEGORY, Field, Numbers, Period, Query, Term, Word

BIGINT_MAX = 2**63 - 1

# Nearly any short word of these letters occurs in some checksum: those match from their beginning.
_HEXADECIMAL = frozenset("0123456789abcdef-")
_HEXADECIMAL_LENGTH_MIN = 8

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# One can still be counted further from it: a span ends behind what lies in it.
_MILLISECONDS_MAX = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1) - 1

_FALSE = "false"


class Where(NamedTuple):
    """The condition, and the values of its parameters ``$first``, ``$first + 1`` and so on."""

    sql: str
    parameters: list[Any]

    def also(self, condition: str) -> "Where":
        """Return what holds where another condition does as well."""
        return Where(f"{self.sql} AND {condition}", self.parameters)


class Span(NamedTuple):
    """The instants outside of which nothing can match: since and before; None is open."""

    since: datetime | None
    until: datetime | None


class _Column(NamedTuple):
    """Where a word is looked for, and how it is written there; ``equal`` takes one word or many."""

    equal: str
    begins: str
    written: Callable[[str], str] = str
    many: bool = True


_PLAIN = ("{e} = ANY({p}::text[])", "starts_with({e}, {p}::text)")
_CASELESS = ("{e} = lower({p}::text)", "starts_with({e}, lower({p}::text))")


def _plain(expression: str, written: Callable[[str], str] = str) -> _Column:
    """Return a column that holds what words are compared with."""
    equal, begins = (fragment.replace("{e}", expression) for fragment in _PLAIN)
    return _Column(equal, begins, written)


def _caseless(expression: str) -> _Column:
    """Return a column in lower case, by the database's own rules."""
    equal, begins = (fragment.replace("{e}", expression) for fragment in _CASELESS)
    return _Column(equal, begins, many=False)


# Actions, kinds and e-mail addresses are stored in lower case.
_COLUMNS: dict[Field, tuple[_Column, ...]] = {
    Field.ACTION: (_plain("e.action", str.lower),),
    Field.CATEGORY: (_plain("e.category", str.lower),),
    Field.OUTCOME: (_plain("e.outcome", str.lower),),
    Field.TARGET_TYPE: (_plain("e.target_type", str.lower),),
    Field.ACTOR: (
        _plain("e.actor_id"),
        _plain("e.actor_email", str.lower),
        _plain("e.search_behalf_id"),
        _plain("e.search_behalf_email", str.lower),
    ),
    Field.TARGET: (
        _plain("e.target_id"),
        _plain("e.search_target_email", str.lower),
        _caseless("e.search_target_name"),
    ),
    Field.SESSION: (_plain("e.session_id"),),
    Field.REQUEST: (_plain("e.request_id"),),
    Field.CORRELATION: (_plain("e.correlation_id"),),
}

# Sealing copies what can be looked up out of the JSON; other rows have it there alone. Their part
# of a condition has to begin with this, or no index serves the whole.
_UNSEALED = "(e.search_text IS NULL AND ({c}))"
# The JSON is parsed only where its text holds the member's name, or the one word looked for: most
# rows of a day do not, and parsing costs ten times as much as looking for a text.
_UNSEALED_MEMBERS: dict[Field, tuple[tuple[str, tuple[_Column, ...]], ...]] = {
    Field.ACTOR: (
        (
            "actor_on_behalf_of",
            (
                _plain("(e.context #>> '{actor_on_behalf_of,id}')"),
                _plain("(e.context #>> '{actor_on_behalf_of,email}')", str.lower),
            ),
        ),
    ),
    Field.TARGET: (
        ("target_email", (_plain("(e.context ->> 'target_email')", str.lower),)),
        ("target_name", (_caseless("lower(e.context ->> 'target_name')"),)),
    ),
}
_HOLDS = "strpos(e.context::text, {p}) > 0"

_SEARCH_TEXT = "(SELECT t FROM entry_search_text(e) AS t)"
_TEXT = "strpos(coalesce(e.search_text, {t}), lower({p}::text)) > 0"
# The text of a row that is not sealed is made while one waits, by parsing its JSON. A word that
# JSON writes as it is occurs there only if it occurs in the row as it is stored, but for the times,
# which are stored as numbers.
_ESCAPED = re.compile(r'[\x00-\x1f"\\]')
_OF_TIMES = frozenset("0123456789-:.tz")
_STORED = (
    "concat_ws(E'\\n', e.org_id, e.category, e.action, e.outcome, e.actor_type, e.actor_id,"
    " e.actor_email, e.target_type, e.target_id, host(e.ip), e.session_id, e.request_id,"
    " e.correlation_id, e.source_topic, e.details::text, e.context::text)"
)
_SEARCH_TEXT_IF_STORED = (
    f'CASE WHEN strpos(lower({_STORED} COLLATE "default"), lower({{p}}::text)) > 0'
    f" THEN {_SEARCH_TEXT} ELSE '' END"
)
# Found in the text of the JSON, as rows are encoded: to parse it costs four times as much.
_CHECKSUM = "strpos(e.context::text, {p}::text) > 0"
_CHECKSUM_MEMBER = '"raw_sha256":"'


class _Parameters:
    """The values bound so far."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.values: list[Any] = []

    def bind(self, value: Any) -> str:
        """Keep a value; return how the statement refers to it."""
        self.values.append(value)
        return f"${self.first + len(self.values) - 1}"


def _with(fragment: str, parameter: str) -> str:
    """Put a parameter into a fragment."""
    return fragment.replace("{p}", parameter)


def where(query: Query, org_id: str, *, first: int = 1) -> Where:
    """Return the condition that holds for the organization's entries that the query asks for.

    The query's periods have to be fixed (``query.at(now)``); ``$first`` is the organization.
    """
    bound = _Parameters(first)
    conditions = [f"e.org_id = {bound.bind(org_id)}"]
    if not query.shows_own:
        conditions.append(f"e.category <> {bound.bind(OWN_CATEGORY)}")
    conditions += (_condition(term, bound) for term in query.terms)
    return Where(" AND ".join(conditions), bound.values)


def _condition(term: Term, bound: _Parameters) -> str:
    """Return what holds when the term does."""
    matches = " OR ".join(_alternatives(term, bound)) or _FALSE
    return f"({matches}) IS NOT TRUE" if term.negated else f"({matches})"


def _alternatives(term: Term, bound: _Parameters) -> Iterator[str]:
    """Yield a condition for each way in which one of the values matches."""
    words = [value for value in term.values if isinstance(value, Word)]
    if words:
        yield from _of_words(term.field, words, bound)
    networks = [value for value in term.values if isinstance(value, IPv4Network | IPv6Network)]
    if networks:
        yield f"e.ip <<= ANY({bound.bind(networks)}::cidr[])"
    for value in term.values:
        if isinstance(value, Numbers):
            yield _numbers(value, bound)
        elif isinstance(value, Period):
            yield _period(_INSTANTS[term.field], value, bound)


def _of_words(field: Field, words: Sequence[Word], bound: _Parameters) -> Iterator[str]:
    """Yield a condition for each way in which one of the words matches."""
    if field is Field.TEXT:
        for word in words:
            yield from _occurrences(word.text, bound)
    elif field is Field.ID:
        yield _identities([word.text for word in words], bound)
    else:
        yield from _words(_COLUMNS[field], words, bound)
        members = _UNSEALED_MEMBERS.get(field, ())
        if matches := " OR ".join(_in_member(*member, words, bound) for member in members):
            yield _UNSEALED.replace("{c}", matches)


def _in_member(
    name: str, columns: Sequence[_Column], words: Sequence[Word], bound: _Parameters
) -> str:
    """Return one of the words' being in a member of the JSON, what costs least asked first."""
    held = f'"{name}"'
    if len(words) == len(columns) == 1 and columns[0].many and not _ESCAPED.search(words[0].text):
        held = columns[0].written(words[0].text)
    holds = _with(_HOLDS, bound.bind(held))
    return f"({holds} AND ({' OR '.join(_words(columns, words, bound))}))"


def _words(columns: Sequence[_Column], words: Sequence[Word], bound: _Parameters) -> Iterator[str]:
    """Yield the columns' being equal to one of the words, or beginning with one."""
    whole = [word.text for word in words if not word.prefix]
    beginnings = [word.text for word in words if word.prefix]
    for column in columns:
        texts = [column.written(text) for text in whole]
        for value in [texts] if column.many and texts else texts:
            yield _with(column.equal, bound.bind(value))
        for text in beginnings:
            yield _with(column.begins, bound.bind(column.written(text)))


def _occurrences(text: str, bound: _Parameters) -> Iterator[str]:
    """Yield the text's occurring in any field; in checksums, at the beginning."""
    digits = text.lower()
    as_stored = not _ESCAPED.search(text) and not _OF_TIMES.issuperset(digits)
    made = _SEARCH_TEXT_IF_STORED if as_stored else _SEARCH_TEXT
    yield _with(_TEXT.replace("{t}", made), bound.bind(text))
    if len(digits) >= _HEXADECIMAL_LENGTH_MIN and _HEXADECIMAL.issuperset(digits):
        yield _with(_CHECKSUM, bound.bind(_CHECKSUM_MEMBER + digits))
        first, last = (UUID((digits.replace("-", "") + 32 * end)[:32]) for end in "0f")
        if str(first).startswith(digits):
            yield f"(e.entry_id BETWEEN {bound.bind(first)} AND {bound.bind(last)})"


def _identities(texts: Sequence[str], bound: _Parameters) -> str:
    """Return the entry's being one of these; by its time as well, so that an index finds it."""
    ids = [UUID(text) for text in texts]
    times = [time for time in map(embedded_time, ids) if time is not None]
    return (
        f"(e.entry_id = ANY({bound.bind(ids)}::uuid[])"
        f" AND e.occurred_at = ANY({bound.bind(times)}::timestamptz[]))"
    )


def _numbers(numbers: Numbers, bound: _Parameters) -> str:
    """Return the sequence number's lying within both ends."""
    first = 0 if numbers.first is None else numbers.first
    last = BIGINT_MAX if numbers.last is None else numbers.last
    if first > BIGINT_MAX or last < 0:
        return _FALSE
    low, high = bound.bind(max(first, 0)), bound.bind(min(last, BIGINT_MAX))
    return f"(e.seq >= {low} AND e.seq <= {high})"


_INSTANTS = {Field.CREATED: "e.occurred_at", Field.RECORDED: "e.recorded_at"}


def _period(column: str, period: Period, bound: _Parameters) -> str:
    """Return the instant's lying within the period."""
    ends = []
    if period.since is not None:
        ends.append(f"{column} >= {bound.bind(period.since)}")
    if period.until is not None:
        ends.append(f"{column} < {bound.bind(period.until)}")
    return "(" + (" AND ".join(ends) or "true") + ")"


def embedded_time(entry_id: UUID) -> datetime | None:
    """Return when an entry happened, from the milliseconds its identifier begins with.

    None stands for a year that no entry can be of.
    """
    milliseconds = entry_id.int >> 80
    if milliseconds > _MILLISECONDS_MAX:
        return None
    return _EPOCH + timedelta(milliseconds=milliseconds)


def span(query: Query) -> Span:
    """Return the instants between which everything lies that the query can match."""
    since: datetime | None = None
    until: datetime | None = None
    for term in query.terms:
        if term.negated:
            continue
        for ends in _spans(term):
            since = max(filter(None, (since, ends.since)), default=None)
            until = min(filter(None, (until, ends.until)), default=None)
    return Span(since, until)


def _spans(term: Term) -> Iterator[Span]:
    """Yield the smallest span around a term's values, if it says something about time."""
    if term.field is Field.CREATED:
        periods = [value for value in term.values if isinstance(value, Period)]
        sinces, untils = [p.since for p in periods], [p.until for p in periods]
        yield Span(
            None if None in sinces else min(_fixed(sinces), default=None),
            None if None in untils else max(_fixed(untils), default=None),
        )
    elif term.field is Field.ID:
        ids = [UUID(value.text) for value in term.values if isinstance(value, Word)]
        times = [time for time in map(embedded_time, ids) if time is not None]
        if times:
            yield Span(min(times), max(times) + timedelta(milliseconds=1))


def _fixed(ends: Sequence[datetime | timedelta | None]) -> list[datetime]:
    """Return the ends, all of which are instants in a fixed query."""
    return [end for end in ends if isinstance(end, datetime)]
