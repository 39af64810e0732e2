"""The faults of the matrix: each does its harm, mends it, and returns.

``BLOWS`` says for each its rows of the matrix and how many of it a full run has.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from tests.faults.blows_subscribers import (
    defenders,
    drained,
    forwarders,
    frozen,
    killed,
    killed_at_a_step,
)
from tests.faults.field import Field, freeze, thaw
from tests.faults.harness import until
from tests.faults.points import IN_A_BATCH
from tests.integration.kafka_proxy import Api, Deed, always_pass
from tests.integration.toxic import Toxic

POINTS = (*IN_A_BATCH, "after_fencing", "after_take_over")
POINT_SECONDS_MAX = 30.0
HELD_SECONDS_MAX = 20.0
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
BACKENDS = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'hub-audit' AND {}
"""


class Blow(NamedTuple):
    """A kind of fault."""

    rows: str
    times: int
    strike: Callable[[Field], None]


# --- workers ---------------------------------------------------------------------------------


def kill(here: Field) -> None:
    """Kill -9 of a worker."""
    victim = here.one()
    victim.kill()
    here.replace(victim)


def kill_at_a_point(here: Field) -> None:
    """A worker that kills itself at a named moment of its protocol."""
    armed = here.stage.start(here.rng.choice(POINTS), passes=here.rng.randint(1, 4))
    try:
        until(lambda: not armed.running, "the moment comes", POINT_SECONDS_MAX)
    except TimeoutError:
        armed.kill()


def drain(here: Field) -> None:
    """SIGTERM to a worker, which ends by itself."""
    victim = here.one()
    code, seconds = victim.drain()
    here.replace(victim)
    assert code == 0, victim.said()[-2000:]
    assert seconds < 15, f"a drain took {seconds:.1f} s"


def freeze_a_worker(here: Field) -> None:
    """A worker frozen for less or more than its session, and woken."""
    victim = here.one()
    freeze(victim.process.pid)
    time.sleep(here.rng.choice((0.5, 1.5, 4.0, 8.0)))
    thaw(victim.process.pid)


def rebalance_storm(here: Field) -> None:
    """Workers that come and go within seconds."""
    for _ in range(3):
        victim = here.workers[0]
        victim.send(signal.SIGTERM)
        here.workers.remove(victim)
        here.workers.append(here.stage.start())
        time.sleep(here.rng.uniform(0.5, 2.0))


def wrong_clock(here: Field) -> None:
    """A worker whose clock is more than a day off joins and leaves again."""
    kept = dict(here.stage.settings)
    offset = here.rng.choice(("+26h", "-26h", "-3d"))
    here.stage.settings |= {
        "LD_PRELOAD": FAKETIME,
        "FAKETIME": offset,
        "DONT_FAKE_MONOTONIC": "1",
    }
    try:
        worker = here.stage.start()
    finally:
        here.stage.settings.clear()
        here.stage.settings.update(kept)
    with suppress(TimeoutError):
        until(lambda: "lane_taken_over" in worker.said() or not worker.running, "it works", 20)
    time.sleep(2)
    worker.kill()


# --- the bus ---------------------------------------------------------------------------------


def kill_the_bus(here: Field) -> None:
    """Kill -9 of the broker, and its restart."""
    here.broker.kill()
    here.broker.start()


def freeze_the_bus(here: Field) -> None:
    """A broker that stands still."""
    here.broker.pause()
    time.sleep(here.rng.choice((2.0, 5.0, 12.0)))
    here.broker.resume()


def cut_the_bus(here: Field) -> None:
    """Every connection to the bus broken."""
    here.wires.cut(here.wires.bus)


@contextmanager
def _poisoned(toxic: Toxic, **how: Any) -> Iterator[None]:
    for name, value in how.items():
        setattr(toxic, name, value)
    try:
        yield
    finally:
        toxic.heal()


def _for_a_while(toxic: str, seconds: tuple[float, ...], **how: Any) -> Callable[[Field], None]:
    def strike(here: Field) -> None:
        """Poison a way for some seconds."""
        with _poisoned(getattr(here.wires, toxic).toxic, **how):
            time.sleep(here.rng.choice(seconds))

    return strike


