"""Times: the event's text to milliseconds since 1970, and milliseconds to the one rendering."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, after which a time has no such text."""

CACHED_MINUTES_MAX = 4_096
"""Events come close together; their date, hour and minute are the same text again and again."""

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d):([0-5]\d|60)(?:\.(\d+))?"
    r"(?:(Z)|([+-])([01]\d|2[0-3]):([0-5]\d))?",
    re.ASCII,
)
_MINUTE = re.compile(r"\d{4}-\d\d-\d\d[T ](?:[01]\d|2[0-3]):[0-5]\d", re.ASCII)
_USUAL_LENGTH = len("2000-01-01T00:00:00.000Z")
_SECONDS = {f"{second:02d}": second * 1_000 for second in range(61)}
_MILLISECONDS = {f"{ms:03d}": ms for ms in range(1_000)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Instant(NamedTuple):
    """When it happened, cut to the millisecond, whether the zone was said, and its rendering."""

    ms: int
    quality: Literal["exact", "assumed_zone"]
    text: str


def parse(text: str) -> Instant | None:
    """Return the instant of an RFC 3339 time; None for anything else.

    A space may stand for the ``T`` and the zone may be missing: then it is UTC. A leap second is
    the second after it.
    """
    if len(text) == _USUAL_LENGTH and text[16] == ":" and text[19] == "." and text[23] == "Z":
        second, fraction = _SECONDS.get(text[17:19]), _MILLISECONDS.get(text[20:23])
        minute = _minute_ms(text[:16])
        if second is None or fraction is None or minute is None:
            return None
        ms = minute + second + fraction
        # A leap second becomes the second after it; everything else reads as it is rendered.
        as_it_is = text[17] != "6" and text[10] != " "
        return Instant(ms, "exact", text if as_it_is else _rendered(ms, text))
    return _parse_unusual(text)


def _parse_unusual(text: str) -> Instant | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    minute, second, fraction, utc, sign, hours, minutes = match.groups()
    ms = _minute_ms(minute)
    if ms is None:
        return None
    ms += _SECONDS[second]
    if fraction:
        ms += _MILLISECONDS[fraction[:3].ljust(3, "0")]
    if sign:
        shift = int(hours) * HOUR_MS + int(minutes) * MINUTE_MS
        ms -= shift if sign == "+" else -shift
    return Instant(ms, "exact" if utc or sign else "assumed_zone", _rendered(ms, text))


def _rendered(ms: int, text: str) -> str:
    """Return the rendering; the text itself of what has none, which is never stored."""
    return render(ms) if 0 <= ms <= LATEST_MS else text


def is_time(text: str) -> bool:
    """Tell whether a text is a time and nothing else."""
    return len(text) >= len("2000-01-01T00:00:00") and parse(text) is not None


def render(ms: int) -> str:
    """Return ``YYYY-MM-DDTHH:MM:SS.mmmZ``; ``ms`` lies in the years 1970 to 9999."""
    minute, rest = divmod(ms, MINUTE_MS)
    return f"{_minute_text(minute)}{rest // 1_000:02d}.{rest % 1_000:03d}Z"


@lru_cache(CACHED_MINUTES_MAX)
def _minute_ms(text: str) -> int | None:
    """Return the milliseconds of ``YYYY-MM-DDTHH:MM``, None when there is no such minute."""
    if _MINUTE.fullmatch(text) is None:
        return None
    try:
        minute = datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None
    return (minute - _EPOCH) // timedelta(milliseconds=1)


@lru_cache(CACHED_MINUTES_MAX)
def _minute_text(minute: int) -> str:
    return (_EPOCH + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:")
