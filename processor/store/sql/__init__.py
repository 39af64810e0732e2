"""The SQL this package runs, in .sql files: one file per module, one heading per statement."""

import re
from importlib import resources

_HEADING = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def text(name: str) -> str:
    """Return the text of one .sql file."""
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def statements(name: str) -> dict[str, str]:
    """Return the statements of one .sql file by the name in their heading."""
    _, *parts = _HEADING.split(text(name))
    return dict(zip(parts[::2], (part.strip().rstrip(";") for part in parts[1::2]), strict=True))


def migrations() -> list[tuple[str, str]]:
    """Return name and text of every migration, in order."""
    folder = resources.files(__name__).joinpath("migrations")
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))
    return [(name.removesuffix(".sql"), folder.joinpath(name).read_text("utf-8")) for name in names]
