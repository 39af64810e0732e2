"""The wheel as it is shipped, and the same with what every record passes compiled by mypyc."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "README.md", "setup.py", "processor", "schemas")
EPOCH = "1767225600"


def build(directory: Path, *, compiled: bool = False) -> Path:
    """Build the wheel as `make wheel` does: from a fresh copy, whose files are of now."""
    copy = directory / "sources"
    copy.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(ROOT / name, copy / name)
    for path in copy.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    command = (sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation")
    subprocess.run(
        [*command, "--disable-pip-version-check", "--wheel-dir", str(directory), str(copy)],
        check=True,
        env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH, "COMPILE_HUB_AUDIT": str(int(compiled))},
        umask=0o022,
    )
    (wheel,) = directory.glob("*.whl")
    return wheel


def unpacked(wheel: Path) -> Path:
    """Unpack a wheel beside itself; the directory goes before all others on a process's path."""
    directory = wheel.with_suffix("")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory)
    return directory


def lacking() -> str | None:
    """Say what is lacking here to compile with; None where nothing is."""
    if shutil.which("cc") is None:
        return "a C compiler"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python's headers"
    return None
