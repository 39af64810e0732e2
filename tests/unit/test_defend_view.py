"""Findings as the page shows them."""

from typing import cast

from processor.api.defend_view import evidence_query
from processor.query import parse, render
from schemas.finding import Finding
from schemas.query import Numbers


def resting_on(seqs: list[int]) -> Finding:
    """Return what a finding says of its evidence."""
    times = {"first_at": "2026-03-01T10:00:00.000Z", "last_at": "2026-03-01T10:59:59.999Z"}
    return cast("Finding", times | {"evidence": {"seqs": seqs, "alerts": []}})


def test_separate_numbers_are_asked_for_one_by_one_as_long_as_a_query_holds_them() -> None:
    """Up to a hundred stand in the query; more become the stretch between the first and last."""
    for count in (100, 101, 1_000):
        seqs = [2 * number for number in range(1, count + 1)]
        query = evidence_query(resting_on(seqs))
        each = tuple(Numbers(seq, seq) for seq in seqs)
        assert query.terms[0].values == (each if count == 100 else (Numbers(2, 2 * count),))
        assert parse(render(query)) == query
