"""Exports and searches from the command line: whole or not at all, and told to the log."""

import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from processor.cli import main
from processor.settings import Settings
from processor.store.load import load
from tests.integration import bus
from tests.integration.ops import cleaned, environment_of, settings_of
from tests.integration.store import NOW, an_entry, opened

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give an environment with the topic of Hub Audit's own events."""
    settings = settings_of(kafka, postgres_dsn)
    with cleaned(settings):
        bus.create(kafka, [settings.topic("raw.audit")], 3)
        yield settings


@pytest.fixture
async def stored(postgres_dsn: str) -> int:
    """Store some entries of acme, and one of somebody else."""
    entries = [an_entry("acme", f"e{n}", at=NOW - timedelta(days=n)) for n in range(5)]
    async with opened(postgres_dsn) as db:
        return await load(db, [*entries, an_entry("other", "e9")]) - 1


def run(settings: Settings, *arguments: str) -> Result:
    """Run ``hub-audit`` in that environment."""
    return CliRunner(env=environment_of(settings)).invoke(main, arguments)


def told(settings: Settings) -> list[tuple[bytes, dict[str, object]]]:
    """Return what the log of the log was told."""
    records = bus.read(settings.kafka.bootstrap_servers, [settings.topic("raw.audit")])
    return [
        (bus.headers_of(each)["ce_type"] or b"", orjson.loads(bus.value_of(each)))
        for each in records
    ]


def test_export_is_a_file_and_what_proves_it_whole(
    settings: Settings, stored: int, tmp_path: Path
) -> None:
    """The packed file has the six columns; the manifest its rows, digests and numbers."""
    path = tmp_path / "log.csv.gz"
    done = run(settings, "export", "--org", "acme", "-o", str(path), "--json", "actor:usr_1")
    assert done.exit_code == 0, done.output
    text = gzip.decompress(path.read_bytes())
    manifest = json.loads((tmp_path / "log.csv.gz.manifest.json").read_text())
    assert manifest == json.loads(done.stdout)
    assert text.startswith(b"timestamp,actor email,action,target type,target ID,IP address\r\n")
    assert manifest["rows"] == stored == text.count(b"\r\n") - 1
    assert (manifest["bytes"], manifest["sha256"]) == (len(text), sha256(text).hexdigest())
    file = path.read_bytes()
    assert manifest["file_bytes"] == len(file)
    assert manifest["file_sha256"] == sha256(file).hexdigest() != manifest["sha256"]
    assert (manifest["form"], manifest["columns"], manifest["purged_before"]) == (
        "csv",
        "six",
        None,
    )
    assert (manifest["first_seq"], manifest["last_seq"]) == (1, stored)
    ((kind, event),) = told(settings)
    assert kind == b"audit.exported.v1"
    assert event["filter"] == {"query": "actor:usr_1"}


def test_export_is_for_whoever_made_it_alone(
    settings: Settings, tmp_path: Path, stored: int
) -> None:
    """Nobody else on the machine can read it, or what is left of one that was there before."""
    assert stored
    file, manifest = tmp_path / "acme.csv", tmp_path / "acme.csv.manifest.json"
    for old in (file.with_name("acme.csv.partial"), manifest):
        old.write_text("readable")
        old.chmod(0o644)
    result = run(settings, "export", "--org", "acme", "-o", str(file))
    assert result.exit_code == 0, result.output
    assert [oct(each.stat().st_mode & 0o777) for each in (file, manifest)] == ["0o600"] * 2


def test_export_says_what_sha256sum_will(settings: Settings, stored: int, tmp_path: Path) -> None:
    """The digest beside the file's name is the file's; another, where it is packed, says so."""
    for name, form, columns in (("l.csv.gz", "csv-all", "all"), ("l.ndjson", "ndjson", "all")):
        path = tmp_path / name
        done = run(settings, "export", "--org", "acme", "-o", str(path), "--format", form)
        assert done.exit_code == 0, done.output
        first, *more = done.stdout.splitlines()
        digest = sha256(path.read_bytes()).hexdigest()
        assert first == f"{stored} entries in {path}, sha256 {digest}"
        manifest = json.loads((tmp_path / f"{name}.manifest.json").read_text())
        assert more == ([f"unpacked: sha256 {manifest['sha256']}"] if "gz" in name else [])
        assert (manifest["form"], manifest["columns"]) == (form.partition("-")[0], columns)


def test_export_that_fails_leaves_no_file(settings: Settings, tmp_path: Path, stored: int) -> None:
    """A query that makes no sense is shown with a caret; neither file nor manifest remains."""
    path = tmp_path / "log.csv"
    refused = run(settings, "export", "--org", "acme", "-o", str(path), "action:user.creatd")
    assert refused.exit_code == 2
    assert "did you mean user.created?" in refused.output
    assert "\n       ^\n" in refused.output
    nowhere = run(settings, "export", "--org", "acme", "-o", str(tmp_path / "no" / "log.csv"))
    assert nowhere.exit_code == 1
    assert "No such file or directory" in nowhere.output
    nobody = run(settings, "export", "--org", "a b", "-o", str(path))
    assert nobody.exit_code == 1
    assert list(tmp_path.iterdir()) == []
    assert stored


def test_name_that_never_had_an_entry_is_refused(
    settings: Settings, stored: int, tmp_path: Path
) -> None:
    """A mistyped name is not exported as nothing, nor gets its first entry by being asked for."""
    never = "hub-audit: the log has never had an entry of "
    for name, said in (("Acme", "'Acme': did you mean acme?"), ("acne", "'acne'")):
        for command in (["search"], ["export", "-o", str(tmp_path / "log.csv")]):
            refused = run(settings, *command, "--org", name)
            assert (refused.exit_code, refused.output) == (1, f"{never}{said}\n")
    assert list(tmp_path.iterdir()) == []
    assert (told(settings), stored) == ([], 5)


def test_search_shows_lines_or_entries(settings: Settings, stored: int) -> None:
    """The newest come first; free text is found, and is not told to the log."""
    shown = run(settings, "search", "--org", "acme", "--limit", "2", "PASSWORD")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert len(lines) == 2
    assert "auth.login_success" in lines[0]
    assert lines[0] > lines[1]
    assert "more results exist" in shown.stderr
    found = run(settings, "search", "--org", "acme", "--json", "--", "-action:auth.logout")
    assert [json.loads(line)["seq"] for line in found.stdout.splitlines()] == [
        *range(1, stored + 1)
    ]
    assert [event["filter"] for _, event in told(settings)] == [
        {"query": "(hidden)"},
        {"query": "-action:auth.logout"},
    ]


def test_what_is_not_wanted_is_no_option(
    settings: Settings, stored: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A condition with a minus is one, wherever it stands: no letter of it names a file."""
    monkeypatch.chdir(tmp_path)
    wanted = ("action:auth.*", "-outcome:failure")
    done = run(settings, "export", "--org", "acme", "-o", "all.csv", *wanted, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"] == stored
    assert {path.name for path in tmp_path.iterdir()} == {"all.csv", "all.csv.manifest.json"}
    for unwanted, shown in (("-outcome:success", "-outcome:success"), ('-"old"', "-(hidden)")):
        found = run(settings, "search", unwanted, "--org", "acme", "--json", "--", "ip:203.0.113.9")
        assert found.exit_code == 0, found.output
        assert found.stdout.count("\n") == (0 if unwanted == shown else stored)
        assert told(settings)[-1][1]["filter"] == {"query": f"{shown} ip:203.0.113.9"}
