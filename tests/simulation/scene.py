"""One run of the simulation: workers, load and blows, until everything is at its end."""

import asyncio
import random
from collections.abc import Callable
from random import Random
from typing import Any

from processor.emit.producer import LaneProducer
from processor.errors import Outage
from processor.lane import Lane, Phase
from processor.settings import Settings
from processor.worker import Worker
from tests.faults.catalog import CANONICAL_TOPICS, DEAD_LETTERS, RAW_TOPICS, home_lane
from tests.faults.ledger import Line
from tests.faults.load import Shot, numbered
from tests.simulation.broker import Broker, Raw
from tests.simulation.clients import Bus
from tests.simulation.connections import FakeDatabase
from tests.simulation.database import Key, Store
from tests.simulation.given import (
    LIMITS,
    NOW_MS,
    RETENTION_DAYS,
    SESSION_SECONDS,
    STREAM_RECORDS,
    STREAMS,
    TODAY,
    settings,
    stream,
)
from tests.simulation.group import Group
from tests.simulation.loop import Died, Process, StuckError, VirtualLoop, is_of
from tests.simulation.network import Network
from tests.simulation.plan import Blow, Plan

RESTART_SECONDS = 0.5
REST_SECONDS = 90.0
"""Within this time after the last blow everything must be at its end."""

LOOK_SECONDS = 0.25
BACKUP_SECONDS = 0.1

Making = Callable[[Settings, int, Bus], LaneProducer]


def make_producer(of: Settings, lane: int, bus: Bus) -> LaneProducer:
    """Make the product's producer over the fake bus."""
    return LaneProducer(of, lane, bus.producer, bus.reader)


