"""What Prometheus' own tool says of the configuration, the rules and their unit tests."""

import subprocess
from pathlib import Path

import pytest

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))


def promtool(*arguments: str, directory: Path = PROMETHEUS) -> None:
    """Run promtool; fail with what it says."""
    done = subprocess.run(
        ["promtool", *arguments], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_configuration_is_sound() -> None:
    """Prometheus takes the configuration and every rule, and has nothing to remark."""
    promtool("check", "config", "--lint=all", "--lint-fatal", "prometheus.yml")


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_do_not(path: Path) -> None:
    """The unit tests of the rules pass."""
    promtool("test", "rules", path.name, directory=path.parent)
