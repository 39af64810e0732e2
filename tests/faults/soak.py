"""The soak: an hour at a share of the peak with a fault a minute, judged in bounded memory.

``python -m tests.faults.soak`` starts its own Kafka and Postgres, measures the peak, feeds at a
constant pace, strikes once a minute, judges every record, and writes ``SOAK.json`` and
``SOAK.md`` into the directory it is given. One worker is spared: nothing strikes it itself, and
its life is watched from beginning to end. Forwarders and Defend are not part of it.
"""

import argparse
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg

from tests.faults import observe, reader, report, soak_report, soak_shares
from tests.faults.blows import BLOWS
from tests.faults.field import Field
from tests.faults.harness import Stage, Worker, until
from tests.faults.judge_stream import Judge
from tests.faults.load import BATCH
from tests.faults.run import REST_SECONDS, drawn, on_servers, rest, strike
from tests.faults.soak_watch import Late, Life, StreamingReader
from tests.faults.source import Result, Sum
from tests.faults.spread import in_turn
from tests.faults.verdict import Verdict
from tests.faults.world import Place, Seen, World

KINDS = tuple(kind for kind in BLOWS if "forwarder" not in kind and "Defend" not in kind)
MINUTE_SECONDS = 60.0
WARM_SECONDS_MAX = 600.0

PEAK_WARM_SECONDS = 60.0
PEAK_SECONDS = 60.0
"""A broker spends ten times as much a record until its code is compiled."""

PEAK_LAG_MAX = 20_000
"""Records sent and not stored at which the peak's load waits: some seconds of work."""

BACKLOG_RECORDS = 100_000
"""What the spared worker works off by itself, on all lanes at once, before anything else.

What a process once took for the largest batches of all its lanes it keeps for the next time. A
worker meets such a backlog when all others have died; one that met its first in the middle of a
soak would look as if it leaked.
"""

BATCHES_PER_SECOND = 10
CAUGHT_UP_SECONDS = 1.0
"""Behind by less than so much load a fault is over and done with."""

SETTLED_SECONDS = 2.0
"""What of it is still on its way then counts as the fault's."""

SHARES_MAX = 4
"""Processes that judge; the one that compares what they find keeps up with no more."""


@dataclass
class Minute:
    """What was struck in a minute, how long it was felt, and how late events came."""

    kind: str
    recovery_seconds: float = 0.0
    caught_up_seconds: float | None = None
    struck: Late = field(default_factory=Late)
    quiet: Late = field(default_factory=Late)
    memory_mib: float = 0.0