class Scene:
    """Everything that takes part in a run."""

    def __init__(self, plan: Plan, make: Making = make_producer) -> None:
        """Set it up; ``run`` plays it."""
        self.plan = plan
        self.rng = Random(plan.seed + 1)
        self.loop = VirtualLoop(self.rng)  # type: ignore[abstract] # what it lacks is for sockets
        self.broker = Broker(self.loop, self.rng, now_ms=NOW_MS)
        self.store = Store(self.loop, TODAY, RETENTION_DAYS)
        self.group = Group(self.loop, lanes=plan.lanes, session_seconds=SESSION_SECONDS)
        self.to_bus = Network(self.loop, self.rng, plan.bus)
        self.to_store = Network(self.loop, self.rng, plan.store)
        self.settings = settings(plan.lanes)
        self.ledger: dict[int, Line] = {}
        self.bugs: list[BaseException] = []
        self.trace: list[str] = []
        self.over = False
        self._backups: list[tuple[float, dict[Key, Any]]] = []
        self._make = make
        self._processes: list[Process] = []
        self._workers: dict[Process, Worker] = {}
        self._stops: dict[Process, asyncio.Event] = {}
        for topic in RAW_TOPICS:
            self.broker.create(topic, plan.lanes)
        for topic in (*CANONICAL_TOPICS, DEAD_LETTERS):
            self.broker.create(topic, plan.lanes)

    def run(self) -> None:
        """Play the run to its end; StuckError when it does not come to rest."""
        random.seed(self.plan.seed)  # for what the product draws: how long it waits before a retry
        try:
            self.loop.run(self._play())
        finally:
            self.over = True
            for process in self._processes:
                self.loop.kill(process)
            self.loop.drain()

    async def _play(self) -> None:
        for _ in range(self.plan.workers):
            self._start()
        loading = asyncio.ensure_future(self._load())
        backing_up = asyncio.ensure_future(self._back_up()) if self.plan.restored else None
        for blow in self.plan.blows:
            await asyncio.sleep(max(0.0, blow.at - self.loop.time()))
            self._strike(blow)
        await loading
        last = max((blow.at + blow.seconds for blow in self.plan.blows), default=0.0)
        await asyncio.sleep(max(0.0, last - self.loop.time()))
        if backing_up is not None:
            backing_up.cancel()
        self.to_bus.ambush = self.to_store.ambush = None
        self.plan.bus.heal()
        self.plan.store.heal()
        if not any(process.alive for process in self._processes):
            self._start()
        await self._rest()

    async def _rest(self) -> None:
        """Wait until everything is at its end, and stays there."""
        until = self.loop.time() + REST_SECONDS
        while not self.at_rest():
            if self.bugs:
                return
            if self.loop.time() > until:
                raise StuckError(f"not at rest: {self.behind()}")
            await asyncio.sleep(LOOK_SECONDS)

    # --- load --------------------------------------------------------------------------------

    async def _load(self) -> None:
        """Put the records of a stream on the bus, in bursts; some in transactions of upstream."""
        rng, plan = self.rng, self.plan
        shots = stream(plan.seed % STREAMS, refusing=plan.refusing)
        start = rng.randrange(STREAM_RECORDS - plan.records)
        at, end = start, start + plan.records
        while at < end:
            burst = shots[at : min(at + rng.choice((1, 3, 10, 30)), end)]
            at += len(burst)
            self._append(burst, aborted=rng.random() < 0.05)
            await asyncio.sleep(rng.expovariate(plan.records / plan.load_seconds / len(burst)))

    def _append(self, burst: list[Shot], *, aborted: bool) -> None:
        """Append shots; an aborted transaction leaves holes in the offsets."""
        for shot in burst:
            line = shot.line
            if shot.partition is None:
                partition = home_lane(line["org"], self.plan.lanes)
            else:
                partition = shot.partition % self.plan.lanes
            place = (line["topic"], partition)
            if aborted:
                self.broker.append_aborted(place, Raw(shot.key, shot.value, shot.headers))
                continue
            self.ledger[line["n"]] = line
            self.broker.append(
                place, [Raw(shot.key, shot.value, numbered(shot.headers, line["n"]))]
            )

    # --- processes ---------------------------------------------------------------------------

    def _start(self) -> None:
        """Start a worker process, while there is a run."""
        if self.over:
            return
        process = Process(f"w{len(self._processes)}")
        self._processes.append(process)
        self.note(f"{process.name} starts")
        task = self.loop.spawn(process, self._main(process))
        task.add_done_callback(lambda done: self._ended(process, done), context=self.loop.outside)

    async def _main(self, process: Process) -> None:
        """Be a worker process, until told to stop."""
        stop = self._stops[process] = asyncio.Event()
        db = FakeDatabase(process, self.to_store, self.store)
        bus = Bus(process, self.to_bus, self.broker, self.group, SESSION_SECONDS)
        worker = Worker(
            self.settings,
            db,
            LIMITS,
            consumer=bus.consumer,
            producer=lambda of, lane: self._make(of, lane, bus),
        )
        worker._pipeline.clock = lambda: NOW_MS / 1000 + self.loop.time()
        self._workers[process] = worker
        await worker.run(stop)
        await db.close()

    def _ended(self, process: Process, task: "asyncio.Task[None]") -> None:
        """Start a process again that ended; one that ended by a bug ends the run."""
        if self.over:
            task.cancelled() or task.exception()
            return
        self.note(f"{process.name} ended")
        error = None if task.cancelled() else task.exception()
        if process.alive and error is not None and not is_of(error, Outage, Died):
            self.bugs.append(error)
            return
        process.alive = False
        for note in process.at_death:
            note()
        self.loop.call_later(RESTART_SECONDS, self._start, context=self.loop.outside)

    # --- blows -------------------------------------------------------------------------------

    def _strike(self, blow: Blow) -> None:
        self.note(f"{blow.kind} {blow.seconds} s")
        getattr(self, f"_{blow.kind}")(blow)

    def _lie_in_wait(self, blow: Blow, strike: Callable[[Process], None]) -> None:
        """Strike the process whose lane makes the so-manieth request from now on."""
        left = blow.ambush
        before_it_is_sent = self.rng.random() < 0.5

        def count(process: Process) -> bool:
            nonlocal left
            task = asyncio.current_task()
            if process.frozen or task is None or not task.get_name().startswith("lane-"):
                return False
            left -= 1
            if left:
                return False
            self.to_bus.ambush = self.to_store.ambush = None
            strike(process)
            return before_it_is_sent

        self.to_bus.ambush = self.to_store.ambush = count

    def _victim(self, blow: Blow) -> Process | None:
        alive = [process for process in self._processes if process.alive and not process.frozen]
        return alive[blow.victim % len(alive)] if alive else None

    def _kill(self, blow: Blow) -> None:
        def strike(process: Process) -> None:
            self.note(f"{process.name} is killed")
            self.loop.kill(process)

        self._aim(blow, strike)

    def _freeze(self, blow: Blow) -> None:
        def strike(process: Process) -> None:
            self.note(f"{process.name} is frozen")
            self.loop.freeze(process)
            thaw = self.loop.thaw
            self.loop.call_later(blow.seconds, thaw, process, context=self.loop.outside)

        self._aim(blow, strike)

    def _aim(self, blow: Blow, strike: Callable[[Process], None]) -> None:
        """Strike at a lane's request, or at any process at once."""
        process = self._victim(blow)
        if blow.ambush:
            self._lie_in_wait(blow, strike)
        elif process is not None:
            strike(process)

    def _leave(self, blow: Blow) -> None:
        process = self._victim(blow)
        if process is not None and process in self._stops:
            self._stops[process].set()

    def _join(self, _blow: Blow) -> None:
        self._start()

    def _bus_away(self, blow: Blow) -> None:
        self._away(self.to_bus, blow.seconds)

    def _bus_restart(self, blow: Blow) -> None:
        """Be away for a moment, and then answer from offsets that are being read again."""
        self._away(self.to_bus, RESTART_SECONDS)
        reload = self.broker.reload_coordinator
        self.loop.call_later(RESTART_SECONDS, reload, blow.seconds, context=self.loop.outside)

    def _store_crash(self, blow: Blow) -> None:
        self.store.crash()
        self._away(self.to_store, blow.seconds)

    def _store_restored(self, blow: Blow) -> None:
        """Lose what was committed in the last moments, as a lossy failover does."""
        self.store.crash()
        self.store.rows = self._backup(blow.seconds)
        self._away(self.to_store, 0.2)

    def _backup(self, seconds: float) -> dict[Key, Any]:
        """Return the committed rows as they were so long ago."""
        then = self.loop.time() - seconds
        kept = [rows for at, rows in self._backups if at <= then]
        return dict(kept[-1]) if kept else {}

    async def _back_up(self) -> None:
        """Keep what is committed, again and again."""
        while True:
            self._backups.append((self.loop.time(), dict(self.store.rows)))
            await asyncio.sleep(BACKUP_SECONDS)

    def _away(self, network: Network, seconds: float) -> None:
        network.up = False
        self.loop.call_later(seconds, setattr, network, "up", True, context=self.loop.outside)

    def _offsets_moved(self, blow: Blow) -> None:
        """Let an operator's tool set other offsets, which carry no number."""
        known = self.broker.committed.get(self.settings.group, {})
        shift = (-100, 0, 100)[blow.victim]
        for place, (offset, _) in known.items():
            known[place] = (max(0, offset + shift), "")

    def _offsets_gone(self, _blow: Blow) -> None:
        self.broker.committed.pop(self.settings.group, None)

    def _bus_forgets(self, _blow: Blow) -> None:
        """Let retention take the first records of every raw partition, read or not."""
        for topic in RAW_TOPICS:
            for lane in range(self.plan.lanes):
                log = self.broker.logs[topic, lane]
                log.begin = max(log.begin, min(log.begin + 5, log.stable))

    # --- the end -----------------------------------------------------------------------------

    def at_rest(self) -> bool:
        """Tell whether everything that was sent has passed the path to its end."""
        return not self.behind()

    def behind(self) -> list[str]:
        """Return what is not at its end."""
        if self._blocked():
            return ["a worker is frozen or a server away"]
        going = [lane for lane in range(self.plan.lanes) if not self._stopped(lane)]
        late = [wrong for lane in going for wrong in self._behind(lane)]
        open_logs = [place for place, log in self.broker.logs.items() if log.open]
        return late + [f"{place}: open transaction" for place in open_logs]

    def _behind(self, lane: int) -> list[str]:
        """Return what of a lane is not stored, or stored and not published."""
        lanes = self.store.table("lanes")
        books = self.store.table("offsets")
        known = self.broker.committed.get(self.settings.group, {})
        batch = lanes[lane,]["batch"] if (lane,) in lanes else 0
        said = {known.get((topic, lane), (0, ""))[1] for topic in RAW_TOPICS}
        # Offsets that were moved by hand are looked at when the lane is taken over next.
        unsaid = self.plan.tampered and said == {""} and self._flows(lane)
        late = []
        if batch and f"batch={batch}" not in said and not unsaid:
            late.append(f"lane {lane}: batch {batch}, published {said}")
        for topic in RAW_TOPICS:
            row, end = books.get((topic, lane)), self.broker.logs[topic, lane].end_visible()
            if row is None or row["through"] < end:
                late.append(f"{topic}/{lane}: {row} of {end}")
        return late

    def _stopped(self, lane: int) -> bool:
        """Tell whether a lane rightly waits for an operator."""
        return self.plan.restored and self.phase(lane) is Phase.STOPPED

    def _blocked(self) -> bool:
        frozen = any(process.alive and process.frozen for process in self._processes)
        return frozen or not (self.to_bus.up and self.to_store.up)

    def _flows(self, number: int) -> bool:
        """Tell whether a worker that lives has the lane, and nothing of it in its hands."""
        return any(lane.phase is Phase.FLOWING and not lane._busy for lane in self._held(number))

    def phase(self, number: int) -> Phase | None:
        """Return what a worker that lives says of a lane."""
        return next((lane.phase for lane in self._held(number)), None)

    def _held(self, number: int) -> list[Lane]:
        return [
            worker._lanes[number]
            for process, worker in self._workers.items()
            if process.alive and number in worker._lanes
        ]

    def note(self, what: str) -> None:
        """Keep what happened, for whoever replays the run."""
        self.trace.append(f"{self.loop.time():9.4f} {what}")
