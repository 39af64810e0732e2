"""The rules of Prometheus and the manifests of Kubernetes are tested where their tools are."""

import shutil
from collections.abc import Iterator

TOOLS = {"promtool": "test_promtool.py", "kubectl": "test_kubernetes.py"}

collect_ignore = [file for tool, file in TOOLS.items() if shutil.which(tool) is None]


def pytest_report_header() -> list[str]:
    """Say what is tested by its own tool, and what cannot be."""
    return list(_said())


def _said() -> Iterator[str]:
    for tool, file in TOOLS.items():
        found = shutil.which(tool)
        yield f"{tool}: {found or f'none, {file} is LEFT OUT: install it'}"
