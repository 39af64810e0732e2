"""What is shipped: a wheel that is the same whenever it is built, and works when installed."""

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from processor.local.child import Account, as_account
from processor.local.postgres import reachable
from tests.integration.store import query
from tests.wheel import ROOT, build

LOCKED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[\w+\])?==([^\s;\\]+)", re.MULTILINE)
NOBODY = Account("nobody", 65_534, 65_534)
EXAMPLE = ROOT / "schemas" / "examples" / "raw" / "identity.login.succeeded.v1.json"


@pytest.fixture(scope="module")
def wheel(server_directory: Path) -> Path:
    """Give the wheel."""
    return build(server_directory / "wheel")


def test_wheel_is_the_same_when_built_again(wheel: Path, tmp_path: Path) -> None:
    """Another place, another moment: the same bytes."""
    again = build(tmp_path)
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (wheel, again)]
    assert digests[0] == digests[1]


def test_wheel_holds_all_that_is_not_code(wheel: Path) -> None:
    """SQL, schemas, templates and static files are inside; tests and what is local are not."""
    inside = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        str(path.relative_to(ROOT))
        for package in ("processor", "schemas")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in inside if ".dist-info/" not in name}
    assert packed == expected
    assert "processor/store/sql/migrations/0001_entries.sql" in packed
    assert "processor/api/templates/log.html" in packed


class Installation:
    """The wheel in a directory of its own, used by somebody who may write nowhere."""

    def __init__(self, directory: Path, wheel: Path) -> None:
        """Install it; what it depends on is what the tests run with."""
        self.directory = directory / "installed"
        self.work = directory / "work"
        self.work.mkdir(mode=0o555)
        command = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile")
        subprocess.run(
            [*command, "--disable-pip-version-check", "--target", str(self.directory), str(wheel)],
            check=True,
        )
        stranger = os.geteuid() == 0 and reachable(Path(sys.prefix), NOBODY)
        self._account = NOBODY if stranger else None

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run a command as the image would: no home, nothing to write to; it has to succeed."""
        command = [sys.executable, str(self.directory / "bin" / "hub-audit"), *arguments]
        given = {
            "PYTHONPATH": str(self.directory),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/nonexistent",
            "PATH": "/usr/bin:/bin",
        }
        done = subprocess.run(
            command,
            cwd=self.work,
            env=given | dict(env or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            **as_account(self._account),  # type: ignore[call-overload]  # keywords by name
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said: str = done.stdout
        return said


@pytest.fixture(scope="module")
def installed(server_directory: Path, wheel: Path) -> Installation:
    """Give an installation."""
    return Installation(server_directory / "wheel", wheel)


def test_installed_command_works(installed: Installation, empty_postgres_dsn: str) -> None:
    """Settings, contracts and migrations come from the wheel, for a user who owns nothing."""
    assert installed.run("--version") == "hub-audit 0.1.0\n"
    shown = json.loads(installed.run("config", "show", "--json"))
    assert shown["lanes"] == 12
    judged = json.loads(installed.run("validate", str(EXAMPLE), "--json"))
    assert (judged["events"], judged["rejected"]) == (1, 0)
    env = {"HUB_AUDIT_POSTGRES_DSN": empty_postgres_dsn}
    assert installed.run("migrate", env=env).endswith("the database is up to date\n")
    assert query(empty_postgres_dsn, "SELECT count(*) FROM audit_entries") == [(0,)]
    assert not list(installed.work.iterdir())
    assert not list(installed.directory.rglob("__pycache__"))


@pytest.mark.timeout(240)
def test_bill_of_materials_is_the_lock(tmp_path: Path) -> None:
    """`make sbom` names every locked package, its version, and nothing that changes by itself."""
    where = tmp_path / "sbom.json"
    command = ["make", "sbom", f"PYTHON={sys.executable}", f"SBOM={where}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    bill = json.loads(where.read_text())
    assert "serialNumber" not in bill
    assert "timestamp" not in bill["metadata"]
    listed = {(each["name"], each["version"]) for each in bill["components"]}
    lock = (ROOT / "deploy" / "requirements.lock").read_text()
    assert listed == set(LOCKED.findall(lock))