class Pace:
    """Feeds records at a constant rate; what a fault has held up is sent as soon as it can be."""

    def __init__(self, stage: Stage, rate: float) -> None:
        """Begin, in a thread of its own."""
        self._stage, self._rate = stage, rate
        self.sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; fail when it had ended before."""
        if not self._thread.is_alive():
            raise RuntimeError(f"the load ended by itself after {self.sent} records")
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._stop.wait(1 / BATCHES_PER_SECOND):
            while (due := int((time.monotonic() - began) * self._rate) - self.sent) > 0:
                self.sent += send(self._stage, min(BATCH, due))
                if self._stop.is_set():
                    break


def send(stage: Stage, count: int) -> int:
    """Send so many records of the mix; return how many."""
    stage.sender.send(list(islice(stage.shots, count)))
    return count


def lag(stage: Stage) -> int:
    """Return how many records were sent and are not stored."""
    return max(0, sum(stage.sender.ends.copy().values()) - stage.stored())


@dataclass
class Soak:
    """What was asked for, and what was measured on the way."""

    minutes: int
    share: float
    rate: float
    workers: int
    lanes: int
    seed: int
    kinds: Sequence[str] = KINDS
    minute_seconds: float = MINUTE_SECONDS
    crew: int = 0
    backlog: int = BACKLOG_RECORDS
    listen: Callable[[str, list[Place]], reader.Listener] = StreamingReader
    peak: float = 0.0
    peak_held: bool = False
    done: list[Minute] = field(default_factory=list)
    sent: int = 0
    restarted: int = 0
    spared_ended: int = 0
    misses: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    judging_seconds: float = 0.0
    memory_mib: dict[str, int] = field(default_factory=dict)
    life: Life | None = None

    @property
    def warm_seconds(self) -> float:
        """How long the spared worker gets until its memory counts."""
        return min(WARM_SECONDS_MAX, self.minutes * self.minute_seconds / 6)

    def play(self, here: Field) -> Verdict:
        """Warm up, measure the peak, feed and strike, wait for the end, and judge."""
        for _ in range(0, self.backlog, BATCH):
            send(here.stage, BATCH)
        self._spare(here)
        here.stage.rest(REST_SECONDS)
        here.start(self.workers - 1)
        here.stage.feed_transactions()
        if not self.rate:
            self._measure_peak(here.stage)
            self.rate = round(self.peak * self.share)
        here.stage.rest(REST_SECONDS)
        self._soak(here)
        rest(here.stage, lambda: self._tend(here))
        return self._judge(here)

    # --- the spared worker -------------------------------------------------------------------

    def _spare(self, here: Field) -> None:
        """Start the worker that no fault picks: it is not among the field's."""
        tasks = here.stage.directory / "tasks"
        here.stage.settings["FAULTS_TASKS"] = str(tasks)
        self._spared: Worker = here.stage.start()
        del here.stage.settings["FAULTS_TASKS"]
        until(lambda: self._spared.joined, "the spared worker is a member")
        if self.life is None:
            self.life = Life(lambda: self._spared, tasks)

    def _tend(self, here: Field) -> None:
        here.tend()
        if not self._spared.running:
            self.spared_ended += 1
            self._spare(here)

    # --- the peak ----------------------------------------------------------------------------

    def _measure_peak(self, stage: Stage) -> None:
        """Feed as much as is taken away, and see how much that is once all are warm."""
        self._press(stage, PEAK_WARM_SECONDS)
        before, began = stage.stored(), time.monotonic()
        self.peak_held = self._press(stage, PEAK_SECONDS)
        self.peak = (stage.stored() - before) / (time.monotonic() - began)
        say(f"peak: {self.peak:.0f} records/s")

    def _press(self, stage: Stage, seconds: float) -> bool:
        """Feed without a pause but for what is not stored; tell whether any was."""
        end, held = time.monotonic() + seconds, False
        while time.monotonic() < end:
            if lag(stage) > PEAK_LAG_MAX:
                held = True
                time.sleep(0.05)
            else:
                send(stage, BATCH)
        return held

    # --- the hour ----------------------------------------------------------------------------

    def _soak(self, here: Field) -> None:
        began = time.monotonic()
        pace = Pace(here.stage, self.rate)
        for number, kind in enumerate(drawn(self.minutes, self.seed, self.kinds), 1):
            minute = Minute(kind)
            self.done.append(minute)
            self._minute(here, minute, began + number * self.minute_seconds)
            seen = f"{minute.recovery_seconds:.1f} s, caught up {minute.caught_up_seconds}"
            p99 = f"p99 {minute.struck.quantile(0.99)}, then {minute.quiet.quantile(0.99)} ms"
            told = f"{minute.memory_mib:.0f} MiB, {pace.sent} sent"
            say(f"{number}/{self.minutes} {kind}: {seen}, {p99}, {told}")
        pace.stop()
        self.sent, self.seconds = pace.sent, time.monotonic() - began

    def _minute(self, here: Field, minute: Minute, end: float) -> None:
        """Strike, see everything go on and catch up, and let it be quiet until the minute ends."""
        assert isinstance(here.stage.live, StreamingReader)
        here.stage.live.late = minute.struck
        strike(here, minute.kind, self.misses)
        over = time.monotonic()
        self._tend(here)
        minute.recovery_seconds = here.recovery()
        minute.caught_up_seconds = self._caught_up(here, over, end)
        if minute.caught_up_seconds is not None:
            time.sleep(SETTLED_SECONDS)
            here.stage.live.late = minute.quiet
        while (left := end - time.monotonic()) > 0:
            self._tend(here)
            time.sleep(min(1.0, left))
        if self.life and self.life.samples:
            minute.memory_mib = self.life.samples[-1].memory_mib

    def _caught_up(self, here: Field, over: float, end: float) -> float | None:
        """Wait until all but the last second's load is stored; None if the minute is over."""
        left = end - SETTLED_SECONDS - time.monotonic()
        with suppress(TimeoutError):
            until(lambda: self._abreast(here), "caught up", left)
            return round(time.monotonic() - over, 1)
        return None

    def _abreast(self, here: Field) -> bool:
        self._tend(here)
        with suppress(psycopg.Error):
            return lag(here.stage) <= self.rate * CAUGHT_UP_SECONDS
        return False

    # --- judging -----------------------------------------------------------------------------

    def _judge(self, here: Field) -> Verdict:
        assert self.life is not None
        self.life.stop()
        self.restarted = here.restarted
        self.memory_mib["before judging"] = _memory_mib()
        began = time.monotonic()
        here.stage.settled()
        say("judging")
        verdict = Judge(Stack(here.stage)).judge()
        self.judging_seconds = time.monotonic() - began
        self.memory_mib["with the judge"] = _memory_mib()
        return verdict


