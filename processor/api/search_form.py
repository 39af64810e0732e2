"""The search box and its form: what they show of a query, and what they ask for. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from processor.api import view
from processor.query import QueryError, parse, render, times
from processor.query.lexer import CHARACTERS_MAX
from schemas.catalogue import CATALOGUE, CATEGORY_LABELS
from schemas.query import Field, Period, Query, Term, Word

WORDS = (Field.ACTION, Field.ACTOR, Field.TARGET, Field.TEXT)
DATES = ("since", "until")
FIELD_CHARACTERS_MAX = 500
_DAY = timedelta(days=1)


def written_out(query: Query) -> Query:
    """Return a query with its period; raises QueryError for one that no link can hold so."""
    query = view.bounded(query)
    text = render(query)
    if len(text) > CHARACTERS_MAX:
        reason = (
            f"a query has {CHARACTERS_MAX:,} characters at most, and this one {len(text):,} when "
            "it is written out, with its quotes and its period"
        )
        raise QueryError(reason, CHARACTERS_MAX, text[:CHARACTERS_MAX])
    return query


def shown(query: Query, text: str | None = None) -> dict[str, Any]:
    """Return what the box and the form show of a query, or of a text that is none."""
    fields = filled(query)
    action = fields.get(Field.ACTION)
    return {
        "q": render(query) if text is None else text,
        "was": render(query),
        "filled": fields,
        "invalid": (),
        # One that the list lacks, as user.*: the form would send none, which takes it away.
        "other_action": None if action in CATALOGUE else action,
        "actions": [
            (label, [a for a in CATALOGUE.values() if a.category == category])
            for category, label in CATEGORY_LABELS.items()
        ],
    }


def again(given: Mapping[str, str], text: str, error: QueryError) -> dict[str, Any]:
    """Return what they show of what cannot be understood: all that was typed, and where it is.

    A form that is sent again asks for what it would have asked for: what was touched still is.
    """
    nothing = shown(Query(), text)
    if "was" not in given:
        return nothing | {"invalid": ("q",)}
    fields = {name: given[name] for name in (*WORDS, *DATES) if given.get(name)}
    action = fields.get(Field.ACTION)
    return nothing | {
        "was": given["was"] if _is_query(given["was"]) else "",
        "filled": fields,
        "other_action": None if action in CATALOGUE else action,
        "invalid": _invalid(error, text),
    }


def _invalid(error: QueryError, text: str) -> tuple[str, ...]:
    """Return what an error is about: the box, or fields of which it shows a condition."""
    named = error.text.partition(":")[0]
    if error.text == text or error.column == CHARACTERS_MAX or named not in (*WORDS, Field.CREATED):
        return ("q",)
    return DATES if named == Field.CREATED else (named,)


def _is_query(text: str) -> bool:
    try:
        parse(text)
    except QueryError:
        return False
    return True


def filled(query: Query) -> dict[str, str]:
    """Return what the form's fields hold: of each the first plain condition, and whole days."""
    fields = {field.value: _text(term) for field, term in _plain(query).items()}
    return fields | dict(_dates(view.period_of(query)))


def sent(given: Mapping[str, str], query: Query, now: datetime) -> Query:
    """Return a query with what the form's fields ask for, where these were touched."""
    before = filled(parse(given["was"]))
    for field in WORDS:
        text, had = (
            each.get(field.value, "").strip()[:FIELD_CHARACTERS_MAX] for each in (given, before)
        )
        if text != had:
            old = _plain(query).get(field)
            query = _replaced(query, old, _condition(field, text) if text else None)
    if any(given.get(name, "") != before.get(name, "") for name in DATES):
        old = view.period_term(query)
        query = _replaced(query, old, _period(given, before, view.period_of(query), now))
    return query


def _plain(query: Query) -> dict[Field, Term]:
    """Return the condition of each field that the form shows: of actions it shows several, too."""
    found: dict[Field, Term] = {}
    for term in query.terms:
        simple = len(term.values) == 1 or term.field is Field.ACTION
        if term.field in WORDS and simple and not term.negated:
            found.setdefault(term.field, term)
    return found


def _text(term: Term) -> str:
    words = [value for value in term.values if isinstance(value, Word)]
    return ",".join(word.text + "*" * word.prefix for word in words)


def _dates(period: Period | None) -> Iterator[tuple[str, str]]:
    """Yield the first and the last day of a period, if it begins or ends with a whole one."""
    if period is None:
        return
    for name, end, back in (("since", period.since, 0 * _DAY), ("until", period.until, _DAY)):
        if isinstance(end, datetime) and end.time() == datetime.min.time():
            yield name, (end - back).date().isoformat()


def _replaced(query: Query, old: Term | None, new: Term | None) -> Query:
    """Return a query with one condition in another's place; None stands for no condition."""
    terms = list(query.terms)
    at = len(terms) if old is None else terms.index(old)
    terms[at : at + 1] = [] if new is None else [new]
    return Query(tuple(terms))


def _condition(field: Field, text: str) -> Term:
    if field is Field.ACTION:
        return parse(f"action:{text}").terms[0]
    bare = text.rstrip("*") or text
    if field is Field.TEXT:
        return Term(field, (Word(bare),))  # it occurs anywhere: a star behind it says nothing
    prefix = text.endswith("*") and len(text) > 1
    return Term(field, (Word(text.removesuffix("*") if prefix else text, prefix),))


def _period(
    given: Mapping[str, str], before: Mapping[str, str], in_force: Period | None, now: datetime
) -> Term | None:
    """Return the period between two days; an end that the form cannot show stays as it is."""
    since, until = (given.get(name, "").strip() for name in DATES)
    chosen, in_force = Period(None, None), in_force or Period(None, None)
    if since or until:
        try:
            chosen = times.parse(f"{since}..{until}")
        except ValueError as error:
            written = f"created:{since}..{until}"
            raise QueryError(str(error), len("created:"), written) from error
    whole = Period(
        chosen.since if since or "since" in before else in_force.since,
        chosen.until if until or "until" in before else in_force.until,
    )
    if _is_empty(whole.at(now)):
        whole = chosen  # such an end would leave nothing of the days that were chosen
    return None if whole == Period(None, None) else Term(Field.CREATED, (whole,))


def _is_empty(fixed: Period) -> bool:
    since, until = fixed.since, fixed.until
    return isinstance(since, datetime) and isinstance(until, datetime) and until <= since
