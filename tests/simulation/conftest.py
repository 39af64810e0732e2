"""Thousands of seeds are played beside the other tests, on what those leave of the processors.

Most tests wait for servers most of the time. So it begins before the first test, and what has come
of it is asked for behind the last.
"""

import os
import signal
import subprocess
import sys

import pytest

from processor.local.child import watch_over

SEEDS = os.environ.get("SIMULATION_SEEDS", "20000")
PLAYER = pytest.StashKey["subprocess.Popen[str]"]()


def asks(item: pytest.Item) -> bool:
    """Tell whether a test asks what the seeds came to."""
    return "played" in getattr(item, "fixturenames", ())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ask behind all other tests, in whatever order these are."""
    items.sort(key=asks)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to play, where somebody is going to ask."""
    if session.config.option.collectonly or not any(map(asks, session.items)):
        return
    player = subprocess.Popen(
        [sys.executable, "-m", "tests.simulation", "--idle", "--seeds", SEEDS],
        cwd=session.config.rootpath,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    session.config.stash[PLAYER] = player
    watch = watch_over(-player.pid, signal.SIGKILL)
    session.config.add_cleanup(lambda: end(player, watch))


def end(player: "subprocess.Popen[str]", watch: "subprocess.Popen[bytes]") -> None:
    """Stop playing, with all processes that do."""
    if player.poll() is None:
        os.killpg(player.pid, signal.SIGKILL)
        player.communicate()
    watch.communicate(b"done\n")


@pytest.fixture
def played(request: pytest.FixtureRequest) -> tuple[int, str]:
    """Give the exit code and the words with which playing ended."""
    player = request.config.stash[PLAYER]
    said, _ = player.communicate()
    return player.returncode, said
