"""What this machine needs: the virtual environment, whatever became of an earlier one."""

import shutil
import subprocess
import venv
from pathlib import Path

from processor.local.environment import STAMP, begin_venv, can_go_on, fingerprint, is_complete


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
