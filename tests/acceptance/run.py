"""Every process under load, as an installer would run them, on servers of their own."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from processor.demo.feed import feed
from processor.demo.issuer import Issuer
from processor.local.child import Child, Launch, await_ready
from processor.local.kafka import Broker
from processor.local.port import free_port
from processor.local.postgres import Server
from tests.acceptance.site import OLIVIA, issuing

READY_SECONDS = 60.0
RATE = 300.0
ASK_SECONDS = 0.2


class Run(NamedTuple):
    """What runs: the environment of its processes, where each is scraped, and the servers."""

    directory: Path
    environment: Mapping[str, str]
    targets: dict[str, list[str]]
    issuer: Issuer
    server: Server

    @contextmanager
    def process(self, name: str) -> Iterator[str]:
        """Run one process for the length of a block; gives the address of its metrics."""
        port = free_port()
        variable = "HUB_AUDIT_SERVE_PORT" if name == "serve" else "HUB_AUDIT_HTTP_PORT"
        log = self.directory / f"{name}-{port}.log"
        launch = Launch(
            [hub_audit(), name],
            log,
            {**self.environment, variable: str(port)},
            None,
            signal.SIGTERM,
        )
        child = Child.start(launch, outlive=False)
        try:
            await_ready(child, lambda: _ready(port), log=log, deadline_seconds=READY_SECONDS)
            yield f"127.0.0.1:{port}"
        finally:
            child.end(signal.SIGTERM, patience_seconds=20)

    def command(self, *arguments: str) -> str:
        """Run a command to its end and return what it says; fail where it fails."""
        done = subprocess.run(
            [hub_audit(), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def everything(directory: Path) -> Iterator[Run]:
    """Run Kafka, Postgres and every process."""
    broker, server = Broker(directory / "kafka"), Server(directory / "postgres")
    with ExitStack() as stack:
        broker.start()
        stack.callback(broker.kill)
        server.start()
        stack.callback(server.crash)
        issuer = stack.enter_context(issuing())
        given = {
            "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "HUB_AUDIT_POSTGRES_DSN": server.dsn("postgres"),
            "HUB_AUDIT_MAINTAIN_INTERVAL_SECONDS": "2",
        }
        run = Run(directory, os.environ | given | issuer.settings(), {}, issuer, server)
        run.command("migrate")
        run.command("topics", "create")
        for name in ("process", "serve", "forward", "maintain", "defend"):
            run.targets[name] = [stack.enter_context(run.process(name))]
        run.command("subscriptions", "create", "acme", "hub")
        yield run
        for log in sorted(directory.glob("*.log")):
            print(log.name, log.read_text(errors="replace")[-1500:], sep="\n")


@contextmanager
def load(run: Run) -> Iterator[None]:
    """Publish events of every kind, read and export, for the length of a block."""
    loop, stop = asyncio.new_event_loop(), threading.Event()

    async def both() -> None:
        """Publish until told to stop, while somebody reads."""
        bootstrap = run.environment["HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS"]
        publishing = asyncio.create_task(feed(bootstrap, rate=RATE, seed=1))
        headers = {"Authorization": f"Bearer {run.issuer.token(OLIVIA)}"}
        url = f"http://{run.targets['serve'][0]}"
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20) as client:
            while not stop.is_set():
                for path in ("/v1/audit-entries", "/v1/audit-entries.csv", "/log", "/nowhere"):
                    await client.get(path)
                await asyncio.sleep(ASK_SECONDS)
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(both(),), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        loop.close()


def hub_audit() -> str:
    """Return the command beside this Python."""
    return str(Path(sys.executable).with_name("hub-audit"))


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def clock() -> float:
    """Return the time as Prometheus has it."""
    return time.time()
