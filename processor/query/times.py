"""Times in a query: ISO 8601 in UTC, or so long ago, and periods of them.

An end includes its own unit: ``..2026-11-30`` takes all of that day, ``..2026-11-30T12:00`` all of
that minute. ``30d`` alone is from that long ago until now.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from schemas.query import Period

_AGO = re.compile(r"(\d{1,6})(w|d|h|m|s)", re.ASCII)
_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|z|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)
_AGO_MAX = timedelta(days=36_500)
_DAY, _MINUTE, _SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_LATEST = datetime(9999, 12, 30, tzinfo=UTC)

EXPECTED = "a time is 2026-11-30, 2026-11-30T12:00Z or 30d (so long ago)"
BACKWARDS = "this period ends before it begins"


class _Unit(NamedTuple):
    """A stretch of time that was named: its beginning, and where it ends."""

    since: datetime | timedelta
    until: datetime | timedelta


def parse(text: str) -> Period:
    """Return the period; raises ValueError with what was expected."""
    since, dots, until = text.partition("..")
    if dots and not since and not until:
        raise ValueError(EXPECTED)
    if not dots:
        unit = _unit(text)
        return Period(unit.since, None if isinstance(unit.since, timedelta) else unit.until)
    period = Period(
        _unit(since).since if since else None,
        _unit(until).until if until else None,
    )
    if _is_backwards(period):
        raise ValueError(BACKWARDS)
    return period


def render(period: Period) -> str:
    """Return the text of a period whose ends are whole milliseconds, or whole seconds ago."""
    since, until = period.since, period.until
    if isinstance(since, timedelta) and until is None:
        return _ago(since)
    if isinstance(since, datetime) and isinstance(until, datetime):
        unit = _coarsest(until)
        if until - since == unit and _coarsest(since) >= unit:
            return _instant(since, unit)
    begin = "" if since is None else _begin(since)
    return f"{begin}..{'' if until is None else _end(until)}"


def _unit(text: str) -> _Unit:
    if match := _AGO.fullmatch(text):
        ago = int(match.group(1)) * _UNITS[match.group(2)]
        if ago > _AGO_MAX:
            raise ValueError("36500d is as far back as one can ask")
        return _Unit(ago, ago)
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(EXPECTED)
    day, minute, second, fraction, zone = match.groups()
    unit = _MILLISECOND if fraction else _SECOND if second else _MINUTE if minute else _DAY
    milliseconds = (fraction or "")[:3].ljust(3, "0")
    written = f"{day}T{minute or '00:00'}:{second or '00'}.{milliseconds}{zone or 'Z'}"
    try:
        since = datetime.fromisoformat(written.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(EXPECTED) from error
    if since > _LATEST:
        raise ValueError(EXPECTED)
    return _Unit(since, since + unit)


def _is_backwards(period: Period) -> bool:
    since, until = period.since, period.until
    if isinstance(since, datetime) and isinstance(until, datetime):
        return until <= since
    return isinstance(since, timedelta) and isinstance(until, timedelta) and until >= since


def _ago(ago: timedelta) -> str:
    seconds = ago // _SECOND
    for letter in ("d", "h", "m"):
        if seconds and seconds % (_UNITS[letter] // _SECOND) == 0:
            return f"{ago // _UNITS[letter]}{letter}"
    return f"{seconds}s"


def _begin(since: datetime | timedelta) -> str:
    if isinstance(since, timedelta):
        return _ago(since)
    return _instant(since, _coarsest(since))


def _end(until: datetime | timedelta) -> str:
    if isinstance(until, timedelta):
        return _ago(until)
    unit = _coarsest(until)
    return _instant(until - unit, unit)


def _coarsest(instant: datetime) -> timedelta:
    """Return the largest unit that the instant is a whole number of."""
    elapsed = instant - datetime(1, 1, 1, tzinfo=UTC)
    for unit in (_DAY, _MINUTE, _SECOND):
        if not elapsed % unit:
            return unit
    return _MILLISECOND


def _instant(instant: datetime, unit: timedelta) -> str:
    if unit == _DAY:
        return instant.strftime("%Y-%m-%d").rjust(10, "0")
    precision = {_MINUTE: "minutes", _SECOND: "seconds"}.get(unit, "milliseconds")
    return instant.isoformat(timespec=precision).removesuffix("+00:00") + "Z"
