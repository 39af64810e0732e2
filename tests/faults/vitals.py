"""How the workers fare meanwhile: their memory and open files, and how late their events come."""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults.harness import Worker
from tests.faults.rows import milliseconds
from tests.faults.world import World

SAMPLE_SECONDS = 5.0
WARM_SECONDS = 60.0
"""What a worker needs until its caches are full: its slope is counted from then on."""

MIB = 1 << 20


class Sample(NamedTuple):
    """What one worker has at one moment."""

    at: float
    memory_bytes: int
    files: int


class Vitals:
    """Samples the workers that are alive, in a thread of its own."""

    def __init__(self, workers: Callable[[], Sequence[Worker]]) -> None:
        """Begin."""
        self._workers = workers
        self._samples: dict[int, list[Sample]] = defaultdict(list)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, float]:
        """End, and return the highest figures and the longest-lived worker's slope."""
        self._stop.set()
        self._thread.join()
        every = [sample for each in self._samples.values() for sample in each]
        longest = max(self._samples.values(), key=len, default=[])
        return {
            "memory_max_mib": max((s.memory_bytes for s in every), default=0) // MIB,
            "files_max": max((s.files for s in every), default=0),
            "longest_life_seconds": round(longest[-1].at - longest[0].at) if longest else 0,
            "memory_slope_mib_per_hour": _slope(longest),
        }

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            for worker in list(self._workers()):
                with contextlib.suppress(OSError, ValueError, IndexError):
                    self._samples[worker.process.pid].append(_sample(worker.process.pid))


def _sample(pid: int) -> Sample:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Sample(time.monotonic(), pages * 4096, files)


def _slope(samples: Sequence[Sample]) -> float:
    """Return the slope of the memory of a worker that is warm, in MiB per hour."""
    warm = [s for s in samples if samples and s.at - samples[0].at > WARM_SECONDS]
    return round(slope_per_hour([(s.at, s.memory_bytes / MIB) for s in warm]), 1)


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """Return the least-squares slope of values over their seconds, as an hour's; 0 for too few."""
    if len(points) < 3:
        return 0.0
    mean_at = sum(at for at, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    spread = sum((at - mean_at) ** 2 for at, _ in points)
    return sum((at - mean_at) * (value - mean) for at, value in points) / spread * 3600


def latencies(world: World) -> dict[str, float]:
    """Return how long after the bus took a record its canonical event was there, in seconds."""
    taken = {str(row["entry_id"]): milliseconds(row["recorded_at"]) for row in world.rows}
    late = sorted(
        record.timestamp - taken[name]
        for record in world.canonical
        if (name := record.header("ce_id") or "") in taken
    )
    if not late:
        return {}
    return {
        f"p{share}": round(late[min(len(late) - 1, len(late) * share // 100)] / 1000, 2)
        for share in (50, 90, 99)
    }
