"""P5: the same raw events through ours and through a hand-written loop, rounds alternating."""

import subprocess
import sys
import time
from typing import NamedTuple

import psycopg

from tests.benchmarks import throughput
from tests.benchmarks.events import events
from tests.benchmarks.stage import LOOK_SECONDS, Servers, Stage, cpu_seconds


class Peer(NamedTuple):
    """What a peer managed."""

    events_per_second: float
    cpu_us_per_event: float


def handwritten(servers: Servers, count: int) -> Peer:
    """Measure the hand-written loop as ``throughput.run`` measures ours."""
    with Stage(servers).set_up() as stage:
        stage.load(events(1, count, int(time.time() * 1000)))
        module = "tests.benchmarks.handwritten"
        process = subprocess.Popen([sys.executable, "-m", module], env=stage.environment)
        _until(stage, count // 10)
        began, stored, cpu = time.monotonic(), _stored(stage), cpu_seconds(process.pid)
        _until(stage, count)
        seconds, used = time.monotonic() - began, cpu_seconds(process.pid) - cpu
        process.terminate()
        process.wait(20)
        done = count - stored
        return Peer(done / seconds, used / done * 1e6)


def ratios(servers: Servers, count: int, rounds: int) -> list[tuple[throughput.Run, Peer]]:
    """Return rounds of ours and the hand-written loop, one after the other."""
    return [(throughput.run(servers, count, 1), handwritten(servers, count)) for _ in range(rounds)]


def _stored(stage: Stage) -> int:
    try:
        return int(stage.ask("SELECT count(*) FROM handwritten"))
    except psycopg.errors.UndefinedTable:
        return 0


def _until(stage: Stage, count: int) -> None:
    while _stored(stage) < count:
        time.sleep(LOOK_SECONDS * 4)
