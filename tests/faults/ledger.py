"""The ledger: what was sent, and the end each record must have, on disk before it is sent."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NotRequired, Self, TypedDict, cast


class Line(TypedDict):
    """One record as the generator knows it; ``end`` is what must become of it."""

    n: int
    org: str
    topic: str
    kind: str
    end: str  # entry | discard | dead_letter | aborted
    reason: NotRequired[str]  # of a dead letter, or the rule of a discard
    identity: NotRequired[list[Any] | None]  # [org, source, id, ms]; None: the coordinates
    content: NotRequired[int]  # records of one identity with the same number say the same
    again: NotRequired[int]  # the first record of this identity
    template: NotRequired[dict[str, Any] | str]  # as text once it was read: a million are large


class Ledger:
    """An append-only file of lines and acknowledgements, safe on disk after every batch."""

    def __init__(self, path: Path) -> None:
        """Open the file for appending."""
        self.path = path
        self._file = path.open("ab")

    def expect(self, lines: Iterable[Line]) -> None:
        """Write what is about to be sent, and wait for the disk."""
        for line in lines:
            self._file.write(json.dumps(line).encode() + b"\n")
        self._sync()

    def acknowledged(self, positions: Iterable[tuple[int, int, int]]) -> None:
        """Write which records (number, partition, offset) the bus has accepted."""
        self._file.write(json.dumps({"acked": list(positions)}).encode() + b"\n")
        self._sync()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        """Return the open ledger."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()


def template_of(line: Line) -> dict[str, Any]:
    """Return the entry that a record must become, but for what only bus and store know."""
    template = line["template"]
    found: dict[str, Any] = json.loads(template) if isinstance(template, str) else template
    return found


def _kept(line: dict[str, Any]) -> Line:
    """Return a line that takes little room."""
    if "template" in line:
        line["template"] = json.dumps(line["template"], ensure_ascii=False)
    names = ((sys.intern(name), value) for name, value in line.items())
    return cast(
        "Line",
        {
            name: sys.intern(value) if isinstance(value, str) and name != "template" else value
            for name, value in names
        },
    )


def read(path: Path) -> tuple[dict[int, Line], dict[int, tuple[int, int]]]:
    """Return the lines by number, and partition and offset of those that were acknowledged."""
    lines: dict[int, Line] = {}
    acked: dict[int, tuple[int, int]] = {}
    with path.open("rb") as file:
        for text in file:
            parsed = json.loads(text)
            if "acked" in parsed:
                acked |= {n: (partition, offset) for n, partition, offset in parsed["acked"]}
            else:
                lines[parsed["n"]] = _kept(parsed)
    return lines, acked
