"""What is said of topics that workers can do with, and that lose or keep what nobody meant."""

from collections.abc import Mapping

import pytest

from processor.emit import topics
from processor.emit.topics import DAY_MS, Found
from processor.settings import Settings

SETTINGS = Settings.load(env={"HUB_AUDIT_KAFKA_REPLICATION_FACTOR": "3"})


def found(replicas: int = 3, **options: str) -> Mapping[str, Found]:
    """Return all topics as they have to be, but for what is given."""
    given = {name.replace("_", "."): value for name, value in options.items()}
    return {
        topic.name: Found(topic.partitions, True, replicas, {**topic.options, **given})
        for topic in topics.wanted(SETTINGS)
    }


def said(there: Mapping[str, Found], brokers: int = 3) -> list[str]:
    """Return what is said of topics on so many brokers, without which they are."""
    told = topics.warnings(SETTINGS, there, brokers)
    return [f"{each.partition(' (')[0]}: {each.rpartition(': ')[2]}" for each in told]


def test_topics_as_they_are_made_are_well() -> None:
    """What we make ourselves gives no cause for a word, with any number of brokers."""
    for brokers in (1, 3, 6):
        assert said(found(), brokers) == []
        assert list(topics.problems(SETTINGS, found())) == []


def test_one_replica_is_enough_where_there_is_one_broker() -> None:
    """With three, whoever forgot to set the factor loses what was acknowledged with one of them."""
    assert said(found(replicas=1, min_insync_replicas="1"), brokers=2) == []
    (told,) = said(found(replicas=1, min_insync_replicas="1"))
    assert told.startswith("34 topics have fewer than 3 replicas on 3 brokers: set HUB_AUDIT_KAFKA")
    assert list(topics.problems(SETTINGS, found(replicas=1))) == []


def test_acknowledgement_means_two_copies() -> None:
    """Three replicas of which one is enough lose it as well; the broker's own default is 1."""
    (told,) = said(found(min_insync_replicas="1"))
    assert told.startswith(
        "34 topics have min.insync.replicas below 2 on 3 brokers: set min.insync"
    )


@pytest.mark.parametrize("days", [30, 365])
def test_retention_that_was_changed_later_is_seen(days: int) -> None:
    """A topic that is there is not changed: until somebody does, it keeps what it kept.

    Raw topics and telemetry are not the log's: they are kept as long as workers may be away.
    """
    (told,) = said(found(retention_ms=str(days * DAY_MS)))
    assert told == (
        "28 topics have another retention.ms than the 90 days that are set: set"
        " retention.ms=7776000000 on each, as the runbook says under Retention"
    )
