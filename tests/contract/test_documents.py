"""The documents: their commands parse, their links lead somewhere, their names exist."""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from processor.cli import main
from processor.settings import variables
from schemas.catalogue import CATALOGUE
from schemas.generate import raw_types
from schemas.reference import BECOMES
from schemas.rejection import Discard, Reason
from tests.contract.canonical_examples import RAW, outcome

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("schemas/*.md"), *ROOT.glob("deploy/**/*.md"))
    if path.name != "CHANGELOG.md"
)
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every ``hub-audit`` command of the shell blocks."""
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while words and ("=" in words[0] or words[0] == "sudo"):
                words.pop(0)
            if words and words[0].rpartition("/")[2] == "hub-audit":
                ends = [at for at, word in enumerate(words) if word in ("&", "|", "&&", ";", ">")]
                yield words[1 : min(ends, default=len(words))]


def parsed(words: list[str]) -> None:
    """Parse a command as the command line would, without running it."""
    command: click.Command = main
    context, rest = click.Context(main, info_name="hub-audit"), list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no such command: {name}", context)
        command, context = found, click.Context(found, info_name=name, parent=context)
    with command.make_context(context.info_name, rest, parent=context.parent):
        pass


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as the usual renderers make them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text))
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_commands_are_commands(document: Path) -> None:
    """Every command line that a reader may copy is one that the command line understands."""
    for words in commands(document.read_text(encoding="utf-8")):
        try:
            with suppress(click.exceptions.Exit):  # --help ends so
                parsed(words)
        except click.ClickException as error:
            pytest.fail(f"{document.name}: hub-audit {shlex.join(words)}: {error.message}")


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link names a file that is there, and a heading that it has."""
    text = document.read_text(encoding="utf-8")
    for link in LINK.findall(text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_settings_exist(document: Path) -> None:
    """Every setting that is named is one."""
    known = {*variables(), "HUB_AUDIT_CONFIG"}
    named = set(re.findall(r"\bHUB_AUDIT_[A-Z0-9_]*[A-Z0-9]\b(?!\*)", document.read_text()))
    assert {name for name in named if {name, name.removesuffix("_FILE")}.isdisjoint(known)} == set()


def test_every_reason_has_its_heading() -> None:
    """Upstream finds each rejection reason under a heading of its own, in order."""
    text = (ROOT / "schemas" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^### `(\w+)`$", text, re.MULTILINE) == [str(reason) for reason in Reason]


def test_reference_says_what_becomes_of_every_type() -> None:
    """The reference has every raw type, and every action comes of one."""
    assert list(BECOMES) == [name for types in raw_types().values() for name in types]
    assert CATALOGUE.keys() <= {end for ends in BECOMES.values() for end in ends}


@pytest.mark.parametrize("offset", range(len(RAW)), ids=[path.stem for path in RAW])
def test_reference_is_right_about_the_examples(offset: int) -> None:
    """What an example becomes is among what the reference says of its type."""
    name, version, _ = RAW[offset].name.partition(".v1")
    end = outcome(RAW[offset], offset)
    became = end.rule if isinstance(end, Discard) else end["action"]
    assert became in BECOMES[name + version]
