"""``hub-audit demo``: the whole write path on this machine, with live traffic, in one terminal."""

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler

from processor.demo.attacks import attacks
from processor.demo.feed import feed
from processor.demo.issuer import Issuer
from processor.demo.scene import Scene
from processor.demo.screen import Screen
from processor.demo.seed import seed
from processor.demo.siem import subscribe_siem
from processor.demo.watch import LOOK_SECONDS, look, outlast, subscribe
from processor.local.child import Child, Launch, NotStarted, await_ready, tail
from processor.local.port import bindable, free_port
from processor.local.postgres import find_binaries
from processor.local.stack import Addresses, running
from processor.settings import Settings

DIRECTORY = Path(".local")
TAILED = "hub.auth.login_failed"
HTTP_PORT, PAGE_PORT, ISSUER_PORT = 9464, 8080, 8081
COMMANDS = ("process", "maintain", "forward", "defend", "serve")
LOGS = {"process": "processor"}
LINE_SECONDS = 2.0
STOP_SECONDS = 20.0
DRAIN_LOOKS = 4
# A group whose last member was killed takes the session time-out to let the next one in.
READY_SECONDS = 45.0
BEGAN, BEGUN = "DEMO_BEGAN", time.time()
MAINTAIN_REST = 6.0
"""Ninety days wait to be sealed, and whoever watches wants to see what happens now."""


class Wish(NamedTuple):
    """What the user asked the demo for; no ``seconds`` is until Ctrl-C."""

    rate: float
    seconds: float | None
    seed: int


def run_demo(*, rate: float = 300.0, seconds: float | None = None, seed: int = 1) -> int:
    """Show everything live until Ctrl-C, then end all that was started; return the exit code."""
    console = Console(highlight=False)
    announce(console)
    # For the logs: servers that ran before have no need of it.
    DIRECTORY.mkdir(exist_ok=True)
    # Another terminal's Ctrl-C or a supervisor's TERM may come before the view is there.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with running(DIRECTORY) as addresses, processes(console, addresses) as started:
            return asyncio.run(show(console, addresses, started, Wish(rate, seconds, seed)))
    except KeyboardInterrupt:
        return 0
    except NotStarted as problem:
        console.print(str(problem), style="red", markup=False)
        return 1


def announce(console: Console) -> None:
    """Let the local servers say what they are doing; it can take some seconds."""
    steps = logging.getLogger("processor.local")
    steps.setLevel(logging.INFO)
    steps.addHandler(
        RichHandler(
            console=console,
            show_time=False,
            show_level=False,
            show_path=False,
            highlighter=NullHighlighter(),
        )
    )


class Process(NamedTuple):
    """A process that the demo started, and where it is seen."""

    child: Child
    log: Path
    port: int


class Started(NamedTuple):
    """Everything that runs: the processor, the page with its issuer, and the rest."""

    processor: Process
    page: Process
    others: list[Process]
    issuer: Issuer


@contextmanager
def processes(console: Console, addresses: Addresses) -> Iterator[Started]:
    """Prepare tables, topics and a past, and run every process, as anybody would."""
    issuer = Issuer(f"http://127.0.0.1:{free(ISSUER_PORT)}")
    page = free(PAGE_PORT)
    environment = os.environ | addresses.environment() | issuer.settings()
    environment["HUB_AUDIT_SERVE_PORT"] = str(page)
    environment["HUB_AUDIT_MAINTAIN_REST"] = str(MAINTAIN_REST)
    environment["HUB_AUDIT_SERVE_PUBLIC_URL"] = f"http://127.0.0.1:{page}"
    for arguments in (["migrate"], ["topics", "create"]):
        console.print(f"$ hub-audit {' '.join(arguments)}", style="dim")
        command(arguments, environment)
    with ExitStack() as stack:
        # What is past is loaded while the processes start.
        loader = stack.enter_context(ThreadPoolExecutor(1))
        settings = Settings.load(env=environment)
        seeding = loader.submit(asyncio.run, seed(settings))
        subscribing = loader.submit(asyncio.run, subscribe_siem(settings))
        for name in COMMANDS:
            console.print(f"$ hub-audit {name}", style="dim")
        port = free(HTTP_PORT)
        processor = stack.enter_context(running_command("process", environment, port))
        shown = stack.enter_context(running_command("serve", environment, page))
        if loaded := seeding.result():
            console.print(
                f"{loaded:,} entries of the last 90 days loaded: acme and globex", style="dim"
            )
        others = [
            stack.enter_context(running_command(name, environment, free_port(), patient=False))
            for name in ("maintain", "forward", "defend")
        ]
        console.print(f"page ready after {time.time() - begun_at():.1f} s")
        console.print(f"\n  http://127.0.0.1:{page}/log\n", style="bold", highlight=False)
        console.print(
            "  Olivia Owner sees the log of acme, Gus Owner that of globex; Mia Member is"
        )
        console.print("  told whom to ask. Nobody has a password here.\n")
        console.print(f"  http://127.0.0.1:{page}/defend\n", style="bold", highlight=False)
        console.print("  Attacks on acme: found in its past and, every two minutes, live.\n")
        subscribing.result()
        yield Started(processor, shown, others, issuer)


def begun_at() -> float:
    """Return when it began, in UNIX seconds: ``make demo`` says so, for what it did before."""
    return float(os.environ.get(BEGAN) or BEGUN)


