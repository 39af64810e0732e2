"""The seeds that are played beside the other tests, on what those leave of the processors.

Whoever runs the tests begins it, once, and ends it; the one that asks may be another process.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from processor.local.child import watch_over

SEEDS = os.environ.get("SIMULATION_SEEDS", "20000")
ASKS = "test_many_seeds.py"
"""The file of the test that asks what the seeds came to."""

LOOK_SECONDS = 0.2

# Whoever waits sees the exit code when all that was said is there, and however it ended.
_PLAYED = '"$@" >said 2>&1; echo $? >code.new; mv code.new code'


@dataclass
class Beside:
    """Where the player says what the seeds came to."""

    directory: Path = field(
        default_factory=lambda: Path(tempfile.mkdtemp(prefix="hub-audit-seeds-"))
    )
    _player: "subprocess.Popen[bytes] | None" = None
    _watch: "subprocess.Popen[bytes] | None" = None

    def begin(self, root: Path) -> None:
        """Begin to play, unless that has begun."""
        if self._player is not None:
            return
        command = (sys.executable, "-m", "tests.simulation", "--idle", "--seeds", SEEDS)
        self._player = subprocess.Popen(
            ["sh", "-c", _PLAYED, "sh", *command],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._watch = watch_over(-self._player.pid, signal.SIGKILL)

    def ended(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and what was said."""
        code = self.directory / "code"
        while not code.exists():
            time.sleep(LOOK_SECONDS)
        return int(code.read_text()), (self.directory / "said").read_text()

    def end(self) -> None:
        """Stop playing, with all processes that do, and forget what was said."""
        if self._player is not None and self._watch is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._player.pid, signal.SIGKILL)
            self._player.wait()
            self._watch.communicate(b"done\n")
        shutil.rmtree(self.directory, ignore_errors=True)
