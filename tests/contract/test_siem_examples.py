"""The SIEM examples are what the formats give, one of every action in each."""

import json

import pytest

from processor.siem import FORMATS
from processor.siem.reference import document
from schemas.catalogue import CATALOGUE, FormatName
from schemas.entry import render
from schemas.generate import ROOT
from tests.contract.canonical_examples import CANONICAL
from tests.contract.siem_examples import FOREIGN, SIEM, documents, entries

FILES = documents()


@pytest.mark.parametrize("path", FILES)
def test_example_is_what_rendering_gives(path: str) -> None:
    """Byte for byte: a change of a format shows here, in the form that SIEMs see."""
    assert (SIEM / path).read_text(encoding="utf-8") == FILES[path]


def test_no_example_is_left_over() -> None:
    """Every action has one in each format, and so has a heartbeat."""
    assert {str(path.relative_to(SIEM)) for path in SIEM.rglob("*.*")} == set(FILES)
    for name in FOREIGN:
        suffix = "log" if name == "cef" else "json"
        assert {f"{name}/{action}.{suffix}" for action in (*CATALOGUE, "heartbeat")} <= set(FILES)


def test_examples_begin_with_the_canonical_ones() -> None:
    """An action that has a canonical example is shown by the same entry in every format."""
    made = entries()
    for path in CANONICAL.iterdir():
        value = json.loads(path.read_bytes())["value"]
        assert made[value["action"]] == value


@pytest.mark.parametrize("name", FORMATS)
def test_rendering_is_deterministic_and_compact(name: FormatName) -> None:
    """The same entry gives the same bytes, on one line, whenever it is rendered."""
    for entry in entries().values():
        value = FORMATS[name].render(entry)
        assert value == FORMATS[name].render(json.loads(render(entry)))
        assert len(value.decode().splitlines()) == 1
        if FORMATS[name].content_type == "application/json":
            compact = json.dumps(json.loads(value), separators=(",", ":"), ensure_ascii=False)
            assert value.decode() == compact


def test_reference_is_what_the_tables_say() -> None:
    """``make reference`` would change nothing in what SIEM engineers read."""
    written = ROOT.parent / "deploy" / "siem" / "fields.md"
    assert written.read_text(encoding="utf-8") == document()
    for name in CATALOGUE:
        assert f"\n| {name} | " in document()
