"""Build the wheel; with ``COMPILE_HUB_AUDIT=1`` what every record passes is compiled by mypyc.

The source stays Python and runs uncompiled just the same, only slower: `make bench` shows by how
much. Compiled are modules that decide and render, and nothing that waits, keeps state or is the
client of a server: there the time is not spent in our own code.
"""

import os

from setuptools import Extension, setup

COMPILED = (
    *("schemas/entry.py", "processor/ingest/document.py", "processor/ingest/decode.py"),
    *(
        f"processor/normalize/{name}.py"
        for name in (
            *("__init__", "address", "assemble", "audit", "billing", "details", "draft"),
            *("entry_id", "event_types", "extra", "fit", "identity", "instant", "permission"),
            "redact",
        )
    ),
    *("processor/store/rows.py", "processor/emit/route.py"),
)

# No types are checked but those of our own modules: what a wheel is built in has no dependencies.
OPTIONS = ("--config-file=", "--ignore-missing-imports", "--follow-imports=silent")


def extensions() -> list[Extension]:
    """Return what is to be compiled; nothing unless it is asked for."""
    if os.environ.get("COMPILE_HUB_AUDIT") != "1":
        return []
    from mypyc.build import mypycify  # noqa: PLC0415 - needs mypy, which an ordinary build has not

    return mypycify([*OPTIONS, *COMPILED], opt_level="3", debug_level="0", group_name="hub_audit")


setup(ext_modules=extensions())
