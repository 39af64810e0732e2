"""What a subscription's filter takes, and which filters are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.subscription import Filter
from tests.unit.canonical_entry import entry


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ({}, True),
        ({"severity_min": 4}, True),
        ({"severity_min": 5}, False),
        ({"actions": ["user.removed", "user.created"]}, True),
        ({"actions": ["user.removed"]}, False),
        ({"categories": ["users"]}, True),
        ({"categories": ["roles"]}, False),
        ({"outcomes": ["success"]}, True),
        ({"outcomes": ["failure"]}, False),
        ({"categories": ["users"], "severity_min": 5}, False),
    ],
)
def test_what_is_taken_is_all_that_is_wanted(wanted: dict[str, Any], taken: bool) -> None:
    """An entry of severity 4 has to meet every part; an empty one is met."""
    assert Filter(**wanted).takes(entry()) is taken


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"actions": ["audit.denied"], "severity_min": 5}, ""),
        ({"actions": ["audit.denied"], "severity_min": 6}, "no entry can pass this filter"),
        ({"actions": ["audit.denied"], "outcomes": ["failure"], "severity_min": 5}, ""),
        ({"actions": ["user.created"], "severity_min": 5}, ""),
        ({"actions": ["user.created"], "outcomes": ["success"], "severity_min": 5}, "no entry can"),
        ({"actions": ["user.created"], "categories": ["roles"]}, "no entry can pass this filter"),
        ({"actions": ["user.bought"]}, "no such action: user.bought"),
    ],
)
def test_filter_that_lets_nothing_pass_is_refused(wanted: dict[str, Any], reason: str) -> None:
    """With the severities that an action can have, as a failure too; what can pass is a filter."""
    said = ""
    try:
        Filter(**wanted)
    except ValidationError as error:
        said = str(error)
    assert reason in said
    assert bool(said) is bool(reason)