def _memory_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class Stack:
    """A stage at rest, as the judge reads it."""

    def __init__(self, stage: Stage) -> None:
        """Take what is small at once."""
        self._stage, self._published = stage, 0
        self._shares = range(min(os.cpu_count() or 1, SHARES_MAX))
        where = {"prefix": stage.prefix, "group": stage.group}
        self.frame: World = observe.frame(stage.bootstrap, stage.dsn, lanes=stage.lanes, **where)

    def ledger(self, keep: Callable[[dict[str, Any]], Result]) -> Iterator[Result]:
        """Yield what is kept of the file's lines."""
        shares = len(self._shares)
        read = partial(soak_shares.lines, self._stage.path, keep, shares)
        yield from in_turn([partial(read, share) for share in self._shares])

    def raw(self) -> Iterator[Seen]:
        """Yield the raw records."""
        where = observe.raw_places(self._stage.prefix, self._stage.lanes)
        yield from reader.each(self._stage.bootstrap, where)

    def rows(self, keep: Callable[[dict[str, Any]], Result]) -> Iterator[Result]:
        """Yield what is kept of the entries."""
        read = partial(soak_shares.rows, self._stage.dsn, keep, len(self._shares))
        yield from in_turn([partial(read, share) for share in self._shares])

    def dead_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the dead letters of the table."""
        yield from soak_shares.selected(self._stage.dsn, "SELECT * FROM dead_letters")

    def published(self, keep: Callable[[Seen], Result]) -> Iterator[Result]:
        """Yield what is kept of canonical events and dead letters."""
        where = observe.output_places(self._stage.prefix, self._stage.lanes)
        where.sort(key=lambda place: self.frame.ends[place].high)  # so that shares are equal
        read = partial(soak_shares.records, self._stage.bootstrap, keep)
        every = len(self._shares)
        for kept in in_turn([partial(read, where[share::every]) for share in self._shares]):
            self._published += 1
            yield kept

    def live(self) -> Mapping[Place, Sum]:
        """Return what was seen meanwhile, once it is as much as there is."""
        live = self._stage.live
        assert isinstance(live, StreamingReader)
        with suppress(TimeoutError):  # what it has not seen then is for the judge to say
            until(lambda: live.count >= self._published, "the live reader at the end")
        return live.sums


def say(what: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")


def asked(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--share", type=float, default=0.7, help="of the peak")
    parser.add_argument("--rate", type=float, default=0, help="records/s; 0: measure the peak")
    parser.add_argument("--workers", type=int, default=3, help="one of them is spared")
    parser.add_argument("--lanes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("dist/soak"))
    return parser.parse_args(arguments)


def main() -> int:
    """Play it; exit 1 when the judge finds anything."""
    given = asked()
    rate, workers = given.rate, given.workers
    run = Soak(given.minutes, given.share, rate, workers, given.lanes, given.seed)
    verdict, found = on_servers(run)
    figures = {**soak_report.figures(run, verdict), "versions": found}
    text = soak_report.page(figures)
    report.leave(figures, text, given.results, "SOAK")
    sys.stdout.write(f"{text}\n{verdict}\n")
    return 0 if verdict.clean and not run.crashes else 1


if __name__ == "__main__":
    sys.exit(main())
