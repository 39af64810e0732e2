"""Findings of Defend as store and topic have them, in the words of the judge."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.faults.rows import milliseconds
from tests.faults.world import Finding

SEVERITIES = ("low", "medium", "high", "critical")


def of_row(row: Mapping[str, Any]) -> Finding:
    """Return a finding as the store has it."""
    return Finding(
        row["org_id"],
        row["rule"],
        row["subject_type"],
        row["subject"],
        milliseconds(row["hour"]),
        str(row["finding_id"]),
        row["version"],
        row["severity"],
        milliseconds(row["first_at"]),
        milliseconds(row["last_at"]),
        tuple(row["actors"]),
        tuple(row["addresses"]),
        frozenset(row["seqs"]),
    )


def of_document(said: Mapping[str, Any]) -> Finding:
    """Return a finding as its topic tells it."""
    return Finding(
        said["org_id"],
        said["rule"],
        said["subject"]["type"],
        said["subject"]["value"],
        _at(said["hour"]),
        said["finding_id"],
        said["version"],
        SEVERITIES.index(said["severity"]),
        _at(said["first_at"]),
        _at(said["last_at"]),
        tuple(said["actors"]),
        tuple(said["addresses"]),
        frozenset(said["evidence"]["seqs"]),
    )


def _at(text: str) -> int:
    return milliseconds(datetime.fromisoformat(text))
