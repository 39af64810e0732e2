"""What is watched during a soak: how late events come, and how one worker's life goes."""

import contextlib
import math
import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults import reader
from tests.faults.catalog import DEAD_LETTERS
from tests.faults.compact import digest_of_record
from tests.faults.harness import Worker
from tests.faults.rows import milliseconds
from tests.faults.source import Sum
from tests.faults.vitals import MIB, slope_per_hour
from tests.faults.world import Place, Seen

SAMPLE_SECONDS = 5.0
RECORDED_AT = b'"recorded_at":"'
MOMENT_BYTES = len("2026-11-23T10:00:00.000Z")
EXACT_MS_MAX = 1_000


class Late:
    """How late events came, counted by the millisecond; above a second by ten."""

    def __init__(self) -> None:
        """Begin with none."""
        self._times: Counter[int] = Counter()

    def add(self, late_ms: int) -> None:
        """Count one."""
        self._times[late_ms if late_ms < EXACT_MS_MAX else round(late_ms, -1)] += 1

    def __len__(self) -> int:
        """Return how many there were."""
        return self._times.total()

    def quantile(self, share: float) -> int | None:
        """Return what this share of them did not exceed, in milliseconds; nothing of none."""
        left = math.ceil(share * len(self))
        for late_ms, times in sorted(self._times.items()):
            left -= times
            if left <= 0:
                return late_ms
        return None

    @classmethod
    def of(cls, many: Iterable["Late"]) -> "Late":
        """Return all of them as one."""
        made = cls()
        for each in many:
            made._times.update(each._times)
        return made


class StreamingReader(reader.Listener):
    """One that forgets what it has read, but for sums; it sees how late events come."""

    at_once = 1
    """A batch would make them late."""

    def __init__(self, bootstrap: str, where: list[Place]) -> None:
        """Start reading at once; ``late`` may be exchanged at any time."""
        self.sums: dict[Place, Sum] = defaultdict(Sum)
        self.late = Late()
        self.count = 0
        super().__init__(bootstrap, where)

    def take(self, record: Seen) -> None:
        """Count a record, and how late it came."""
        if not record.topic.endswith(DEAD_LETTERS):
            self.late.add(round(time.time() * 1000 - recorded_ms(record.value or b"")))
        self.sums[record.spot[:2]].add(digest_of_record(record))
        self.count += 1


def recorded_ms(value: bytes) -> int:
    """Return when the bus took the record of a canonical event, in milliseconds."""
    begin = value.index(RECORDED_AT) + len(RECORDED_AT)
    return milliseconds(datetime.fromisoformat(value[begin : begin + MOMENT_BYTES].decode()))


class Sample(NamedTuple):
    """What a worker has at one moment, ``at`` in seconds of the monotonic clock."""

    at: float
    memory_mib: float
    files: int
    threads: int
    tasks: int


class Life:
    """Samples one worker, in a thread of its own; another one that took its place from then on."""

    def __init__(self, worker: Callable[[], Worker], tasks: Path) -> None:
        """Begin; ``tasks`` is where the worker writes how many tasks it has."""
        self._worker, self._tasks = worker, tasks
        self._samples: dict[int, list[Sample]] = defaultdict(list)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def samples(self) -> list[Sample]:
        """Return those of the worker that lived longest."""
        return max(self._samples.values(), key=len, default=[])

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            with contextlib.suppress(OSError, ValueError, IndexError):
                pid = self._worker().process.pid
                self._samples[pid].append(self._sample(Path(f"/proc/{pid}")))

    def _sample(self, process: Path) -> Sample:
        pages = int((process / "statm").read_text().split()[1])
        files = sum(1 for _ in (process / "fd").iterdir())
        threads = sum(1 for _ in (process / "task").iterdir())
        tasks = int(self._tasks.read_text())
        return Sample(time.monotonic(), pages * 4096 / MIB, files, threads, tasks)


def trends(samples: Sequence[Sample], warm_seconds: float) -> dict[str, dict[str, float]]:
    """Return what each figure of a worker did after it was warm."""
    warm = [each for each in samples if each.at - samples[0].at >= warm_seconds]
    if not warm:
        return {}
    return {name: _trend(warm, name) for name in Sample._fields[1:]}


def _trend(warm: Sequence[Sample], name: str) -> dict[str, float]:
    values: list[Any] = [getattr(each, name) for each in warm]
    third = max(1, len(values) // 3)
    points = [(each.at, value) for each, value in zip(warm, values, strict=True)]
    return {
        "first_third": round(statistics.median(values[:third]), 1),
        "last_third": round(statistics.median(values[-third:]), 1),
        "max": round(max(values), 1),
        "slope_per_hour": round(slope_per_hour(points), 1),
    }
