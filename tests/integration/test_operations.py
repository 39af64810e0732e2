"""The operating pages, carried out: back up and restore, lose Kafka, upgrade and roll back."""

import json
import re
import shlex
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from processor.local.port import free_port
from processor.local.postgres import find_binaries
from processor.settings import Settings
from tests.conftest import database, dsn_of
from tests.integration import bus
from tests.integration.ops import DEPLOY, OPERATOR, cleaned, settings_of, topics_of
from tests.integration.store import query
from tests.integration.test_process import command, login, publish, until, worker
from tests.integration.test_store_migrations import login_user

ORGS = ("acme", "globex")
PAGE = (DEPLOY / "README.md").read_text(encoding="utf-8")
(DUMP,) = re.findall(r"^pg_dump (.+) --file", PAGE, re.MULTILINE)
(GRANT,) = re.findall(r"^psql .* --command='(GRANT .+)'", PAGE, re.MULTILINE)
BOOKS = "SELECT bool_and(balanced), coalesce(sum(entries), 0)::int FROM books"
SEEN = "SELECT org_id, context ->> 'event_id' FROM audit_entries ORDER BY 1, 2"
GAPS = "SELECT org_id, seqs::text, reason FROM seq_gaps ORDER BY 1"


@pytest.fixture
def settings(kafka: str, empty_postgres_dsn: str) -> Iterator[Settings]:
    """Give settings for topics and tables that are there, and empty."""
    own = settings_of(kafka, empty_postgres_dsn, HTTP_PORT=str(free_port()))
    with cleaned(own):
        assert command(own, "migrate").returncode == 0
        assert command(own, "topics", "create").returncode == 0
        yield own


def logins(numbers: range) -> list[dict[str, Any]]:
    """Return logins of both organizations, told apart by their number."""
    return [login() | {"id": f"e-{number}", "orgid": ORGS[number % 2]} for number in numbers]


def run(settings: Settings, log: Path, numbers: range, stored: int) -> None:
    """Publish logins, run a worker until so many entries are stored and published, and stop it."""
    with worker(settings, log) as process:
        publish(settings, *logins(numbers))
        dsn = settings.postgres.dsn.get_secret_value()
        until(lambda: query(dsn, BOOKS)[0][1] >= stored, log.read_text())
        caught_up = "SELECT bool_and(caught_up_at > now() - interval '10 s') FROM source_offsets"
        until(lambda: query(dsn, caught_up)[0][0], log.read_text())
        process.terminate()
        assert process.wait(20) == 0, log.read_text()


def published(settings: Settings) -> dict[str, list[tuple[int, str]]]:
    """Return, by organization, number and event id of every record on the login topic, in order."""
    found = defaultdict(list)
    for record in bus.read(
        settings.kafka.bootstrap_servers, [settings.topic("hub.auth.login_success")]
    ):
        entry = json.loads(bus.value_of(record))
        found[entry["org_id"]].append((entry["seq"], entry["source"]["event_id"]))
    return dict(found)


def ids(numbers: range) -> list[tuple[str, str]]:
    """Return what `SEEN` finds when every login of these numbers is stored exactly once."""
    return sorted((ORGS[number % 2], f"e-{number}") for number in numbers)


@pytest.mark.timeout(240)
def test_restored_backup_goes_on_behind_what_is_published(
    settings: Settings, postgres_admin_dsn: str, tmp_path: Path
) -> None:
    """A dump, more events, the loss of the database, the dump again: the lanes stop until recover.

    Then the lost records are stored again from the bus under numbers that nobody has seen, the
    books balance, and the numbers that were skipped are accounted for.
    """
    dump = tmp_path / "hub_audit.dump"
    with (
        login_user(settings.postgres.dsn.get_secret_value(), *OPERATOR) as operator,
        database(postgres_admin_dsn, template="template1") as name,
    ):
        run(settings, tmp_path / "before.log", range(40), 40)
        _tool("pg_dump", *shlex.split(DUMP), f"--file={dump}", operator)
        run(settings, tmp_path / "lost.log", range(40, 60), 60)
        query(postgres_admin_dsn, f"ALTER DATABASE {name} OWNER TO {urlsplit(operator).username}")
        query(dsn_of(operator, name), GRANT)
        _tool("pg_restore", "--exit-on-error", f"--dbname={dsn_of(operator, name)}", str(dump))
        dsn = dsn_of(postgres_admin_dsn, name)
        restored = _elsewhere(settings, dsn)
        assert query(dsn, SEEN) == ids(range(40))
        doctor = command(restored, "doctor")
        assert doctor.returncode == 1
        assert "the database lost batches that were published" in doctor.stdout
        recovered = command(restored, "recover", "--yes")
        assert recovered.returncode == 0, recovered.stderr
        assert "organizations lifted: 2; see seq_gaps" in recovered.stdout
        run(restored, tmp_path / "after.log", range(60, 70), 70)
        assert query(dsn, SEEN) == ids(range(70))
        assert query(dsn, BOOKS) == [(True, 70)]
        assert command(restored, "doctor").returncode == 0
        gaps = query(dsn, GAPS)
        reason = "skipped: published before the database lost them"
        assert gaps == [(org, "{[21,31)}", reason) for org in ORGS]
        for org, records in published(settings).items():
            numbers = [number for number, _ in records]
            assert numbers == sorted(set(numbers)), org
            # Published before the loss, and again under new numbers: readers go by ce_id.
            assert len({event for _, event in records}) == 35


