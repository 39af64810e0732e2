"""Files of tests that are left out where a machine lacks what they run against, and why."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

_TESTS = Path(__file__).parent
_wants: dict[Path, str] = {}


def leave_out(folder: str, lacking: Mapping[str, str]) -> list[str]:
    """Say what files of a folder want that is not here; return the files, for pytest to ignore."""
    _wants.update({_TESTS / folder / file: why for file, why in lacking.items()})
    return list(lacking)


def told() -> dict[str, str]:
    """Return what is left out, for whoever says so: that may be another process."""
    return {str(file): why for file, why in _wants.items()}


def heard(told: Mapping[str, str]) -> None:
    """Take over what a process that ran tests has left out."""
    _wants.update({Path(file): why for file, why in told.items()})


def said(asked: Collection[Path]) -> Iterator[str]:
    """Yield how many files were left out of what was asked for, and what each wants."""
    files = sorted(file for file in _wants if any(map(file.is_relative_to, asked)))
    if files:
        yield f"LEFT OUT: {len(files)} files"
    for file in files:
        yield f"  {file.relative_to(_TESTS.parent)} wants {_wants[file]}"
