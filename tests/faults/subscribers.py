"""The subscribers of a full run: forwarders with SIEM subscriptions, and Defend."""

import asyncio
import json
import struct
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row

from processor.local.port import free_port
from processor.store import subscriptions as store
from processor.store.pool import FORWARDER, Database
from tests.faults import findings, offsets, reader, siem, undisturbed
from tests.faults.catalog import home_lane, murmur2
from tests.faults.harness import Stage, Worker, until
from tests.faults.world import Finding, Findings, Place, Siem, World
from tests.integration import bus

FINDINGS = "hub.defend.findings"
RECOVERY_SECONDS_MAX = 120.0
REST_SECONDS = 300.0
SETTINGS = {
    "HUB_AUDIT_FORWARD_LEASE_SECONDS": "2",
    "HUB_AUDIT_FORWARD_HEARTBEAT_SECONDS": "3",
    "HUB_AUDIT_KAFKA_SESSION_TIMEOUT_MS": "6000",
}
"""A Defend that catches up, one of nine processes on two cores, comes too late with heartbeats for
the workers' session of 2 s: all partitions move, again and again.
"""

PLANNED: tuple[tuple[float, int, str, Mapping[str, Any]], ...] = (
    (0.0, 0, "hub", {"severity_min": 7}),
    (0.0, 9, "hub", {}),
    (0.0, 12, "cef", {}),
    (0.0, 16, "ocsf", {}),
    (0.0, 20, "ecs", {}),
    (0.0, 20, "cef", {"categories": ["users", "roles"], "outcomes": ["success"]}),
    (0.0, 30, "hub", {"actions": ["auth.login_failed"]}),
    (0.5, 14, "hub", {}),
)
"""From which share of the faults on which organization is subscribed to what.

Few records in all, as they are kept until they are judged: of the largest organization only what
is worst.
"""

SHARDS = 8
SUBSCRIBE = """
INSERT INTO subscriptions (org_id, format, shard, filter, forwarded_through, told_through)
SELECT %s, %s, %s, %s, h.seq, h.seq
FROM (SELECT coalesce((SELECT last_seq FROM org_heads WHERE org_id = %s), 0) AS seq) AS h
RETURNING forwarded_through
"""
"""As the product does it, but with an answer: what was there before is not the subscriber's."""

PAUSED = 12, "cef"
REPLAYED, REPLAYED_MAX = (9, "hub"), 200
NOT_NOW = (psycopg.Error, OSError, TimeoutError, struct.error)
"""What a question to a stack under faults may end in; it is asked again."""


class Moment(NamedTuple):
    """Where the subscribers stood at the end of a fault, and what there was for them."""

    forwarded: dict[str, tuple[int, int]]
    judged: dict[Place, int]
    published: dict[Place, int]


class Crew:
    """Processes of one command, of which so many are to be alive."""

    def __init__(self, stage: Stage, command: str, count: int) -> None:
        """Prepare them; ``start`` starts them."""
        self._stage, self._command, self._count = stage, command, count
        self._started = 0
        self.members: list[Worker] = []
        self.restarted = 0

    def start(self) -> None:
        """Start as many as there are to be."""
        while len(self.members) < self._count:
            log = self._stage.directory / f"{self._command}-{self._started}.log"
            self.members.append(Worker(self.environment(), log, self._command))
            self._started += 1

    def environment(self) -> dict[str, str]:
        """Return what one of them is started with."""
        own = SETTINGS | {"HUB_AUDIT_HTTP_PORT": str(free_port())}
        return self._stage.environment() | own

    def tend(self) -> None:
        """Start what has ended by itself, as every supervisor does."""
        ended = [each for each in self.members if not each.running]
        self.restarted += len(ended)
        for each in ended:
            self.members.remove(each)
        self.start()

    def kill(self, victims: list[Worker] | None = None) -> None:
        """End some as ``kill -9`` does, or all; ``start`` has others follow."""
        for each in list(self.members) if victims is None else victims:
            each.kill()
            self.members.remove(each)


