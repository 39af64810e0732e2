"""The locked versions: complete, with hashes, and from nowhere in particular."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "deploy").glob("*.lock"))
RUNTIME_AND_DEV = ("requirements.lock", "requirements-dev.lock")
NAME = re.compile(r"^([a-z0-9-]+)(?:\[[^]]*\])?==", re.MULTILINE)


def wanted(*, dev: bool) -> set[str]:
    """Return the names of the packages that the project file asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + (project["optional-dependencies"]["dev"] if dev else [])
    return {re.split(r"[\[<>=~;! ]", line)[0].lower().replace("_", "-") for line in lines}


@pytest.mark.parametrize("lock", LOCKS, ids=[lock.name for lock in LOCKS])
def test_lock_has_hashes_and_no_host(lock: Path) -> None:
    """Every package has hashes, so that any index serves; none is named."""
    text = lock.read_text()
    packages = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert packages
    assert [each.split()[0] for each in packages if "--hash=sha256:" not in each] == []
    assert re.findall(r"\w+://|--index|--find-links|file:", text) == []


def test_locks_hold_what_the_project_asks_for() -> None:
    """Both locks hold their dependencies, and the same version wherever both name a package."""
    runtime, dev = ((ROOT / "deploy" / name).read_text() for name in RUNTIME_AND_DEV)
    assert wanted(dev=False) <= set(NAME.findall(runtime))
    assert wanted(dev=True) <= set(NAME.findall(dev))
    assert set(re.findall(r"^[a-z0-9-]+==\S+", runtime, re.MULTILINE)) <= set(
        re.findall(r"^[a-z0-9-]+==\S+", dev, re.MULTILINE)
    )
