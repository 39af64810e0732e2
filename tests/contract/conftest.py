"""The rules of Prometheus and the manifests of Kubernetes are tested where their tools are."""

import shutil

from tests.left_out import leave_out

TOOLS = {
    "promtool": ("test_promtool.py", "promtool: install prometheus"),
    "kubectl": ("test_kubernetes.py", "kubectl 1.21 or newer: Debian 12 has an older one"),
}

collect_ignore = leave_out(
    "contract", dict(wanted for tool, wanted in TOOLS.items() if shutil.which(tool) is None)
)