def free(port: int) -> int:
    """Return the usual port, or another one when it is taken."""
    return port if bindable(port) else free_port()


@contextmanager
def running_command(
    name: str, environment: Mapping[str, str], port: int, *, patient: bool = True
) -> Iterator[Process]:
    """Run a command for the length of a block; it is ready when its health says so."""
    log = DIRECTORY.resolve() / f"{LOGS.get(name, name)}.log"
    given = {**environment, "HUB_AUDIT_HTTP_PORT": str(port)}
    launch = Launch([hub_audit(), name], log, given, end_signal=signal.SIGTERM)
    child = Child.start(launch, outlive=False)
    try:
        if patient:
            await_ready(child, lambda: ready(port), log=log, deadline_seconds=READY_SECONDS)
        yield Process(child, log, port)
    finally:
        child.end(signal.SIGTERM, patience_seconds=STOP_SECONDS)


def ready(port: int) -> bool:
    """Return whether the processor says that it works."""
    try:
        with closing(HTTPConnection("127.0.0.1", port, timeout=1)) as asking:
            asking.request("GET", "/readyz")
            return asking.getresponse().status == HTTPStatus.OK
    except OSError:
        return False


def command(arguments: list[str], environment: Mapping[str, str]) -> None:
    """Run a command of ours; raise with what it said when it fails."""
    done = subprocess.run(
        [hub_audit(), *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode != 0:
        said = f"{done.stdout}{done.stderr}"
        raise NotStarted(f"hub-audit {' '.join(arguments)} failed:\n{said}")


def hub_audit() -> str:
    """Return the command beside this Python, else the one on the path."""
    beside = Path(sys.executable).with_name("hub-audit")
    return str(beside) if beside.exists() else shutil.which("hub-audit") or "hub-audit"


async def show(console: Console, addresses: Addresses, started: Started, wish: Wish) -> int:
    """Feed and watch until the end is asked for or the processor ends by itself."""
    process, scene = started.processor, Scene(TAILED)
    screen = Screen(console, scene, hints(started))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with started.issuer.serving(), asyncio.TaskGroup() as group:
        bus = addresses.bootstrap_servers
        fed = partial(feed, bus, rate=wish.rate, seed=wish.seed)
        feeding = group.create_task(outlast(fed))
        tasks = [
            group.create_task(outlast(partial(subscribe, bus, scene))),
            group.create_task(look(bus, addresses.dsn, scene)),
            group.create_task(present(console, screen)),
        ]
        attacking = group.create_task(outlast(partial(attacks, bus, seed=wish.seed)))
        await ended(stop, process, wish.seconds)
        feeding.cancel()
        attacking.cancel()
        await drained(scene)
        for task in tasks:
            task.cancel()
    console.print(screen.line(), soft_wrap=True)
    if process.child.running:
        console.print(f"ending what was started; the data stay in {DIRECTORY}")
        return 0
    console.print(f"the processor ended by itself:\n{tail(process.log)}", markup=False)
    return 1


async def ended(stop: asyncio.Event, process: Process, seconds: float | None) -> None:
    """Wait until the end is asked for, the time is over, or the processor is gone."""
    clock = asyncio.get_running_loop().time
    deadline = None if seconds is None else clock() + seconds
    while process.child.running and (deadline is None or clock() < deadline):
        try:
            async with asyncio.timeout(0.2):
                await stop.wait()
        except TimeoutError:
            continue
        return


async def drained(scene: Scene) -> None:
    """Give the processor a moment for what was published last, so that the books end at no lag."""
    for _ in range(DRAIN_LOOKS):
        # Two looks: what the first sees may be older than the last record that was published.
        await asyncio.sleep(2 * LOOK_SECONDS)
        if not scene.lag_records:
            return


async def present(console: Console, screen: Screen) -> None:
    """Draw the live picture in a terminal, else print a line now and then, until cancelled."""
    if not console.is_terminal:
        while True:
            await asyncio.sleep(LINE_SECONDS)
            console.print(screen.line(), soft_wrap=True)
    with screen.live():
        await asyncio.Event().wait()


def hints(started: Started) -> list[tuple[str, str]]:
    """Return where to look next, as addresses and commands to paste."""
    psql = "psql" if shutil.which("psql") else str(find_binaries() / "psql")
    process, page = started.processor, f"http://127.0.0.1:{started.page.port}"
    return [
        ("the page", f"{page}/log   log in as Olivia Owner; Mia Member is refused"),
        ("defend", f"{page}/defend   an attack on acme is played every two minutes"),
        ("settings", f". {DIRECTORY / 'env'}"),
        ("entries", f"{psql} $HUB_AUDIT_POSTGRES_DSN -xc 'TABLE audit_entries LIMIT 3'"),
        ("the books", f"{psql} $HUB_AUDIT_POSTGRES_DSN -c 'TABLE books'"),
        ("search", f"{nearby(hub_audit())} search --org acme outcome:failure created:7d"),
        ("export", f"{nearby(hub_audit())} export --org acme -o acme.csv.gz created:30d"),
        ("its SIEM", f"{nearby(hub_audit())} subscriptions tail acme ocsf"),
        ("dead letters", f"{nearby(hub_audit())} dead-letters list"),
        ("metrics", f"curl http://127.0.0.1:{process.port}/metrics"),
        ("log", f"tail -f {nearby(process.log)}"),
    ]


def nearby(path: str | Path) -> str:
    """Return a path as one types it here."""
    absolute = Path(path).absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