def _hold_a_request(api: Api) -> Callable[[Field], None]:
    def strike(here: Field) -> None:
        """Hold a request back until later transactions are on their way, and deliver it then."""
        bus, held = here.wires.bus, False

        def on_request(key: int, _count: int) -> Deed | bytes:
            nonlocal held
            if key != api or held:
                return Deed.PASS
            held = True
            return Deed.HOLD

        bus.on_request = on_request
        try:
            with suppress(TimeoutError):
                until(lambda: held, "a request to hold", HELD_SECONDS_MAX)
            seen = bus.seen[api]
            with suppress(TimeoutError):
                more = here.rng.randint(4, 40)
                until(lambda: bus.seen[api] > seen + more, "later ones", HELD_SECONDS_MAX)
        finally:
            bus.on_request = always_pass
            here.wires.run(bus.deliver_held())

    return strike


def commit_unanswered(here: Field) -> None:
    """The answer to a transaction's end never arrives."""
    bus, dropped = here.wires.bus, False

    def on_answer(key: int, _count: int) -> Deed | bytes:
        nonlocal dropped
        if key != Api.END_TXN or dropped:
            return Deed.PASS
        dropped = True
        return Deed.HOLD

    bus.on_answer = on_answer
    try:
        with suppress(TimeoutError):
            until(lambda: dropped, "an answer to drop", HELD_SECONDS_MAX)
        time.sleep(0.5)
    finally:
        bus.on_answer = always_pass


# --- the store -------------------------------------------------------------------------------


def kill_the_store(here: Field) -> None:
    """Kill -9 of every process of Postgres, and its restart."""
    here.server.crash()
    here.server.start()


def cut_the_store(here: Field) -> None:
    """Every connection to the store broken."""
    here.wires.cut(here.wires.store)


def end_backends(here: Field) -> None:
    """The workers' backends ended, whatever they are at."""
    here.stage.sql(sql.SQL(BACKENDS).format(sql.SQL("true")))


def commits_of_unknown_outcome(here: Field) -> None:
    """Commits that take effect and whose backends end before they can say so."""
    waiting = sql.SQL(BACKENDS).format(sql.SQL("wait_event = 'SyncRep'"))
    _set(here, "synchronous_standby_names", "nobody")
    try:
        with suppress(TimeoutError):
            until(lambda: bool(_as_local(here, waiting)), "a commit that hangs", 20)
    finally:
        _set(here, "synchronous_standby_names", "")


def _set(here: Field, name: str, value: str) -> None:
    change = sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
    _as_local(here, change)
    _as_local(here, sql.SQL("SELECT pg_reload_conf()"))


def _as_local(here: Field, query: sql.SQL | sql.Composed) -> list[Any]:
    with psycopg.connect(here.stage.dsn, autocommit=True) as db:
        db.execute("SET synchronous_commit = local")
        answer = db.execute(query)
        return answer.fetchall() if answer.description else []


def lock_the_heads(here: Field) -> None:
    """Somebody locks the organizations' heads for some seconds."""
    with psycopg.connect(here.stage.dsn) as db:
        db.execute("LOCK TABLE org_heads")
        time.sleep(here.rng.choice((3.0, 6.0)))


def take_all_connections(here: Field) -> None:
    """Nobody gets a connection to the store, and those there were are gone."""
    taken: list[psycopg.Connection[Any]] = []
    try:
        end_backends(here)
        for _ in range(200):
            try:
                taken.append(psycopg.connect(here.stage.dsn))
            except psycopg.OperationalError:
                break
        time.sleep(4.0)
    finally:
        for connection in taken:
            connection.close()


def checkpoint_storm(here: Field) -> None:
    """Checkpoints one after the other."""
    for _ in range(8):
        _as_local(here, sql.SQL("CHECKPOINT"))


# --- everything ------------------------------------------------------------------------------


def restart_everything(here: Field) -> None:
    """Processes, bus and store killed in random order, and started in another."""
    ends = [here.broker.kill, here.server.crash, *(worker.kill for worker in here.workers)]
    ends.append(here.subscribers.kill)
    here.rng.shuffle(ends)
    for end in ends:
        end()
    starts = [here.broker.start, here.server.start]
    here.rng.shuffle(starts)
    for start in starts:
        start()
    here.tend()
    here.subscribers.tend()


