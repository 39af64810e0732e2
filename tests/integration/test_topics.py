"""Creating and checking topics on a real Kafka."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import admin as kafka_admin
from confluent_kafka.admin import AdminClient

from processor.emit import topics
from processor.errors import BusOutage, StartRefused
from processor.local.kafka import Broker
from processor.local.port import free_port
from processor.settings import Settings
from tests.integration import bus
from tests.integration.ops import cleaned, settings_of, topics_of
from tests.integration.store import StoringLane, an_entry, opened
from tests.integration.test_process import command
from tests.integration.test_recover import LANE, publish


@pytest.fixture
def settings(kafka: str) -> Iterator[Settings]:
    """Give settings of their own; their topics are deleted afterwards."""
    with cleaned(settings_of(kafka)) as settings:
        yield settings


def options(settings: Settings, name: str) -> dict[str, str]:
    """Return what Kafka says of a topic."""
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    resource = kafka_admin.ConfigResource(kafka_admin.ResourceType.TOPIC, settings.topic(name))  # type: ignore[attr-defined] # exported in fact
    (answer,) = admin.describe_configs([resource]).values()
    return {key: entry.value for key, entry in answer.result().items()}


def partitions(settings: Settings) -> set[int]:
    """Return the numbers of partitions that the topics of the settings have."""
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    known = admin.list_topics(timeout=10).topics
    return {len(known[name].partitions) for name in topics_of(settings)}


def with_lanes(settings: Settings, lanes: int) -> Settings:
    """Return the settings with another number of lanes."""
    return settings.model_copy(update={"lanes": lanes})


async def test_create_makes_every_topic_once(settings: Settings) -> None:
    """All 34 topics are made with a partition per lane; a second time nothing happens."""
    assert (await topics.check(settings)).problems != []
    created = await topics.create(settings)
    assert sorted(created.made) == topics_of(settings)
    assert len(created.made) == 34
    assert partitions(settings) == {3}
    assert await topics.create(settings) == topics.Created([], [])
    assert await topics.check(settings) == topics.State([], [])


async def test_topics_are_made_as_they_have_to_be(settings: Settings) -> None:
    """Raw topics keep the broker's time for a week; canonical ones stay for the retention."""
    await topics.create(settings)
    raw = options(settings, "raw.redrive")
    assert raw["message.timestamp.type"] == "LogAppendTime"
    assert raw["retention.ms"] == str(7 * 86_400_000)
    canonical = options(settings, "hub.auth.login_failed")
    assert canonical["retention.ms"] == str(90 * 86_400_000)
    assert canonical["cleanup.policy"] == "delete"
    dead = options(settings, "hub.audit.dead_letters")
    assert int(dead["max.message.bytes"]) - int(raw["max.message.bytes"]) == 64 * 1024


async def test_check_says_what_is_wrong_and_how_to_mend_it(settings: Settings) -> None:
    """Every problem is found at once, with the command that ends it."""
    bootstrap, prefix = settings.kafka.bootstrap_servers, settings.kafka.topic_prefix
    wrong = {"message.timestamp.type": "CreateTime", "max.message.bytes": "2097152"}
    bus.create(bootstrap, [f"{prefix}raw.identity"], 2, wrong)
    bus.create(bootstrap, [f"{prefix}raw.billing"], 4, {"message.timestamp.type": "LogAppendTime"})
    bus.create(bootstrap, [f"{prefix}hub.iam.user_created"], 3, {"cleanup.policy": "compact"})
    await topics.create(settings)
    set_it = "run `kafka-configs.sh --alter --entity-type topics --entity-name"
    expected = f"""
topic P.hub.iam.user_created has cleanup.policy=compact and needs delete: {set_it} \
P.hub.iam.user_created --add-config cleanup.policy=delete`
topic P.raw.identity has 2 partitions, and 3 lanes are set: stop the processors and run \
`hub-audit topics create --partitions 3`
topic P.raw.identity has message.timestamp.type=CreateTime and needs LogAppendTime: {set_it} \
P.raw.identity --add-config message.timestamp.type=LogAppendTime`
topic P.raw.billing has 4 partitions, and 3 lanes are set: set HUB_AUDIT_LANES to the number that \
all topics have
topic P.hub.audit.dead_letters has max.message.bytes=1114124 and needs 2162688: {set_it} \
P.hub.audit.dead_letters --add-config max.message.bytes=2162688`
"""
    state = await topics.check(settings)
    assert state.problems == expected.replace("P.", prefix).strip().splitlines()
    (said,) = state.warnings
    assert said.startswith(
        f"1 topic has another retention.ms than the 90 days that are set ({prefix}hub.iam.user_c"
    )


