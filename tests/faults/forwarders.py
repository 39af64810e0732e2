"""Forwarders that come and die, each by its own hand."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from processor.local.child import watch_over
from processor.local.port import free_port
from processor.settings import Settings

PATIENCE_SECONDS = 20.0
FROZEN_SECONDS = 3.0
"""Longer than a lease."""

CALM = [str(Path(sys.executable).with_name("hub-audit")), "forward"]


class Forwarder:
    """A place for forwarders, in which one process follows the other; each strikes itself."""

    def __init__(self, environment: dict[str, str], log: Path, seed: int) -> None:
        """Start the first."""
        self._environment, self.log, self._seed = environment, log, seed
        self._frozen_at: float | None = None
        self.kills = self.freezes = 0
        self._calm = False
        self.start()

    def calm_down(self) -> None:
        """Have no process that is started from now on strike; the present one still may."""
        self._calm = True

    def start(self) -> None:
        """Start a process, which strikes elsewhere than the one before it."""
        self._seed += 1_000
        risky = [sys.executable, "-m", "tests.faults.forwarder_with_failpoints", str(self._seed)]
        given = os.environ | self._environment | {"HUB_AUDIT_HTTP_PORT": str(free_port())}
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                CALM if self._calm else risky, env=given, stdout=output, stderr=output
            )
        self._watch = watch_over(self._process.pid, signal.SIGKILL)

    def tend(self, now: float) -> None:
        """Replace the process that killed itself; wake the one that slept longer than a lease."""
        if (code := self._process.poll()) is not None:
            assert code == -signal.SIGKILL, self.log.read_text()[-3_000:]
            self.kills += 1
            self._done_with()
            self.start()
        elif not self._sleeps():
            self._frozen_at = None
        elif self._frozen_at is None:
            self._frozen_at = now
            self.freezes += 1
        elif now - self._frozen_at > FROZEN_SECONDS:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as ``kill -9`` does, frozen or not."""
        self._process.kill()
        self._process.wait(PATIENCE_SECONDS)
        self._done_with()

    def _sleeps(self) -> bool:
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        return stat.rsplit(")", 1)[1].split()[0] == "T"

    def _done_with(self) -> None:
        if self._watch.poll() is None:
            self._watch.communicate(b"done\n")


def environment_of(settings: Settings) -> dict[str, str]:
    """Return what a forwarder of these settings is started with: short leases, quick heartbeats."""
    return {
        "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "HUB_AUDIT_KAFKA_TOPIC_PREFIX": settings.kafka.topic_prefix,
        "HUB_AUDIT_KAFKA_TRANSACTION_TIMEOUT_MS": "4000",
        "HUB_AUDIT_GROUP": settings.group,
        "HUB_AUDIT_POSTGRES_DSN": settings.postgres.dsn.get_secret_value(),
        "HUB_AUDIT_FORWARD_LEASE_SECONDS": "2",
        "HUB_AUDIT_FORWARD_HEARTBEAT_SECONDS": "1",
    }
