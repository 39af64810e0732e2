"""The demo's traffic: repeatable, complete, and as bad as it says it is."""

from collections import Counter
from random import Random

import orjson

from processor.demo.events import KINDS
from processor.demo.generator import Mix, Publication, draw, traffic
from processor.demo.poison import POISON
from processor.demo.world import organizations
from processor.ingest.decode import decode
from processor.normalize import Limits, normalize
from schemas.record import RawRecord
from schemas.rejection import Discard, Rejection

START_MS = 1_780_000_000_000
DAY_MS = 86_400_000
LIMITS = Limits(
    retention_ms=90 * DAY_MS,
    oldest_day_ms=START_MS - 100 * DAY_MS,
    families={
        "raw.identity": "identity",
        "raw.permission": "permission",
        "raw.billing": "billing",
    },
)


def drawn(seed: int, count: int, mix: Mix) -> list[Publication]:
    """Return that many publications, one per millisecond."""
    return list(traffic(seed, range(START_MS, START_MS + count), mix))


def type_of(publication: Publication) -> str:
    """Return the raw type in whichever content mode it was sent."""
    headers = dict(publication.headers)
    if "ce_type" in headers:
        return headers["ce_type"].decode()
    raw_type: str = orjson.loads(publication.value or b"")["type"]
    return raw_type


def test_same_seed_gives_same_bytes() -> None:
    """Two runs of one seed are equal to the byte; another seed is another run."""
    mix = Mix()
    assert drawn(7, 500, mix) == drawn(7, 500, mix)
    assert drawn(7, 500, mix) != drawn(8, 500, mix)


def test_every_type_occurs_on_its_topic() -> None:
    """A few thousand events hold all 21 raw types of the three topics, keyed by organization."""
    publications = drawn(1, 5_000, Mix(duplicates=0, poison=0))
    seen = {(type_of(each), each.topic) for each in publications}
    assert seen == {(kind.type, kind.topic) for kind in KINDS}
    assert all((each.key or b"").startswith(b"org-") for each in publications)


def test_organizations_are_as_many_as_asked_for() -> None:
    """The mix says how many organizations are busy."""
    publications = drawn(1, 2_000, Mix(organizations=3, poison=0))
    assert len({each.key for each in publications}) == 3


def test_shares_of_duplicates_and_poison_are_as_asked_for() -> None:
    """Duplicates repeat earlier bytes; their number and that of bad records follow the mix."""
    clean = drawn(3, 4_000, Mix(duplicates=0, poison=0))
    assert max(Counter((each.topic, each.key, each.value) for each in clean).values()) == 1
    repeated = drawn(3, 4_000, Mix(duplicates=0.1, poison=0))
    distinct = {(each.topic, each.key, each.value, tuple(each.headers)) for each in repeated}
    assert 250 < len(repeated) - len(distinct) < 450
    assert any(each.value is None for each in drawn(3, 4_000, Mix(duplicates=0, poison=0.1)))


def end_of(publication: Publication) -> str:
    """Return how a publication ends before the store: entry, discard, or the rejection's reason."""
    record = RawRecord(publication.topic, 0, 0, START_MS, *publication[1:])
    event = decode(record, "raw.redrive")
    known = event if isinstance(event, Rejection) else normalize(event, LIMITS)
    if isinstance(known, Rejection):
        return known.reason
    return "discard" if isinstance(known, Discard) else "entry"


def test_clean_traffic_has_no_rejection() -> None:
    """Without poison every record is an entry or a discard, and there are plenty of both."""
    ends = Counter(map(end_of, drawn(5, 5_000, Mix(poison=0))))
    assert set(ends) == {"entry", "discard"}
    assert ends["discard"] > 400


def test_poison_ends_as_its_maker_says() -> None:
    """Each spoiled record is rejected for the reason that its maker's docstring names."""
    event = draw(Random(1), organizations(Random(1), 1)[0], KINDS[0], START_MS)
    for spoil in POISON:
        reason = end_of(Publication("raw.identity", b"key", *spoil(dict(event))))
        assert f"``{reason}``" in (spoil.__doc__ or ""), spoil
