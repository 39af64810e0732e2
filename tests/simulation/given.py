"""What every run is given: the day, the settings of its workers, and streams of records."""

from datetime import UTC, datetime
from functools import cache
from itertools import islice

from processor.normalize import Limits
from processor.settings import Settings
from tests.faults.load import Generator, Mix, Shot

NOW_MS = 1_795_428_000_000
TODAY = datetime.fromtimestamp(NOW_MS / 1000, UTC).date()
RETENTION_DAYS = 90
SESSION_SECONDS = 3.0
STREAMS = 24
STREAM_RECORDS = 260

LIMITS = Limits(
    retention_ms=RETENTION_DAYS * 86_400_000,
    oldest_day_ms=NOW_MS - (RETENTION_DAYS + 1) * 86_400_000,
    families={f"raw.{name}": name for name in ("identity", "permission", "billing", "audit")},
)


@cache
def settings(lanes: int) -> Settings:
    """Return the settings of every worker: short times, so that runs are short."""
    return Settings(
        group="simulated",
        lanes=lanes,
        kafka={
            "session_timeout_ms": int(SESSION_SECONDS * 1000),
            "heartbeat_interval_ms": 700,
            "transaction_timeout_ms": 4000,
        },
        batch={"records_max": 25},
    )


@cache
def stream(number: int) -> list[Shot]:
    """Return a stream of records with repeats, conflicts, discards and poison."""
    mix = Mix(seed=number, now_ms=NOW_MS, organizations=4, repeats=0.15, conflicts=0.04, strays=0.2)
    return list(islice(Generator(mix).shots(), STREAM_RECORDS))
