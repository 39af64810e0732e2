"""A worker as the image has it: what every record passes is compiled by mypyc; large pages."""

import re
import shutil
from functools import cache
from importlib.metadata import version
from pathlib import Path

from tests import wheel

BUILD = wheel.ROOT / "build" / "compiled"


@cache
def packages() -> Path | None:
    """Compile the working tree, once; return where it lies, None where nothing can compile."""
    if wheel.lacking():
        return None
    shutil.rmtree(BUILD, ignore_errors=True)
    return wheel.unpacked(wheel.build(BUILD, compiled=True))


def allocator() -> dict[str, str]:
    """Return what the image tells glibc's allocator; every contender is told the same."""
    told = re.search(r"\bGLIBC_TUNABLES=(\S+)", (wheel.ROOT / "deploy" / "Dockerfile").read_text())
    return {"GLIBC_TUNABLES": told[1]} if told else {}


def described() -> str:
    """Say what a worker is here."""
    if lacking := wheel.lacking():
        return f"Workers are not compiled, for want of {lacking}."
    return f"Workers are compiled by mypyc {version('mypy')} as in their image, unless noted."