@dataclass
class Subscribers:
    """Two crews, and what they serve."""

    stage: Stage
    count: int = 2
    siems: list[Siem] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Prepare the crews."""
        self.forwarders = Crew(self.stage, "forward", self.count)
        self.defenders = Crew(self.stage, "defend", self.count)
        self._left = list(PLANNED)
        self._read = [
            (self.stage.prefix + name, lane)
            for name in undisturbed.READ
            for lane in range(self.stage.lanes)
        ]
        self._orders: list[tuple[float, Callable[[], None]]] = [
            (0.3, lambda: self._pause(True)),
            (0.6, lambda: self._pause(False)),
            (0.7, self._replay),
            (0.8, self._test),
        ]

    def start(self) -> None:
        """Subscribe, and start everything."""
        self.order(0.0)
        self.tend()

    def tend(self) -> None:
        """Have all crews be complete."""
        self.forwarders.tend()
        self.defenders.tend()

    def kill(self) -> None:
        """End all."""
        self.forwarders.kill()
        self.defenders.kill()

    @property
    def restarted(self) -> int:
        """How many have ended by themselves."""
        return self.forwarders.restarted + self.defenders.restarted

    # --- orders ------------------------------------------------------------------------------

    def order(self, share: float) -> None:
        """Carry out what is planned for this share of the faults, as owners would order it."""
        while self._left and self._left[0][0] <= share:
            _, number, form, wanted = self._left.pop(0)
            self._subscribe(self._org(number), form, wanted)
        while self._orders and self._orders[0][0] <= share:
            self._orders.pop(0)[1]()

    def _subscribe(self, org: str, form: Any, wanted: Mapping[str, Any]) -> None:
        bus.create(self.stage.bootstrap, [self._topic(org, form)], 1)
        shard, text = murmur2(org.encode()) % SHARDS, json.dumps(wanted)
        ((begun,),) = self.stage.sql(SUBSCRIBE, org, form, shard, text, org)
        self.siems.append(Siem(org, form, begun, wanted))

    def _pause(self, paused: bool) -> None:
        org, form = self._org(PAUSED[0]), PAUSED[1]
        self._done(lambda db: store.set_paused(db, org, form, paused=paused))

    def _replay(self) -> None:
        """Order again what a subscription was told of last."""
        org, form = self._org(REPLAYED[0]), REPLAYED[1]
        (each,) = (one for one in self.siems if (one.org, one.format) == (org, form))
        (row,) = self.stage.sql(
            "SELECT forwarded_through FROM subscriptions WHERE org_id = %s AND format = %s",
            org,
            form,
        )
        after = max(each.begun, row[0] - REPLAYED_MAX)
        if after < row[0]:
            through = self._done(lambda db: store.order_replay(db, org, form, after, None))
            each.replays.append((after, through))

    def _test(self) -> None:
        org, form = self._org(REPLAYED[0]), REPLAYED[1]
        self._done(lambda db: store.order_test(db, org, form))

    def _done(self, what: Callable[[Database], Coroutine[Any, Any, Any]]) -> Any:
        async def do() -> Any:
            db = await Database.open(self.stage.dsn, role=FORWARDER, connections=1)
            try:
                return await what(db)
            finally:
                await db.close()

        return asyncio.run(do())

    def _org(self, number: int) -> str:
        return f"org_{self.stage.seed}-{number}"

    def _topic(self, org: str, form: str) -> str:
        return f"{self.stage.prefix}siem.{org}.{form}"

    # --- recovery ----------------------------------------------------------------------------

    def recovery(self) -> dict[str, float]:
        """Return how long it takes each crew until all it serves goes on, or has nothing to do.

        After ``RECOVERY_SECONDS_MAX`` it is given up: that is a figure like any other.
        """
        began = time.monotonic()
        found: dict[str, float] = {}
        before: Moment | None = None
        last_of: dict[str, Callable[[Moment, Moment], bool]] = {
            "forwarders": forwarders_moved,
            "Defend": defend_moved,
        }

        def moved() -> bool:
            nonlocal before
            self.tend()
            try:
                now = self._moment()
            except NOT_NOW:
                return False
            before = before or now
            for crew, has_moved in last_of.items():
                if crew not in found and has_moved(before, now):
                    found[crew] = time.monotonic() - began
            return len(found) == len(last_of)

        with suppress(TimeoutError):
            until(moved, "every subscriber goes on", RECOVERY_SECONDS_MAX)
        return {crew: found.get(crew, RECOVERY_SECONDS_MAX) for crew in last_of}

    def _moment(self) -> Moment:
        rows = self.stage.sql(
            "SELECT s.id::text, s.forwarded_through, coalesce(h.last_seq, 0)"
            " FROM subscriptions AS s LEFT JOIN org_heads AS h USING (org_id) WHERE NOT s.paused"
        )
        group = f"{self.stage.group}.defend"
        committed = offsets.committed(self.stage.bootstrap, group, self._read)
        return Moment(
            {name: (through, last) for name, through, last in rows},
            {place: offset for place, (offset, _) in committed.items()},
            {
                place: end
                for place, end in self.stage.live.ends.copy().items()
                if place in committed
            },
        )

    # --- what they have come to --------------------------------------------------------------

    def rest(self, canonical: Mapping[Place, int]) -> None:
        """Wait until there is nothing left to do; what is missing then is for the oracle to say.

        ``canonical`` is where the canonical topics end.
        """
        self._pause(False)

        def done() -> bool:
            self.tend()
            try:
                return self._told_all() and self._judged_all(canonical)
            except NOT_NOW:
                return False

        with suppress(TimeoutError):
            until(done, "the subscribers at their ends", REST_SECONDS)

    def _told_all(self) -> bool:
        behind = self.stage.sql(
            "SELECT FROM subscriptions AS s LEFT JOIN org_heads AS h USING (org_id)"
            " WHERE least(s.forwarded_through, s.told_through) < coalesce(h.last_seq, 0)"
            " OR s.replay_id IS NOT NULL OR s.test_id IS NOT NULL"
        )
        return not behind

    def _judged_all(self, canonical: Mapping[Place, int]) -> bool:
        committed = self._moment().judged
        if any(committed[place] < canonical.get(place, -1) for place in self._read):
            return False
        return not self.stage.sql("SELECT FROM findings WHERE published_version < version")

    def observe(self, world: World) -> None:
        """Let all come to their ends, and note what they were told and have found."""
        ends: dict[Place, int] = {}
        for record in world.canonical:
            ends[record.spot[:2]] = max(ends.get(record.spot[:2], 0), record.offset + 1)
        self.rest(ends)
        for each in self.siems:
            topic = self._topic(each.org, each.format)
            each.told = list(siem.told(self.stage.bootstrap, topic, each.format))
            each.open = self._open_orders(each)
        world.siems = self.siems
        due = undisturbed.findings(world.canonical)
        told, torn = self._told_findings()
        world.findings = Findings(due, self._stored_findings(), told, torn)

    def _open_orders(self, each: Siem) -> list[str]:
        rows = self.stage.sql(
            "SELECT 'replay ' || replay_id, 'test ' || test_id FROM subscriptions"
            " WHERE org_id = %s AND format = %s",
            *(each.org, each.format),
        )
        return [order for row in rows for order in row if order is not None]

    def _stored_findings(self) -> list[Finding]:
        with psycopg.connect(self.stage.dsn, row_factory=dict_row) as db:
            return [findings.of_row(row) for row in db.execute("SELECT * FROM findings")]

    def _told_findings(self) -> tuple[list[Finding], list[str]]:
        """Return the highest version of each finding, and versions that were told in two ways."""
        latest: dict[str, Finding] = {}
        told: dict[tuple[str, int], int] = {}
        torn = []
        topic = self.stage.prefix + FINDINGS
        places = [(topic, lane) for lane in range(self.stage.lanes)]
        for record in reader.each(self.stage.bootstrap, places):
            found = findings.of_document(json.loads(record.value or b""))
            content = siem.digest(record.value or b"")
            if told.setdefault((found.finding_id, found.version), content) != content:
                torn.append(f"version {found.version} of {found.key} in two ways")
            if record.partition != home_lane(found.org, self.stage.lanes):
                torn.append(f"{found.key} on partition {record.partition}")
            before = latest.get(found.finding_id)
            if before is None or before.version < found.version:
                latest[found.finding_id] = found
        return list(latest.values()), torn


def forwarders_moved(before: Moment, now: Moment) -> bool:
    """Tell whether every subscription has gone on, or has all that there was."""
    return all(
        name not in now.forwarded or now.forwarded[name][0] >= min(through + 1, last)
        for name, (through, last) in before.forwarded.items()
    )


def defend_moved(before: Moment, now: Moment) -> bool:
    """Tell whether every partition has gone on, or is judged to where it ended."""
    lanes = {partition for _, partition in before.judged}
    moved = {place[1] for place in now.judged if now.judged[place] > before.judged[place]}
    behind = {place[1] for place, end in before.published.items() if now.judged[place] < end}
    return not (lanes - moved) & behind
