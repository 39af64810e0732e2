"""RFC 5424: a message with its header and structured data around a text."""

import re
from collections.abc import Mapping

FACILITY = 13
"""Log audit."""

HOST = "hub"
APPLICATION = "hub-audit"
SD_ID = "hub@32473"
"""32473 is the number that documentation uses; Hub has none of its own registered."""

MSGID_CHARACTERS_MAX = 32
NIL = "-"

SEVERITIES: Mapping[str, int] = {"warning": 4, "notice": 5, "info": 6}
"""By the catalogue's word for it."""

# A line of syslog is read by programs that end it at any of these.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TO_ESCAPE = re.compile(r'(["\\\]])')


def message(
    moment: str, severity: str, msgid: str, data: Mapping[str, str | None], text: str
) -> bytes:
    """Return a message; ``data`` without a value is left out.

    The text has no byte order mark before it: RFC 5424 would like one before UTF-8, but then no
    parser that looks for ``CEF:`` at its beginning finds it.
    """
    priority = FACILITY * 8 + SEVERITIES[severity]
    parameters = "".join(
        f' {name}="{_escaped(value)}"' for name, value in data.items() if value is not None
    )
    header = f"<{priority}>1 {moment} {HOST} {APPLICATION} {NIL} {msgid[:MSGID_CHARACTERS_MAX]}"
    return f"{header} [{SD_ID}{parameters}] {text}".encode()


def on_one_line(value: str) -> str:
    """Return a text with a space for each control character and line separator."""
    return _CONTROL.sub(" ", value)


def _escaped(value: str) -> str:
    return _TO_ESCAPE.sub(r"\\\1", on_one_line(value))
