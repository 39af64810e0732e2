"""The oracle: judges a world by the documents alone. It imports nothing of the product.

Run by itself it judges a stack: ``python -m tests.faults.oracle --help``.
"""

import argparse
import json
import sys
from pathlib import Path

from tests.faults import (
    judge_dead,
    judge_ends,
    judge_findings,
    judge_order,
    judge_siem,
    judge_topics,
)
from tests.faults.observe import observe
from tests.faults.verdict import Verdict
from tests.faults.world import World


def judge(world: World) -> Verdict:
    """Return what is wrong with a world that has come to rest."""
    verdict = Verdict()
    fates = judge_ends.fates(world, verdict)
    judge_ends.books(world, fates, verdict)
    judge_topics.canonical(world, verdict)
    judge_topics.marks(world, verdict)
    judge_topics.live(world, verdict)
    judge_dead.dead_letters(world, verdict)
    judge_order.sequence(world, verdict)
    judge_order.order(world, verdict)
    judge_order.settled(world, verdict)
    judge_topics.markers(world, verdict)
    judge_siem.siems(world, verdict)
    judge_findings.findings(world, verdict)
    verdict.totals.update(
        raw=len(world.raw),
        rows=len(world.rows),
        canonical=len(world.canonical),
        dead_letters=len(world.dead_rows),
        organizations=len(world.heads),
        duplicates=sum(row["duplicates"] for row in world.books),
        discards=sum(row["discards"] for row in world.books),
        offset_holes=sum(row["offset_holes"] for row in world.books),
    )
    return verdict


def main() -> int:
    """Judge a running stack and say every figure as JSON; exit 1 when one is not 0."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    for name in ("bootstrap", "dsn", "ledger"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--prefix", default="")
    parser.add_argument("--group", default="hub-audit")
    parser.add_argument("--lanes", type=int, default=12)
    given = parser.parse_args()
    world = observe(
        given.bootstrap,
        given.dsn,
        Path(given.ledger),
        prefix=given.prefix,
        lanes=given.lanes,
        group=given.group,
    )
    verdict = judge(world)
    sys.stdout.write(json.dumps({**verdict.figures(), **verdict.totals}, indent=1) + "\n")
    sys.stderr.write(f"{verdict}\n")
    return 0 if verdict.clean else 1


if __name__ == "__main__":
    sys.exit(main())
