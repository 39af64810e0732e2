"""``python -m tests.fuzz``: mutated inputs on all cores, or one seed again."""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from random import Random

from tests.fuzz import aims

CHUNK = 5_000


def play(first: int, count: int) -> tuple[Counter[str], dict[int, str]]:
    """Play inputs on all cores."""
    end = first + count
    chunks = [range(at, min(at + CHUNK, end)) for at in range(first, end, CHUNK)]
    ends: Counter[str] = Counter()
    failed: dict[int, str] = {}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for found, wrong in pool.map(aims.some, chunks):
            ends += found
            failed |= wrong
    return ends, failed


def main() -> int:
    """Play inputs; exit 1 when one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--replay", type=int, help="play this one seed, and fail as it does")
    given = parser.parse_args()
    if given.replay is not None:
        sys.stdout.write(f"{aims.record(Random(given.replay))}\n{aims.one(given.replay)}\n")
        return 0
    began = time.monotonic()
    ends, failed = play(given.first, given.inputs)
    seconds = time.monotonic() - began
    sys.stdout.write(f"{given.inputs} inputs in {seconds:.0f} s: {given.inputs / seconds:.0f}/s\n")
    for end, times in ends.most_common():
        sys.stdout.write(f"{times:>9} {end}\n")
    sys.stdout.write(f"{len(failed):>9} failed\n")
    for seed, error in sorted(failed.items())[:10]:
        sys.stdout.write(f"seed {seed}: {error}\n  again: python -m tests.fuzz --replay {seed}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
