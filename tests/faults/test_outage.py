"""F5, F7, F8, F23: the database or the bus fails under the workers."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not declared
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)
from psycopg import sql

from processor.local.kafka import Broker
from processor.local.postgres import Server
from processor.store.migrations import migrate
from tests.conftest import database, dsn_of
from tests.faults.harness import Stage, until

pytestmark = pytest.mark.timeout(180)
New = Callable[..., Stage]

ACTIVE = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'hub-audit'
AND state = 'active' AND {}
"""


# A COPY of a few rows is over before anybody could end it.
SLOW_COPY = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT ON audit_entries FOR EACH ROW EXECUTE FUNCTION slow();
"""


def end_backends(here: Stage, condition: str, times: int) -> None:
    """Terminate, so many times, a worker's backend that is found in a state."""
    query = sql.SQL(ACTIVE).format(sql.SQL(condition))

    def one() -> bool:
        found = here.sql(query)
        here.feed(20)
        return any(here.sql("SELECT pg_terminate_backend(%s)", pid)[0][0] for (pid,) in found)

    for _ in range(times):
        until(one, f"a backend with {condition}")


@contextmanager
def commits_that_hang(here: Stage) -> Iterator[None]:
    """Let every commit take effect and then wait, unanswered, for a standby there is not."""

    def put(value: str) -> None:
        with psycopg.connect(here.dsn, autocommit=True) as db:
            db.execute("SET synchronous_commit = local")
            db.execute(sql.SQL("ALTER SYSTEM SET synchronous_standby_names = {}").format(value))
            db.execute("SELECT pg_reload_conf()")

    put("nobody")
    try:
        yield
    finally:
        put("")


def test_a_backend_ended_in_a_copy(stage: New) -> None:
    """A COPY that is cut off leaves nothing; the batch is stored once all the same."""
    here = stage(seed=21)
    here.start()
    here.feed(300)
    here.progress(1)
    with psycopg.connect(here.dsn, autocommit=True) as db:
        db.execute(SLOW_COPY)
    end_backends(here, "query ILIKE 'COPY%%'", 3)
    verdict = here.judge()
    assert verdict.clean, verdict


@pytest.fixture
def own_dsn(postgres_server: Server) -> Iterator[str]:
    """Give a database on a server of the tests' own: what is done to it strikes nobody else."""
    with database(postgres_server.dsn("postgres"), template="template1") as name:
        dsn = dsn_of(postgres_server.dsn("postgres"), name)
        asyncio.run(migrate(dsn))
        yield dsn


def test_a_commit_of_unknown_outcome(own_dsn: str, stage: New) -> None:
    """A backend ended while its commit, done, was not yet answered: stored once, emitted once."""
    here = stage(seed=22, dsn=own_dsn)
    worker = here.start()
    here.feed(300)
    here.progress(1)
    with commits_that_hang(here):
        end_backends(here, "wait_event = 'SyncRep'", 3)
    verdict = here.judge()
    assert verdict.clean, f"{verdict}\n{worker.said()[-3000:]}"


def test_the_database_crashes(postgres_server: Server, own_dsn: str, stage: New) -> None:
    """Every process of the database killed under load: the workers wait and go on."""
    here = stage(seed=23, dsn=own_dsn)
    workers = [here.start(), here.start()]
    until(lambda: all(worker.joined for worker in workers), "both workers are members")
    here.feed(1000)
    here.progress(200)
    postgres_server.crash()
    here.feed(500)
    postgres_server.start()
    verdict = here.judge()
    assert verdict.clean, verdict
    assert all(worker.running for worker in workers)


def test_the_broker_is_killed(stage: New, broker: Broker) -> None:
    """Kill -9 of the broker under load and its restart: nothing lost, nothing twice."""
    here = stage(seed=24)
    workers = [here.start(), here.start()]
    until(lambda: all(worker.joined for worker in workers), "both workers are members")
    here.feed(500)
    here.progress(200)
    feeding = threading.Thread(target=here.feed, args=(1500,), kwargs={"per_second": 1000})
    before = here.stored()
    feeding.start()
    until(lambda: here.stored() > before + 100, "the load arrives")
    broker.kill()
    broker.start()
    feeding.join(120)
    verdict = here.judge()
    assert verdict.clean, verdict
    assert all(worker.running for worker in workers)


def test_the_bus_refuses_a_batch(stage: New) -> None:
    """One batch of a transaction refused: nothing is skipped, and it all passes once it may."""
    here = stage(seed=25)
    topic = f"{here.prefix}hub.auth.login_success"
    set_config(here.bootstrap, topic, "max.message.bytes", "300")
    worker = here.start()
    here.feed(500)
    until(lambda: "lane_reset" in worker.said(), "a lane is reset")
    assert not here.emitted()
    set_config(here.bootstrap, topic, "max.message.bytes", "1048588")
    verdict = here.judge()
    assert verdict.clean, verdict


def set_config(bootstrap: str, topic: str, name: str, value: str) -> None:
    """Change a topic's setting."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result(30)
