"""The fault matrix has every row, and names what plays it as it is."""

import re
from pathlib import Path

import pytest

from tests.faults.blows import BLOWS, NOT_RUN

ROOT = Path(__file__).parents[2]
TEXT = Path(__file__).with_name("MATRIX.md").read_text()
LINES = re.findall(r"^\| (F\d.*)\|$", TEXT, re.MULTILINE)
CELLS = [[cell.strip() for cell in line.split("|")] for line in LINES]
ROWS = {row: cells for row, *cells in CELLS}


def test_every_row_is_there() -> None:
    """The rows are F1 to F31, each of them once."""
    assert [row for row, *_ in CELLS] == [f"F{n}" for n in range(1, 32)]


@pytest.mark.parametrize("row", ROWS)
def test_row_names_the_kinds_of_the_full_run(row: str) -> None:
    """All its kinds stand in it as the run calls them; what nothing plays is said to be not run."""
    _, played, left = ROWS[row]
    kinds = {kind for kind, blow in BLOWS.items() if blow.rows == row}
    assert set(re.findall(r'"([^"]+)"', played)) == kinds
    assert played or left == "**not run**"
    if row in NOT_RUN:
        assert not kinds
    assert set(re.findall(r"tests/\S+\.py", NOT_RUN.get(row, ""))) <= set(
        re.findall(r"tests/[\w/]+\.py", played)
    )


def test_what_it_names_exists() -> None:
    """Every file that plays a row is there, and every target of make."""
    for path in re.findall(r"tests/[\w/]+\.py", TEXT):
        assert (ROOT / path).is_file(), path
    for link in re.findall(r"\]\((\S+)\)", TEXT):
        assert (Path(__file__).parent / link).is_file(), link
    targets = (ROOT / "Makefile").read_text()
    for name in re.findall(r"`make (\w+)`", TEXT):
        assert f"\n{name}:" in targets, name


@pytest.mark.parametrize("page", ["RESULTS.md", "SOAK.md"])
def test_pages_lead_to_it(page: str) -> None:
    """Who reads a number of a row finds what it is."""
    assert "[fault matrix](MATRIX.md)" in Path(__file__).with_name(page).read_text()
