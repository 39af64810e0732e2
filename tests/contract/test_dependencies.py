"""What production runs is imported with what production installs: nothing of ``dev`` is needed."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCKED = re.compile(r"^([a-z0-9-]+)(?:\[[^]]*\])?==", re.MULTILINE)

GENERATOR = "schemas.generate"
"""Writes what is committed, where contracts are changed: it alone may want more."""

# Run by a Python of its own: this one has long imported all that is to be missing.
IMPORTS = """
import importlib, json, pkgutil, sys

class Missing:
    def __init__(self, names):
        self._names = set(names)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

asked = json.load(sys.stdin)
sys.meta_path.insert(0, Missing(asked["missing"]))
failed, count = {}, 0
for package in ("processor", "schemas"):
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, f"{package}."):
        if module.name == asked["generator"]:
            continue
        count += 1
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            failed[module.name] = str(error)
generated = asked["generator"] in sys.modules
print(json.dumps({"failed": failed, "count": count, "generated": generated}))
"""


def not_installed() -> list[str]:
    """Return the top-level modules of this environment that the image does not have."""
    locked = set(LOCKED.findall((ROOT / "deploy" / "requirements.lock").read_text()))
    return [
        module
        for module, packages in packages_distributions().items()
        if locked.isdisjoint(re.sub(r"[-_.]+", "-", name).lower() for name in packages)
        and module not in ("processor", "schemas")
    ]


def test_every_module_is_imported_with_the_locked_packages_alone() -> None:
    """Whatever process starts, it finds what it imports in the image."""
    missing = not_installed()
    assert {"yaml", "pytest", "hypothesis"} <= set(missing)
    assert {"fastapi", "aiokafka", "asyncpg", "faust", "orjson"}.isdisjoint(missing)
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        cwd=ROOT,
        input=json.dumps({"missing": missing, "generator": GENERATOR}),
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout)
    assert seen["failed"] == {}
    assert not seen["generated"]
    assert seen["count"] > 150
