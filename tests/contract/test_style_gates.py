"""The gates on shape that no linter has: each failure lists every offender with its place."""

import ast
import gc
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = sorted(path for top in ("processor", "schemas") for path in (ROOT / top).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FUNCTION_LINES_MAX = 50
MODULE_LINES_MAX = 300
VAGUE = {"utils", "util", "helpers", "helper", "common", "base", "core", "manager", "misc", "types"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def parsed(path: Path) -> ast.Module:
    """Return a module's syntax tree.

    No garbage is collected meanwhile: code that this runs in the middle of the parser can make
    CPython 3.11 lose count of its depth: a SystemError (compare python/cpython#106905).
    """
    gc.disable()
    try:
        return ast.parse(path.read_text())
    finally:
        gc.enable()


def functions(path: Path) -> Iterator[Function]:
    """Yield every function of a module, nested ones and methods too."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, Function):
            yield node


def place(path: Path, line: int) -> str:
    """Return where something stands, as an editor understands it."""
    return f"{path.relative_to(ROOT)}:{line}"


def too_long(path: Path) -> Iterator[str]:
    """Yield the functions that take more lines than a reader holds in mind, docstring apart."""
    for function in functions(path):
        first = function.body[1:2] if ast.get_docstring(function) else function.body[:1]
        start = first[0].lineno if first else function.lineno
        lines = (function.end_lineno or start) - start + 1
        if lines > FUNCTION_LINES_MAX:
            yield f"{place(path, function.lineno)} {function.name}: {lines} lines"


def too_large(path: Path) -> Iterator[str]:
    """Yield the module when it has more lines of code than one subject needs."""
    lines = len(code_lines(path))
    if lines > MODULE_LINES_MAX:
        yield f"{place(path, 1)}: {lines} lines of code"


def code_lines(path: Path) -> set[int]:
    """Return the numbers of the lines that hold code: no comment, no docstring, no blank line."""
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    silent |= {tokenize.ENCODING, tokenize.ENDMARKER}
    with path.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type not in silent]
    lines = {n for token in tokens for n in range(token.start[0], token.end[0] + 1)}
    return lines - docstring_lines(path)


def docstring_lines(path: Path) -> set[int]:
    """Return the numbers of the lines that docstrings take."""
    lines: set[int] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, Function | ast.ClassDef | ast.Module) and ast.get_docstring(node):
            text = node.body[0]
            lines.update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return lines


def vaguely_named(path: Path) -> Iterator[str]:
    """Yield the module when its name, or its folder's, says nothing about what is in it."""
    for name in path.relative_to(ROOT).with_suffix("").parts:
        if name in VAGUE:
            yield f"{place(path, 1)}: {name}"


def undescribed(path: Path) -> Iterator[str]:
    """Yield the tests that do not say in a sentence which behavior they hold."""
    for function in functions(path):
        text = ast.get_docstring(function) or ""
        if function.name.startswith("test_") and not text.rstrip().endswith("."):
            yield f"{place(path, function.lineno)} {function.name}"


def avoided(path: Path) -> Iterator[str]:
    """Yield where a test is skipped, expected to fail, or mocks."""
    pattern = re.compile(r"pytest\.(mark\.)?(skip|xfail)|unittest\.mock|mocker\b|MagicMock")
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if pattern.search(line) and path != Path(__file__):
            yield f"{place(path, number)}: {line.strip()}"


def opened_unasked(path: Path) -> Iterator[str]:
    """Yield where a database is opened without asking whose it is, as ``books.ours`` does."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if "Database.open(" in line:
            yield f"{place(path, number)}: {line.strip()}"


ASKING = [
    path
    for path in PRODUCT
    # The store opens it for all; doctor reports whose it is; the demo only looks at what it shows.
    if path.relative_to(ROOT).parts[1] not in ("store", "doctor", "demo")
]

GATES: list[tuple[Callable[[Path], Iterator[str]], list[Path]]] = [
    (too_long, PRODUCT + TESTS),
    (too_large, PRODUCT + TESTS),
    (vaguely_named, PRODUCT + TESTS),
    (undescribed, TESTS),
    (avoided, TESTS),
    (opened_unasked, ASKING),
]


@pytest.mark.parametrize(("gate", "paths"), GATES, ids=[gate.__name__ for gate, _ in GATES])
def test_gate(gate: Callable[[Path], Iterator[str]], paths: list[Path]) -> None:
    """Nothing in the code offends the gate."""
    offenders = [offender for path in paths for offender in gate(path)]
    assert not offenders, f"{gate.__name__}:\n" + "\n".join(offenders)


def test_gates_catch_what_they_are_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with every fault is caught by every gate."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    body = "\n".join(f"    n = {n}" for n in range(MODULE_LINES_MAX))
    bad = tmp_path / "utils.py"
    bad.write_text(f"import unittest.mock\nDatabase.open()\ndef test_x():\n{body}\n    return n\n")
    assert [len(list(gate(bad))) for gate, _ in GATES] == [1] * len(GATES)
