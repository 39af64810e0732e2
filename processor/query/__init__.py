"""The query grammar: text to and from the syntax tree of ``schemas.query``; pure."""

from processor.query.lexer import QueryError
from processor.query.parse import parse
from processor.query.render import render
from processor.query.suggest import Suggestion, suggest
from schemas.query import Query, Term

__all__ = ["QueryError", "Suggestion", "parse", "render", "suggest", "with_term", "without"]


def with_term(query: Query, term: Term) -> Query:
    """Return the query with one more condition, in place of another one on the same field."""
    kept = [
        each for each in query.terms if (each.field, each.negated) != (term.field, term.negated)
    ]
    return Query((*kept, term))


def without(query: Query, term: Term) -> Query:
    """Return the query without one of its conditions."""
    return Query(tuple(each for each in query.terms if each != term))