BLOWS: dict[str, Blow] = {
    "kill -9 of a worker": Blow("F1", 26, kill),
    "kill -9 at a named moment": Blow("F2", 22, kill_at_a_point),
    "SIGTERM of a worker": Blow("F3", 10, drain),
    "worker frozen": Blow("F4", 16, freeze_a_worker),
    "broker killed": Blow("F5", 6, kill_the_bus),
    "broker frozen": Blow("F6", 6, freeze_the_bus),
    "Postgres killed": Blow("F7", 10, kill_the_store),
    "backends ended": Blow("F8", 16, end_backends),
    "commit of unknown outcome": Blow("F8", 8, commits_of_unknown_outcome),
    "store slow": Blow("F9", 4, _for_a_while("store", (4.0, 8.0), delay_seconds=0.2)),
    "heads locked": Blow("F9", 4, lock_the_heads),
    "checkpoint storm": Blow("F9", 3, checkpoint_storm),
    "no connection left": Blow("F10", 4, take_all_connections),
    "bus cut": Blow("F11", 10, cut_the_bus),
    "store cut": Blow("F11", 10, cut_the_store),
    "bus blackholed": Blow(
        "F11", 6, _for_a_while("bus", (1.0, 4.0, 8.0), up_stopped=True, down_stopped=True)
    ),
    "bus half-open": Blow("F11", 6, _for_a_while("bus", (1.0, 4.0, 8.0), down_stopped=True)),
    "store blackholed": Blow(
        "F11", 4, _for_a_while("store", (1.0, 4.0), up_stopped=True, down_stopped=True)
    ),
    "bus in slices of 64 B": Blow("F11", 3, _for_a_while("bus", (3.0,), slice_bytes=64)),
    "bus dripping": Blow(
        "F11", 3, _for_a_while("bus", (4.0,), slice_bytes=512, slice_seconds=0.01)
    ),
    "EndTxn delayed": Blow("F12", 12, _hold_a_request(Api.END_TXN)),
    "EndTxn unanswered": Blow("F13", 12, commit_unanswered),
    "offsets delayed": Blow("F12", 8, _hold_a_request(Api.TXN_OFFSET_COMMIT)),
    "rebalance storm": Blow("F14", 6, rebalance_storm),
    "clock off by a day or more": Blow("F18", 4, wrong_clock),
    "everything restarted": Blow("F30", 3, restart_everything),
    "kill -9 of a forwarder": Blow("F1", 10, killed(forwarders)),
    "forwarder struck at a step": Blow("F2", 6, killed_at_a_step),
    "SIGTERM of a forwarder": Blow("F3", 3, drained(forwarders)),
    "forwarder frozen": Blow("F4", 8, frozen(forwarders)),
    "kill -9 of Defend": Blow("F1", 10, killed(defenders)),
    "SIGTERM of Defend": Blow("F3", 3, drained(defenders)),
    "Defend frozen": Blow("F4", 6, frozen(defenders)),
}

NOT_RUN = {
    "F15": "partition count raised: tests/integration/test_topics.py, no faults with it",
    "F16": "disks full",
    "F17": "fsync errors: no shim",
    "F22": "records over the canonical limit",
    "F23": "dead-letter topic away: tests/faults/test_outage.py refuses a canonical topic instead",
    "F24": "purge during ingest: tests/integration/test_maintain.py, no faults with it",
    "F25": "next day's partition missing: tests/integration/test_store_writer.py",
    "F26": "sealer killed between its steps: tests/integration/test_seal.py",
    "F27": "subscriber away: tests/integration/test_forward.py",
    "F28": "issuer down: tests/integration/test_tokens.py",
    "F29": "two releases side by side: there is one yet; tests/integration/test_operations.py",
}
"""Rows of ``MATRIX.md`` that a full run does not have, and where else they are tested if at all.

F19, F20 and F21 are the load itself: repeats, conflicts and poison.
"""
