"""What others wrote does not steer a terminal, and names of any script stay what they are."""

from datetime import UTC, datetime

import pytest

from processor import export, redrive
from processor.store.dead_letters import Summary
from processor.terminal import visible
from tests.unit.canonical_entry import entry

AT = datetime(2026, 11, 30, tzinfo=UTC)
NAMES = ("علی\N{ZERO WIDTH NON-JOINER}رضا", "क्\N{ZERO WIDTH JOINER}ष", "Zoë O'Hara", "李雷")


@pytest.mark.parametrize("name", NAMES)
def test_name_of_any_script_stays(name: str) -> None:
    """In a line of `search` as of `dead-letters list`: joiners are letters, not commands."""
    assert name in export.line(entry(actor={"type": "user", "id": name}))
    letter = Summary("raw.audit", 0, 1, AT, None, "acme", "decode", "too_deep", name, 1, 1)
    assert name in redrive.line(letter)


def test_what_steers_is_escaped() -> None:
    """A command, a turn of direction, an end of line and a tag are read instead of obeyed."""
    assert (
        visible("a\x1b[2Jb\u202ec\r\nd\U000e0041") == r"a\u001b[2Jb\u202ec\u000d\u000ad\U000e0041"
    )
    assert visible("\u200b\u2060\ufeff") == r"\u200b\u2060\ufeff"
