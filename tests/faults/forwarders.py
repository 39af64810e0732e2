"""Forwarders that come and die, and what the SIEMs that they serve hold at the end."""

import itertools
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg

from processor.local.child import watch_over
from processor.local.port import free_port
from processor.settings import Settings
from tests.integration import bus

PATIENCE_SECONDS = 20.0
FROZEN_SECONDS = 3.0
"""Longer than a lease."""


class Forwarder:
    """A place for forwarders, in which one process follows the other; each strikes itself."""

    def __init__(self, environment: dict[str, str], log: Path, seed: int) -> None:
        """Start the first."""
        self._environment, self.log, self._seed = environment, log, seed
        self._frozen_at: float | None = None
        self.kills = self.freezes = 0
        self.start()

    def start(self) -> None:
        """Start a process, which strikes elsewhere than the one before it."""
        self._seed += 1_000
        module = [sys.executable, "-m", "tests.faults.forwarder_with_failpoints", str(self._seed)]
        given = os.environ | self._environment | {"HUB_AUDIT_HTTP_PORT": str(free_port())}
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(module, env=given, stdout=output, stderr=output)
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


class Record(NamedTuple):
    """A record of a SIEM topic; ``kind`` is live, beat, test, or replay with its id."""

    kind: str
    seq: int | None
    previous: int
    through: int
    entry_id: str | None


def records(bootstrap: str, topic: str) -> Iterator[Record]:
    """Yield what a read_committed reader finds on a topic."""
    for each in bus.read(bootstrap, [topic]):
        headers = {name: value.decode() for name, value in bus.headers_of(each).items()}
        kind = "live"
        if "hub_replay" in headers:
            kind = f"replay {headers['hub_replay']}"
        elif "hub_test" in headers:
            kind = f"test {headers['hub_test']}"
        yield Record(
            kind,
            int(headers["hub_seq"]) if "hub_seq" in headers else None,
            int(headers["hub_previous_seq"]),
            int(headers["hub_through_seq"]),
            headers.get("hub_entry_id"),
        )


def faults_of(
    found: Sequence[Record], begun: int, wanted: Sequence[tuple[int, str]], head: int
) -> list[str]:
    """Return everything that is wrong with what a subscriber holds.

    ``wanted`` are the numbers and ids of the entries that its filter takes since it began.
    """
    wrong = []
    live = [each for each in found if each.kind == "live"]
    if [(each.seq, each.entry_id) for each in live if each.seq is not None] != list(wanted):
        wrong.append("live entries are not those wanted, once each, in their order")
    chain = [Record("begin", None, begun, begun, None), *live]
    wrong += [
        f"after {one.through} comes {other.previous}"
        for one, other in itertools.pairwise(chain)
        if other.previous != one.through or other.through < other.previous
    ]
    if chain[-1].through != head:
        wrong.append(f"the chain ends at {chain[-1].through}, not at {head}")
    ids = dict(wanted)
    for kind, several in _by_kind(found).items():
        if kind.startswith("test") and len(several) != 1:
            wrong.append(f"{kind} came {len(several)} times")
        if kind.startswith("replay"):
            wrong += _faults_of_replay(kind, several, ids)
    return wrong


def _faults_of_replay(kind: str, several: Sequence[Record], ids: dict[int, str]) -> Iterator[str]:
    """Yield what is wrong with one replay, which may have been given up for another."""
    for one, other in itertools.pairwise(several):
        if other.previous != one.through:
            yield f"{kind}: after {one.through} comes {other.previous}"
    again = [(each.seq, each.entry_id) for each in several if each.seq is not None]
    first, last = several[0].previous, several[-1].through
    if again != [(seq, ids[seq]) for seq in sorted(ids) if first < seq <= last]:
        yield f"{kind}: not what was delivered from {first} to {last}"


def _by_kind(found: Sequence[Record]) -> dict[str, list[Record]]:
    kinds = defaultdict(list)
    for each in found:
        kinds[each.kind].append(each)
    return kinds


def stored(dsn: str, org_id: str, action: str | None) -> list[tuple[int, str]]:
    """Return number and id of an organization's entries of an action, or of all."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT seq, entry_id::text FROM audit_entries"
            " WHERE org_id = %s AND (%s::text IS NULL OR action = %s) ORDER BY seq",
            [org_id, action, action],
        ).fetchall()
