"""Many seeds: on all cores, each judged, each to be repeated by one command."""

import gc
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.simulation.judge import ask, judge
from tests.simulation.loop import CURRENT, StuckError
from tests.simulation.plan import Plan
from tests.simulation.plants import PLANTS, new_at_once
from tests.simulation.scene import Scene

ORACLE_EVERY = 10
"""The oracle of the fault runs judges every so many seeds, our own quick judge all."""

CHUNK = 50


@dataclass
class Tally:
    """What some seeds came to."""

    seeds: int = 0
    virtual_seconds: float = 0.0
    records: int = 0
    blows: int = 0
    failed: dict[int, list[str]] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, other: "Tally") -> None:
        """Take in what other seeds came to."""
        self.seeds += other.seeds
        self.virtual_seconds += other.virtual_seconds
        self.records += other.records
        self.blows += other.blows
        self.failed |= other.failed

    def __str__(self) -> str:
        """Say it in one line, and how to repeat each failure in one more."""
        speed = f"{self.seeds / self.seconds:.0f} seeds/s" if self.seconds else "one process"
        lines = [
            f"{self.seeds} seeds, {self.records} records, {self.blows} blows",
            f"{self.virtual_seconds:.0f} virtual s in {self.seconds:.1f} s: {speed}",
            f"{len(self.failed)} failed",
        ]
        for seed, wrong in sorted(self.failed.items())[:10]:
            lines.append(f"seed {seed}: {wrong[0][:300]}")
            lines.append(f"  again: python -m tests.simulation --replay {seed}")
        return "\n".join(lines)


def play(seed: int, plant: str = "") -> tuple[Scene, list[str]]:
    """Play one seed; return its scene and what is wrong with its end."""
    making, patch = PLANTS[plant]
    scene = Scene(Plan.drawn(seed), making)
    with new_at_once(), patch():
        try:
            scene.run()
        except StuckError as error:
            return scene, [f"{type(error).__name__}: {error}"]
    if scene.bugs:
        return scene, [f"crash: {error!r}" for error in scene.bugs]
    wrong = judge(scene)
    if not wrong and seed % ORACLE_EVERY == 0:
        wrong = ask(scene)
    return scene, wrong


def play_some(seeds: Sequence[int], plant: str = "") -> Tally:
    """Play some seeds in this process."""
    tally = Tally()
    with _silence(), _collecting_when_told():
        for seed in seeds:
            tally.add(_play_one(seed, plant))
            gc.collect()
    return tally


def _play_one(seed: int, plant: str) -> Tally:
    """Play a seed and keep nothing of its scene: a cycle that is held is not collected."""
    scene, wrong = play(seed, plant)
    return Tally(
        seeds=1,
        virtual_seconds=scene.loop.time(),
        records=len(scene.ledger),
        blows=len(scene.plan.blows),
        failed={seed: wrong} if wrong else {},
    )


def play_all(seeds: Sequence[int], *, processes: int | None = None) -> Tally:
    """Play seeds on all cores."""
    began = time.monotonic()
    tally = Tally()
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    workers = processes or os.cpu_count() or 1
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for part in pool.map(play_some, chunks):
            tally.add(part)
    tally.seconds = time.monotonic() - began
    return tally


def found_within(plant: str, seeds: Sequence[int]) -> int | None:
    """Return the first seed that finds a planted bug, None when none of these does."""
    with _silence():
        return next((seed for seed in seeds if play(seed, plant)[1]), None)


def replay(seed: int, plant: str = "") -> list[str]:
    """Play one seed again, and say what happens in it, by virtual time."""
    making, patch = PLANTS[plant]
    scene = Scene(Plan.drawn(seed), making)
    handler = _Teller(scene)
    logger = logging.getLogger("processor")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    scene.note = handler.say  # type: ignore[method-assign] # told at once instead of kept
    try:
        with new_at_once(), patch():
            scene.run()
        wrong = [f"crash: {error!r}" for error in scene.bugs] or judge(scene) or ask(scene)
    except StuckError as error:
        wrong = [str(error)]
    finally:
        logger.removeHandler(handler)
    sys.stdout.write(f"{scene.plan}\n" + "\n".join(wrong or ["nothing is wrong"]) + "\n")
    return wrong


class _Teller(logging.Handler):
    """Writes what the product logs, with the virtual time and the process."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._scene = scene

    def emit(self, record: logging.LogRecord) -> None:
        known = ("lane", "lanes", "epoch", "batch", "cause", "error", "failures", "redelivery")
        fields = {name: getattr(record, name) for name in known if hasattr(record, name)}
        self.say(f"{record.getMessage()} {fields}")

    def say(self, what: str) -> None:
        """Write a line."""
        process = CURRENT.get()
        name = "" if process is None else process.name
        sys.stdout.write(f"{self._scene.loop.time():9.4f} {name:>4} {what}\n")


@contextmanager
def _collecting_when_told() -> Iterator[None]:
    """Have the collector look at nothing that is older, and only between two seeds.

    What is garbage by now is collected first: frozen, it would stay for ever, and the tasks in it
    slow down every later one, since equal numbers meet in asyncio's set of tasks.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


@contextmanager
def _silence() -> Iterator[None]:
    """Let the product log nothing."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
