"""The rules of Prometheus are tested where its tool is."""

import shutil

PROMTOOL = shutil.which("promtool")

collect_ignore = [] if PROMTOOL else ["test_promtool.py"]


def pytest_report_header() -> str:
    """Say whether the rules are tested by Prometheus' tool."""
    return f"promtool: {PROMTOOL or 'none, the tests of the alerts are LEFT OUT: prometheus'}"
