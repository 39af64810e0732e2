"""Logs: a line of JSON each, fields beside the event, clients' noise bounded."""

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from processor import logs


class Said:
    """What was written to standard error so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Begin with nothing."""
        self._capsys = capsys
        self._text = ""

    @property
    def text(self) -> str:
        """All of it."""
        self._text += self._capsys.readouterr().err
        return self._text

    @property
    def lines(self) -> list[dict[str, Any]]:
        """All of it, line by line."""
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Iterator[Said]:
    """Give what is logged to standard error; logging is as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Said(capsys)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in logs.NOISY:
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_line_is_an_event_and_its_fields(said: Said) -> None:
    """One JSON object a line: when, how grave, by whom, what, and the fields."""
    logs.configure("INFO", "json")
    logging.getLogger("processor.lane").info("lane_taken_over", extra={"lane": 3, "epoch": 7})
    (line,) = said.lines
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "processor.lane",
        "event": "lane_taken_over",
        "lane": 3,
        "epoch": 7,
    }


def test_field_cannot_forge_a_line(said: Said) -> None:
    """Line ends and control characters of a value stay inside its field, in both forms."""
    hostile = 'x"}\n{"event": "forged"\x1b[2J\u202e'
    for form in ("json", "text"):
        logs.configure("INFO", form)
        logging.getLogger("processor").warning("poll_failed", extra={"error": hostile})
    first, second = said.text.splitlines()
    assert json.loads(first)["error"] == hostile
    assert first.isascii()
    assert second.isprintable()


def test_level_is_kept(said: Said) -> None:
    """What is less grave than asked for is not logged."""
    logs.configure("WARNING", "json")
    logging.getLogger("processor").info("quiet")
    logging.getLogger("processor").error("loud")
    assert [line["event"] for line in said.lines] == ["loud"]


def test_crash_keeps_its_trace(said: Said) -> None:
    """A traceback is a field of its line."""
    logs.configure("INFO", "json")
    bug = ValueError("bug")
    logging.getLogger("processor").error("crashed", exc_info=bug)
    (line,) = said.lines
    assert line["event"] == "crashed"
    assert line["trace"].endswith("ValueError: bug")


def test_client_that_floods_is_cut_off_and_counted(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of thousands of lines in an outage a few pass; the next one later says how many did not."""
    clock = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    logs.configure("INFO", "json")
    client = logging.getLogger("aiokafka.conn")
    for _ in range(5_000):
        client.error("connection refused")
    client.info("never logged: a detail of the client's")
    assert len(said.lines) == logs.CLIENT_LINES_PER_MINUTE
    clock = 61.0
    client.error("connection refused")
    assert said.lines[-1]["lines_kept_back"] == 5_000 - logs.CLIENT_LINES_PER_MINUTE


def test_flood_of_one_client_keeps_no_other_back(said: Said) -> None:
    """Our own lines and those of other clients pass while one is cut off."""
    logs.configure("INFO", "json")
    for _ in range(100):
        logging.getLogger("aiokafka").error("connection refused")
    logging.getLogger("asyncpg").warning("away")
    logging.getLogger("processor").info("lane_reset")
    assert [line["event"] for line in said.lines][-2:] == ["away", "lane_reset"]


def test_quiet_commands_do_not_show_what_clients_say(said: Said) -> None:
    """A command says in its own words what went wrong; a worker logs the clients again."""
    logs.quiet()
    logging.getLogger("aiokafka.conn").error("connection refused")
    assert said.text == ""
    logs.configure("INFO", "json")
    logging.getLogger("aiokafka.conn").error("connection refused")
    assert len(said.lines) == 1
