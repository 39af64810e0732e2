"""P5: ours and what would be built or picked instead, on the same events, rounds alternating."""

import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.rivals.afternoon import OUT
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
