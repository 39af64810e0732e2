"""Where downloads are kept."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """Return where downloads are kept, outside the repository."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hub-audit"
