"""The named moments stand for calls that exist, so that a renamed function is noticed at once."""

import importlib
import inspect
from typing import Any

import pytest

from tests.faults.points import POINTS


@pytest.mark.parametrize("name", POINTS)
def test_a_moment_stands_for_a_call(name: str) -> None:
    """The call of a moment is a coroutine function of the module that is named."""
    found: Any = importlib.import_module(POINTS[name].module)
    for part in POINTS[name].name.split("."):
        found = getattr(found, part)
    assert inspect.iscoroutinefunction(found)
