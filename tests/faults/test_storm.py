"""A small run of the storm: several kinds of faults one after the other, through the proxies."""

import asyncio
from pathlib import Path

import pytest

from processor.local.kafka import Broker
from processor.local.postgres import Server
from processor.store.migrations import migrate
from tests.conftest import database, dsn_of
from tests.faults.blows import BLOWS
from tests.faults.field import RECOVERY_SECONDS_MAX
from tests.faults.run import Run, crashes, drawn, on_field

KINDS = (
    "kill -9 of a worker",
    "worker frozen",
    "backends ended",
    "bus cut",
    "bus half-open",
    "EndTxn delayed",
    "EndTxn unanswered",
    "offsets delayed",
    "kill -9 of a forwarder",
    "kill -9 of Defend",
)


@pytest.mark.timeout(300)
def test_a_small_storm(proxied: Broker, postgres_server: Server, tmp_path: Path) -> None:
    """One fault of each of several kinds under load: every figure of the oracle is 0."""
    admin = postgres_server.dsn("postgres")
    with database(admin, template="template1") as name:
        dsn = dsn_of(admin, name)
        asyncio.run(migrate(dsn))
        run = Run(events=8_000, faults=len(KINDS), workers=2, lanes=4, seed=9, kinds=KINDS)
        verdict = on_field(run, proxied, postgres_server, dsn, tmp_path)
    assert verdict.clean, verdict
    assert crashes(tmp_path) == []
    assert set(run.recoveries) == set(KINDS)
    given_up = [kind for kind, each in run.recoveries.items() if max(each) >= RECOVERY_SECONDS_MAX]
    assert given_up == [], run.recoveries


@pytest.mark.parametrize("times", [8, 26, 220])
def test_faults_are_drawn_by_the_seed(times: int) -> None:
    """The same seed draws the same faults, and as many kinds of them as there is room for."""
    chosen = drawn(times, 4)
    assert chosen == drawn(times, 4)
    assert len(chosen) == times
    assert len(set(chosen)) == min(times, len(BLOWS))
