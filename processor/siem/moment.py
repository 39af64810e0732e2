"""Times of entries in the forms that formats want."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def epoch_ms(moment: str) -> int:
    """Return a time, written as entries write it, in milliseconds since 1970."""
    return (datetime.fromisoformat(moment) - _EPOCH) // _MILLISECOND
