"""What a machine lacks is said at the end of a run, so that nobody takes its tests for passed."""

import os
import subprocess
import sys
from pathlib import Path

WITHOUT_TOOLS = """LEFT OUT: 2 files
  tests/contract/test_kubernetes.py wants kubectl 1.21 or newer: Debian 12 has an older one
  tests/contract/test_promtool.py wants promtool: install prometheus
===="""


def test_files_that_cannot_run_are_counted() -> None:
    """How many of those that were asked for, and what each wants."""
    what = ("tests/contract", "--ignore-glob=*/test_[!kp]*", "tests/integration/test_tail.py")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", *what]
    root = Path(__file__).parents[2]
    env = os.environ | {"PATH": ""}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    assert WITHOUT_TOOLS in done.stdout
