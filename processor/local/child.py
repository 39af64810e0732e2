"""A server process of ours: its start, its signals, its end, and how a later command finds it.

A child must never outlive the command that started it, however that command ends (kill -9 too),
unless it is told to. The kernel's parent-death signal would do on Linux alone and follows the
*thread* that forked; so a watching shell holds the read end of a pipe instead: when the pipe
closes without a word, the parent is gone and the shell ends the child.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

# $1 the child, $2 the signal that ends it; a stopped child has to be woken up to notice.
WATCH = 'read -r word || { kill -s "$2" -- "$1"; kill -s CONT -- "$1"; } 2>/dev/null'
POLL_SECONDS = 0.02
SHOWS_PROCESSES = Path("/proc/self/cmdline").exists()


class NotStarted(Exception):
    """A server did not start; the message says why and quotes the end of its log."""


class Account(NamedTuple):
    """The user a child runs as, when it is not ours."""

    name: str
    uid: int
    gid: int


class Launch(NamedTuple):
    """What to start and how."""

    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    account: Account | None = None
    end_signal: signal.Signals = signal.SIGKILL


def as_account(account: Account | None) -> dict[str, int | list[int]]:
    """Return the arguments by which a subprocess runs as the account, none for our own."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": [account.gid]}


class Child:
    """A started server process."""

    def __init__(
        self, process: subprocess.Popen[bytes], watch: subprocess.Popen[bytes] | None
    ) -> None:
        """Hold the process and the shell that watches over it."""
        self._process = process
        self._watch = watch

    @classmethod
    def start(cls, launch: Launch, *, outlive: bool) -> Self:
        """Start it in a session of its own, so that a Ctrl-C in the terminal is not for it."""
        with launch.log.open("ab") as log:
            process = subprocess.Popen(
                launch.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=launch.environment,
                start_new_session=True,
                **as_account(launch.account),  # type: ignore[call-overload]  # keywords by name
            )
        return cls(process, None if outlive else watch_over(process.pid, launch.end_signal))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet; a stopped one runs."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        self._process.send_signal(number)

    def end(self, number: signal.Signals, *, patience_seconds: float) -> bool:
        """End it by the signal, or by SIGKILL when that takes too long; whether it was enough."""
        self.send(number)
        self.send(signal.SIGCONT)
        try:
            self._process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        finally:
            self._dismiss_watch()
        return True

    def _dismiss_watch(self) -> None:
        if self._watch is not None:
            with contextlib.suppress(OSError, ValueError):
                self._watch.communicate(b"done\n")
            self._watch = None


def watch_over(pid: int, end_signal: signal.Signals) -> subprocess.Popen[bytes]:
    """Start the shell that ends the process, or of a negative id the group, when we are gone."""
    number = end_signal.name.removeprefix("SIG")
    return subprocess.Popen(
        ["/bin/sh", "-c", WATCH, "sh", str(pid), number],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def await_ready(
    child: Child, ready: Callable[[], bool], *, log: Path, deadline_seconds: float
) -> None:
    """Wait until the server is ready; raise with the end of its log when it will not be."""
    deadline = time.monotonic() + deadline_seconds
    while not ready():
        if not child.running or time.monotonic() > deadline:
            state = "takes too long to start" if child.running else "ended while starting"
            child.end(signal.SIGKILL, patience_seconds=10)
            raise NotStarted(f"{log.stem} {state}; the end of {log}:\n{tail(log)}")
        time.sleep(POLL_SECONDS)


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def write_pid(path: Path, pid: int) -> None:
    """Leave the process id for a later command."""
    path.write_text(f"{pid}\n")


def find(pid_file: Path, mark: str) -> int | None:
    """Return the process id in the file, if that process lives and its command has the mark."""
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid if mark in command_of(pid) else None


def command_of(pid: int) -> str:
    """Return the command line of a process, empty when it cannot be seen."""
    proc = Path(f"/proc/{pid}/cmdline")
    with contextlib.suppress(OSError):
        return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    if SHOWS_PROCESSES:
        return ""
    listing = ["ps", "-ww", "-p", str(pid), "-o", "args="]
    return subprocess.run(listing, capture_output=True, text=True, check=False).stdout


def children_of(pid: int) -> list[int]:
    """Return the process ids of a process's children, none where the system does not say."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def await_end(pid: int, *, patience_seconds: float) -> bool:
    """Wait until a process that is not our child is gone; whether it went in time."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if SHOWS_PROCESSES and not command_of(pid):
            return True  # dead, and nobody there who would bury it, as in a container without init
        time.sleep(POLL_SECONDS)
    return False


def end_found(pid: int, number: signal.Signals, *, patience_seconds: float) -> None:
    """End a process that is not our child, by SIGKILL when it takes too long."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)
        if not await_end(pid, patience_seconds=patience_seconds):
            os.kill(pid, signal.SIGKILL)
