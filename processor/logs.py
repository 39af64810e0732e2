"""Structured logs: an event's name and its fields; one line each, as JSON or for a terminal."""

import json
import logging
import sys
import time
from collections import deque
from datetime import UTC, datetime
from typing import Literal

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

CLIENT_LINES_PER_MINUTE = 10
"""An outage of 20 s made the Kafka client log 12,000 lines."""

NOISY = ("aiokafka", "asyncio", "asyncpg", "uvicorn.error")


class JsonFormatter(logging.Formatter):
    """One JSON object a line; fields never stand in the text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """A line for people: time, level, event, ``field=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{name}={value!r}" for name, value in _fields(record).items())
        line = f"{at} {record.levelname:<7} {record.getMessage()} {fields}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class AtMost(logging.Filter):
    """Lets a bounded number of lines a minute through, and says how many it kept back."""

    def __init__(self, lines_per_minute: int) -> None:
        """Begin with nothing seen."""
        super().__init__()
        self._max = lines_per_minute
        self._passed: deque[float] = deque()
        self._kept = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the line passes."""
        now = time.monotonic()
        while self._passed and now - self._passed[0] > 60:  # noqa: PLR2004 - a minute
            self._passed.popleft()
        if len(self._passed) >= self._max:
            self._kept += 1
            return False
        if self._kept:
            record.lines_kept_back, self._kept = self._kept, 0
        self._passed.append(now)
        return True


def configure(level: str, form: Literal["json", "text"]) -> None:
    """Log to standard error, in this form, from this level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.NOTSET)
    limits = {name: AtMost(CLIENT_LINES_PER_MINUTE) for name in NOISY}

    def limited(record: logging.LogRecord) -> bool:
        limit = limits.get(record.name) or limits.get(record.name.partition(".")[0])
        if limit is None:
            return True
        return record.levelno >= logging.WARNING and limit.filter(record)

    handler.addFilter(limited)


def quiet() -> None:
    """Keep the clients' own lines from a command that says in its own words what went wrong."""
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
