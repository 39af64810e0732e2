"""What every run is given: the day, the settings of its workers, and streams of records."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from zlib import crc32

from processor.normalize import Limits
from processor.settings import Settings
from tests.faults.load import Generator, Mix, Shot
from tests.simulation.statements import REFUSED

NOW_MS = 1_795_428_000_000
TODAY = datetime.fromtimestamp(NOW_MS / 1000, UTC).date()
RETENTION_DAYS = 90
SESSION_SECONDS = 3.0
STREAMS = 24
_MARKED = b'"request_id": "'
STREAM_RECORDS = 260
REFUSED_OF_100 = 5
"""How many identities the database takes no row of, whatever the reason."""

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
def stream(number: int, *, refusing: bool = False) -> list[Shot]:
    """Return a stream of records with repeats, conflicts, discards, poison, and refused rows."""
    mix = Mix(seed=number, now_ms=NOW_MS, organizations=4, repeats=0.15, conflicts=0.04, strays=0.2)
    shots = list(islice(Generator(mix).shots(), STREAM_RECORDS))
    refused = _to_be_refused(shots) if refusing else set()
    return [_refused(shot) if _identity(shot) in refused else shot for shot in shots]


def _to_be_refused(shots: Iterable[Shot]) -> set[str]:
    """Return some identities, each of which can be marked in all of its records."""
    values = defaultdict(list)
    for shot in shots:
        values[_identity(shot)].append(shot.value or b"")
    return {
        identity
        for identity, all_of_it in values.items()
        if identity
        and crc32(identity.encode()) % 100 < REFUSED_OF_100
        and all(_MARKED in value for value in all_of_it)
    }


def _identity(shot: Shot) -> str:
    line = shot.line
    return str(line["identity"]) if line["end"] == "entry" and line["identity"] else ""


def _refused(shot: Shot) -> Shot:
    """Return a record that is fine until the database sees it."""
    assert shot.value is not None
    line = shot.line.copy()
    line["end"], line["reason"] = "dead_letter", "refused_by_database"
    return shot._replace(value=shot.value.replace(_MARKED, _MARKED + REFUSED), line=line)
