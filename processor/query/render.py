"""A query as text: what a saved view, a link and the query box show."""

import re

from processor.query import times
from schemas.query import Field, Numbers, Period, Query, Term, Value, Word

_PLAIN = re.compile(r'[^\s",*:\-\\][^\s",*:\\]*')
"""What needs no quotes, whatever stands before it."""


def render(query: Query) -> str:
    """Return the text of a query; ``parse`` makes the same query of it."""
    return " ".join(map(_term, query.terms))


def _term(term: Term) -> str:
    values = ",".join(map(_value, term.values))
    free = term.field is Field.TEXT and len(term.values) == 1
    return f"{'-' if term.negated else ''}{'' if free else f'{term.field.value}:'}{values}"


def _value(value: Value) -> str:
    if isinstance(value, Word):
        text = value.text if _PLAIN.fullmatch(value.text) else _quoted(value.text)
        return f"{text}*" if value.prefix else text
    if isinstance(value, Numbers):
        return _numbers(value)
    if isinstance(value, Period):
        return times.render(value)
    return str(value.network_address if value.num_addresses == 1 else value)


def _numbers(value: Numbers) -> str:
    if value.first == value.last:
        return str(value.first)
    first = "" if value.first is None else value.first
    return f"{first}..{'' if value.last is None else value.last}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