@pytest.mark.timeout(240)
def test_lost_cluster_is_replaced_and_published_again(settings: Settings, tmp_path: Path) -> None:
    """New, empty topics: recover reads them from their beginning, republish fills the canonical."""
    run(settings, tmp_path / "before.log", range(40), 40)
    before = published(settings)
    kafka = settings.kafka.bootstrap_servers
    bus.delete(kafka, topics_of(settings))
    too_early = command(settings, "recover", "--yes")
    assert too_early.returncode != 0
    assert "raw.identity is missing: run `hub-audit topics create`" in too_early.stderr
    assert command(settings, "topics", "create").returncode == 0
    recovered = command(settings, "recover", "--yes")
    assert recovered.returncode == 0, recovered.stderr
    assert "it is read from its beginning, 0" in recovered.stdout
    again = command(settings, "republish", "--yes")
    assert again.returncode == 0, again.stderr
    assert again.stdout == "acme: 20 entries, through 20\nglobex: 20 entries, through 20\n"
    run(settings, tmp_path / "after.log", range(40, 50), 50)
    dsn = settings.postgres.dsn.get_secret_value()
    assert query(dsn, SEEN) == ids(range(50))
    assert query(dsn, BOOKS) == [(True, 50)]
    after = published(settings)
    for org in ORGS:
        fresh = list(dict.fromkeys(after[org]))
        assert fresh[:20] == before[org]
        assert [number for number, _ in fresh] == list(range(1, 26))
    topic = settings.topic("hub.auth.login_success")
    marked = [r for r in bus.read(kafka, [topic]) if "hub_redelivery" in bus.headers_of(r)]
    assert len(marked) >= 40


def test_republish_takes_one_organization_behind_a_number(
    settings: Settings, tmp_path: Path
) -> None:
    """What was cut off goes on where it ended; a number without an organization means nothing."""
    run(settings, tmp_path / "before.log", range(10), 10)
    again = command(settings, "republish", "--org", "acme", "--after", "3", "--yes")
    assert again.stdout == "acme: 2 entries, through 5\n"
    numbers = [number for number, _ in published(settings)["acme"]]
    assert numbers == [1, 2, 3, 4, 5, 4, 5]
    assert command(settings, "republish", "--after", "3", "--yes").returncode == 2


def test_release_before_runs_on_tables_of_the_next(settings: Settings, tmp_path: Path) -> None:
    """A migration only adds: a worker that does not know it goes on, so a release can go back."""
    dsn = settings.postgres.dsn.get_secret_value()
    query(dsn, "ALTER TABLE audit_entries ADD COLUMN of_the_next text")
    query(dsn, "ALTER TABLE lanes ADD COLUMN of_the_next text DEFAULT 'x'")
    query(dsn, "INSERT INTO schema_migrations VALUES ('9999_next', 'x')")
    run(settings, tmp_path / "old.log", range(6), 6)
    assert query(dsn, SEEN) == ids(range(6))
    assert command(settings, "doctor").returncode == 0
    assert command(settings, "migrate").returncode == 0


def test_release_after_waits_for_its_migrations(settings: Settings) -> None:
    """A worker that finds tables of the release before does not start, and says what to run."""
    dsn = settings.postgres.dsn.get_secret_value()
    (newest,) = query(dsn, "SELECT max(name) FROM schema_migrations")[0]
    query(dsn, "DELETE FROM schema_migrations WHERE name = %s", (newest,))
    refused = command(settings, "process")
    assert refused.returncode == 2
    assert f"lacks 1 migrations, first {newest}: run `hub-audit migrate`" in refused.stderr


def _tool(name: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(find_binaries() / name), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _elsewhere(settings: Settings, dsn: str) -> Settings:
    postgres = settings.postgres.model_copy(update={"dsn": type(settings.postgres.dsn)(dsn)})
    return settings.model_copy(update={"postgres": postgres})
