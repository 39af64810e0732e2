"""P1, P2, P3, P6, P7: how many events a second, for how much processor time and memory."""

import io
import statistics
import time
from typing import NamedTuple

import psycopg

from tests.benchmarks.events import events
from tests.benchmarks.stage import LOOK_SECONDS, Servers, Stage, Worker

RATE_OF_COPY_ROWS = 200_000


class Run(NamedTuple):
    """One run down the whole path."""

    events_per_second: float
    cpu_us_per_event: float
    resident_mb_max: float
    resident_mb_half: float
    exact: bool


def run(servers: Servers, count: int, workers: int) -> Run:
    """Measure ``count`` events, loaded beforehand, with so many workers.

    The clock runs from the first tenth settled to the last record, so that starting and joining are
    outside of it.
    """
    with Stage(servers).set_up() as stage:
        stage.load(events(1, count, int(time.time() * 1000)))
        working = [stage.start() for _ in range(workers)]
        began = stage.until_settled(count // 10)
        settled = stage.settled()
        cpu = sum(worker.cpu_seconds() for worker in working)
        peak, half = _watch(stage, working, count)
        seconds = time.monotonic() - began
        used = sum(worker.cpu_seconds() for worker in working) - cpu
        done = count - settled
        exact = stage.ask("SELECT count(*) FROM audit_entries") == count
        for worker in working:
            worker.stop()
        return Run(done / seconds, used / done * 1e6, peak, half, exact)


def _watch(stage: Stage, working: list[Worker], count: int) -> tuple[float, float]:
    """Wait for the end; return the largest memory of one worker, at the end and at half time."""
    peak = half = 0.0
    while (settled := stage.settled()) < count:
        peak = max(peak, *(worker.resident_mb() for worker in working))
        half = peak if settled < count / 2 else half
        time.sleep(LOOK_SECONDS)
    return peak, half


def copy_rows_per_second(servers: Servers) -> float:
    """Measure COPY of such rows into a table without index, from one connection."""
    with Stage(servers).set_up() as stage:
        stage.load(events(2, 20_000, int(time.time() * 1000)))
        worker = stage.start()
        stage.until_settled(20_000)
        worker.stop()
        with psycopg.connect(stage.dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE plain (LIKE audit_entries)")
            buffer = io.BytesIO()
            with connection.cursor().copy(
                "COPY (SELECT * FROM audit_entries) TO STDOUT (FORMAT binary)"
            ) as copy:
                for part in copy:
                    buffer.write(part)
            rounds = []
            for _ in range(RATE_OF_COPY_ROWS // 20_000):
                began = time.monotonic()
                with connection.cursor().copy("COPY plain FROM STDIN (FORMAT binary)") as copy:
                    copy.write(buffer.getvalue())
                rounds.append(20_000 / (time.monotonic() - began))
        return statistics.median(rounds)
