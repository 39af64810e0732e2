"""What this machine needs: the virtual environment, whatever became of an earlier one."""

import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from processor.local.child import NotStarted
from processor.local.environment import (
    JAVA_PACKAGE,
    STAMP,
    begin_venv,
    can_go_on,
    fingerprint,
    install_packages,
    is_complete,
)
from processor.local.kafka import java


def program(path: Path, exit_code: int = 0) -> str:
    """Make a program that does nothing, and return its path."""
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\nexit {exit_code}\n")
    path.chmod(0o755)
    return str(path)


def pip_of(directory: Path) -> str:
    """Return what the pip of a virtual environment says when it is called by its own name."""
    pip = [str(directory / "bin" / "pip"), "--version"]
    return subprocess.run(pip, capture_output=True, text=True, check=True).stdout


def test_venv_is_made_anew_where_it_cannot_be_gone_on_with(tmp_path: Path) -> None:
    """It ended before pip was there, or was moved with its checkout, or leads to another's."""
    here, moved, link = (tmp_path / name / ".venv" for name in ("here", "moved", "link"))
    venv.create(here, with_pip=False)
    begin_venv(here)
    assert str(here) in pip_of(here)
    (here / "kept").touch()
    begin_venv(here)
    assert (here / "kept").exists()

    shutil.copytree(here, moved, symlinks=True)
    begin_venv(moved)
    assert str(moved) in pip_of(moved)

    link.parent.mkdir()
    link.symlink_to(here)
    begin_venv(link)
    assert str(link) in pip_of(link)
    assert (here / "kept").exists()


def test_venv_without_its_python_is_not_complete(tmp_path: Path) -> None:
    """A Python that was removed or upgraded leaves a link that leads nowhere."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.touch()
    (tmp_path / STAMP).write_text(fingerprint())
    assert is_complete(tmp_path)
    python.unlink()
    python.symlink_to("nowhere")
    assert not is_complete(tmp_path)
    assert not can_go_on(tmp_path)


@pytest.mark.parametrize(
    ("exit_code", "named"), [(0, JAVA_PACKAGE), (100, "default-jre-headless")], ids=["12", "13"]
)
def test_who_may_not_install_is_told_what_the_release_has(
    exit_code: int, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian 13 has no Java 17 any more."""
    program(tmp_path / "bin" / "apt-cache", exit_code)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(NotStarted, match=f"apt-get install {named} maven\n"):
        install_packages({"Java": JAVA_PACKAGE, "Maven": "maven"})


def test_java_of_homebrew_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On no path, the newest of them; one on the path or in JAVA_HOME is somebody's choice."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    program(tmp_path / "opt" / "openjdk@8" / "bin" / "java")
    seventeen = program(tmp_path / "opt" / "openjdk@17" / "bin" / "java")
    assert java([tmp_path / "opt"]) == seventeen
    newest = program(tmp_path / "opt" / "openjdk" / "bin" / "java")
    assert java([tmp_path / "opt"]) == newest
    on_path = program(tmp_path / "bin" / "java")
    assert java([tmp_path / "opt"]) == on_path
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "opt" / "openjdk@17"))
    assert java([tmp_path / "opt"]) == seventeen