async def test_missing_topics_are_one_problem(settings: Settings) -> None:
    """With no topic at all, one sentence says so; not one for each."""
    prefix = settings.kafka.topic_prefix
    first = [topic.name for topic in topics.wanted(settings)[:3]]
    assert first[0].startswith(prefix)
    shown = f"34 topics are missing ({', '.join(first)} and 31 more)"
    expected = [f"{shown}: run `hub-audit topics create`"]
    assert await topics.check(settings) == topics.State(expected, [])


async def test_partitions_are_raised_on_request_alone(settings: Settings) -> None:
    """More lanes change nothing on Kafka until raising is asked for; then all topics have them."""
    await topics.create(settings)
    more = with_lanes(settings, 5)
    assert (await topics.create(more)).raised == []
    assert partitions(settings) == {3}
    raised = (await topics.create(more, raise_partitions=True)).raised
    assert raised == [topic.name for topic in topics.wanted(more)]
    assert partitions(settings) == {5}
    assert await topics.check(more) == topics.State([], [])


async def test_partitions_wait_for_a_batch_that_may_not_be_published(
    kafka: str, postgres_dsn: str
) -> None:
    """It would be looked for on another partition; where the group has its number all is well."""
    with cleaned(settings_of(kafka, postgres_dsn)) as settings:
        await topics.create(settings)
        async with opened(postgres_dsn) as db:
            await StoringLane.take(db, LANE + 1)
            await (await StoringLane.take(db, LANE)).store(an_entry("acme", "a"))
        refused = command(settings, "topics", "create", "--partitions", "4")
        assert refused.returncode == 2
        assert f"the last batch of lanes {LANE} may not be published: start" in refused.stderr
        assert partitions(settings) == {3}
        await publish(settings, {"acme": 1}, batch=1)
        raised = command(settings, "topics", "create", "--partitions", "4")
        assert raised.returncode == 0, raised.stderr
        assert partitions(settings) == {4}


def test_raw_topics_come_last(settings: Settings) -> None:
    """Partitions are added to what is written before they are added to what is read."""
    names = [topic.name for topic in topics.wanted(settings)]
    assert set(names[-5:]) == set(settings.raw_topics)


def test_three_replicas_insist_on_two() -> None:
    """With three replicas an acknowledgement means two copies."""
    settings = settings_of("127.0.0.1:1", KAFKA_REPLICATION_FACTOR="3")
    wanted = topics.wanted(settings)
    assert {topic.options.get("min.insync.replicas") for topic in wanted} == {"2"}


async def test_no_kafka_is_an_outage() -> None:
    """Where nothing listens, the address is named."""
    settings = settings_of(f"127.0.0.1:{free_port()}")
    with pytest.raises(BusOutage, match=settings.kafka.bootstrap_servers):
        await topics.check(settings)


async def test_bus_that_deletes_no_topics_is_believed(tmp_path: Path) -> None:
    """A topic that is still there is not deleted, and why stands in the bus's settings."""
    broker = Broker(tmp_path, heap_mb=256, settings={"delete.topic.enable": "false"})
    broker.start()
    try:
        settings = settings_of(broker.bootstrap_servers)
        topic = settings.topic("siem.acme.hub")
        await topics.create_siem(settings, topic)
        with pytest.raises(StartRefused, match=r"the bus has delete\.topic\.enable=false"):
            await topics.delete(settings, topic)
        assert topic in await topics.names(settings)
        await topics.delete(settings, settings.topic("siem.acme.ecs"))
    finally:
        broker.stop()
