"""P14: from ``make demo`` to its page, in a fresh clone of this project and in the same again.

Cold is without virtual environment, Kafka and data; what pip, Maven and the machine keep of earlier
downloads is there as it happens to be.
"""

import os
import re
import signal
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
READY = re.compile(r"page ready after ([\d.]+) s")
END_SECONDS_MAX = 60.0


def measure() -> dict[str, float]:
    """Return the seconds that a newcomer waits for the page, and who comes back."""
    with TemporaryDirectory(prefix="hub-audit-arriving-") as directory:
        clone = Path(directory, "hub-audit")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        return {"cold_seconds": _page_after(clone), "warm_seconds": _page_after(clone)}


def _page_after(clone: Path) -> float:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "VIRTUAL_ENV" and not name.startswith("HUB_AUDIT_")
    }
    demo = subprocess.Popen(
        ["make", "demo"],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout is not None
    said = []
    try:
        for line in demo.stdout:
            said.append(line)
            if found := READY.search(line):
                return float(found[1])
        raise RuntimeError("the demo ended without its page:\n" + "".join(said))
    finally:
        if demo.poll() is None:
            # Not SIGINT: what a shell starts in the background ignores it, and so do its children.
            os.killpg(demo.pid, signal.SIGTERM)
        demo.communicate(timeout=END_SECONDS_MAX)
