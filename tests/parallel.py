"""Tests run by several processes at once: what these share, and what each has of its own.

A part of pytest (see its hooks), for xdist's processes and for a single one alike. Each has servers
and ports of its own, unless the shell names servers; the seeds of the simulation are played once,
beside all of them; and whoever speaks at the end says what any of them has left out.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from processor.local import port
from tests import left_out
from tests.shell import FIXTURES, GIVEN, end_without_servers
from tests.simulation.beside import ASKS, Beside

LONG = ("acceptance", "faults", "integration")
"""Folders of tests that begin: a file that takes a minute is no good end."""

BESIDE = pytest.StashKey[Beside]()


def asks(node: str) -> bool:
    """Tell whether a test asks what the seeds came to."""
    return ASKS in node


def pytest_configure(config: pytest.Config) -> None:
    """Take what a process has of its own, and know where the seeds are told."""
    mine = getattr(config, "workerinput", None)
    if mine is None:
        config.stash[BESIDE] = beside = Beside()
        config.add_cleanup(beside.end)
        return
    GIVEN.update(mine["given"])
    config.stash[BESIDE] = Beside(Path(mine["beside"]))
    each = (port.LAST - port.FIRST) // mine["workercount"]
    # One that takes the place of a crashed one has the next number.
    place = int(mine["workerid"].removeprefix("gw")) % mine["workercount"]
    port.FIRST += place * each
    port.LAST = port.FIRST + each - 1


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process that is about to start what it cannot know by itself."""
    node.workerinput["given"] = GIVEN
    node.workerinput["beside"] = str(node.config.stash[BESIDE].directory)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long; ask what the seeds came to behind all other tests."""
    items.sort(key=lambda item: (asks(item.nodeid), item.path.parent.name not in LONG))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Be ready, where this is the only process."""
    if hasattr(session.config, "workerinput"):
        return
    end_without_servers(
        {name for item in session.items for name in getattr(item, "fixturenames", ())}
    )
    if not session.config.option.collectonly:
        _begin(session.config, (item.nodeid for item in session.items))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Be ready, where there are others; what they use is known by the folder alone."""
    if any(f"/{folder}/" in name for name in ids for folder in LONG):
        end_without_servers(FIXTURES)
    _begin(node.config, ids)


def _begin(config: pytest.Config, ids: Iterable[str]) -> None:
    if any(map(asks, ids)):
        config.stash[BESIDE].begin(config.rootpath)


@pytest.fixture
def played(request: pytest.FixtureRequest) -> tuple[int, str]:
    """Give the exit code and the words with which playing the seeds ended."""
    return request.config.stash[BESIDE].ended()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave what was left out here to the process that speaks for all."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = left_out.told()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear it there."""
    left_out.heard(getattr(node, "workeroutput", {}).get("left_out", {}))
