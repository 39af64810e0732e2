"""What every record passes, compiled as in the image: the tests of the source hold for it too."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wheel import ROOT, build, unpacked

OF_COMPILED = (
    *("tests/unit/test_decode.py", "tests/unit/test_decode_details.py", "tests/unit/test_route.py"),
    *(f"tests/unit/test_normalize_{of}.py" for of in ("bounds", "common", "poison", "reasons")),
    *(f"tests/unit/test_normalize_{of}.py" for of in ("billing", "identity", "permission")),
    *("tests/unit/test_normalize_redact.py", "tests/unit/test_realdata.py"),
    *("tests/property/test_decode_is_total.py", "tests/property/test_normalize.py"),
    "tests/property/test_path_is_total.py",
)


@pytest.mark.timeout(300)
def test_compiled_modules_pass_the_same_tests(server_directory: Path) -> None:
    """They decode, normalize and render as their source does."""
    here = unpacked(build(server_directory / "compiled", compiled=True))
    assert list(here.glob("processor/normalize/__init__.*.so"))
    for source in here.glob("processor/normalize/*.py"):
        source.unlink()  # what was not compiled is missed
    shutil.copytree(ROOT / "tests", here / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", here / "pyproject.toml")
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *OF_COMPILED)
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
