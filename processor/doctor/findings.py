"""What a check has to say: what was looked at, how bad it is, and what to do about it."""

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


COLORS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


class Finding(NamedTuple):
    """What was looked at, what was found, and what to do about it."""

    check: str
    level: Level
    said: str
    fix: str = ""


def lines(finding: Finding) -> str:
    """Return a finding for people, without its level; what to do stands on a line of its own."""
    fix = f"\n{'':31}-> {finding.fix}" if finding.fix else ""
    return f"{finding.check:21} {finding.said}{fix}"


def ok(check: str, said: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Level.OK, said)


def warning(check: str, said: str, fix: str) -> Finding:
    """Return what is to be mended some time."""
    return Finding(check, Level.WARNING, said, fix)


def problem(check: str, said: str, fix: str = "") -> Finding:
    """Return what is to be mended now."""
    return Finding(check, Level.PROBLEM, said, fix)


def split(told: str) -> tuple[str, str]:
    """Return what is wrong and what to do about it, which a problem has behind its last colon."""
    said, _, fix = told.rpartition(": ")
    return (said, fix) if said else (fix, "")
