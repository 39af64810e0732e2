"""P5: ours and what would be built or picked instead, on the same events, rounds alternating.

``python -m tests.benchmarks.peers --events 250000 --rounds 3 --disturbed 200000``

Prints who is how fast (medians of the rounds, ratios to ours) and what each leaves behind after a
kill -9 and after a rebalance. Kafka and Postgres are our own, unless
HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS and HUB_AUDIT_POSTGRES_DSN name others.
"""

import argparse
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.benchmarks import report
from tests.benchmarks.disturbed import DISTURBANCES, Left, disturb
from tests.benchmarks.events import RawEvent, events
from tests.benchmarks.rivals.afternoon import OUT
from tests.benchmarks.servers import Servers
from tests.benchmarks.stage import Bus
from tests.benchmarks.throughput import OURS, Contender, Run, run

REQUIREMENTS = Path(__file__).parent / "rivals" / "requirements.txt"
RIVALS = "tests.benchmarks.rivals"
HANDWRITTEN = Contender(
    "hand-written, transactional, pydantic",
    (sys.executable, "-m", f"{RIVALS}.handwritten"),
    topics=(OUT,),
)


def quix(python: Path) -> list[Contender]:
    """Return Quix Streams exactly-once with a COPY sink, with and without validation."""
    command = (str(python), "-m", f"{RIVALS}.quix")
    return [
        Contender("Quix Streams exactly-once, pydantic", command, topics=(OUT,)),
        Contender("Quix Streams exactly-once", (*command, "--trusting"), topics=(OUT,)),
    ]


@contextmanager
def contenders() -> Iterator[list[Contender]]:
    """Give all that can run here: Quix Streams is left out where it cannot be installed."""
    with TemporaryDirectory(prefix="hub-audit-quix-") as directory:
        venv.create(directory, with_pip=True)
        python = Path(directory, "bin", "python")
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)]
        done = subprocess.run(install, check=False, capture_output=True, text=True)
        if done.returncode:
            print(f"without Quix Streams, it does not install: {done.stderr[-300:]}")
        yield [OURS, HANDWRITTEN, *([] if done.returncode else quix(python))]


def compare(bus: Bus, rounds: int, these: list[Contender]) -> list[list[Run]]:
    """Return rounds of all contenders, one after the other, on a broker that is warm."""
    bus.create_topic(OUT)
    run(bus, OURS)
    return [[run(bus, contender) for contender in these] for _ in range(rounds)]


def rates(rounds: Sequence[Sequence[Run]]) -> Iterator[str]:
    """Yield the lines of a table: who is how fast, for how much."""
    yield "| | events/s | of ours | CPU us | Postgres us | broker us | MB | others | exact |"
    yield "|---|---|---|---|---|---|---|---|---|"
    runs = [each for one_round in rounds for each in one_round]
    ours = _median(runs, OURS.name, "events_per_second")
    for name in dict.fromkeys(each.contender for each in runs):
        rate = _median(runs, name, "events_per_second")
        exact = [each.exact for each in runs if each.contender == name]
        figures = [
            f"{_median(runs, name, what):.{digits}f}"
            for what, digits in (
                ("cpu_us_per_event", 1),
                ("postgres_us_per_event", 1),
                ("broker_us_per_event", 1),
                ("resident_mb_max", 0),
            )
        ]
        foreign = f"{_median(runs, name, 'foreign_share'):.0%}"
        ends = f"{sum(exact)}/{len(exact)}"
        cells = [name, f"{rate:,.0f}", f"{rate / ours:.2f}", *figures, foreign, ends]
        yield f"| {' | '.join(cells)} |"


def _median(runs: Iterable[Run], contender: str, what: str) -> float:
    return float(median(getattr(run, what) for run in runs if run.contender == contender))


def disturbed(bus: Bus, these: list[Contender]) -> list[Left]:
    """Return what each of them leaves after each disturbance."""
    bus.create_topic(OUT)
    return [disturb(bus, each, what) for what in DISTURBANCES for each in these]


def main() -> None:
    """Compare, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=250_000, help="of a run for speed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--disturbed", type=int, default=200_000, help="events of a disturbed run")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with Servers.running() as servers, contenders() as these:
        if asked.rounds:
            with Bus.laid(servers, _events(asked.events)) as bus:
                print("\n".join(rates(compare(bus, asked.rounds, these))), flush=True)
        if asked.disturbed:
            with Bus.laid(servers, _events(asked.disturbed)) as bus:
                left = [each._asdict() for each in disturbed(bus, these)]
                print("", *report.leavings(left), sep="\n")


def _events(count: int) -> Iterator[RawEvent]:
    return events(1, count, int(time.time() * 1000))


if __name__ == "__main__":
    main()
