"""``python -m tests.simulation``: many seeds, or one again with everything that happens in it."""

import argparse
import os
import sys

from tests.simulation.plan import LATE, REFUSING, SLEEPY
from tests.simulation.plants import PLANTS
from tests.simulation.runs import play_all, replay

KINDS = (0, 0, 0, REFUSING, LATE, SLEEPY)
"""One seed of each, in turn."""


def main() -> int:
    """Play seeds; exit 1 when one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=20_000, help="how many")
    parser.add_argument("--processes", type=int, help="how many processes; default: all cores")
    parser.add_argument(
        "--idle", action="store_true", help="take the processor time that nobody else wants"
    )
    parser.add_argument("--replay", type=int, help="play this one seed and tell what happens")
    parser.add_argument("--plant", choices=list(PLANTS), default="", help="with a bug planted")
    given = parser.parse_args()
    if given.replay is not None:
        return 1 if replay(given.replay, given.plant) else 0
    if given.idle:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    seeds = [KINDS[n % len(KINDS)] + given.first + n for n in range(given.seeds)]
    tally = play_all(seeds, processes=given.processes)
    sys.stdout.write(f"{tally}\n")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
