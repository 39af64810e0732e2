"""The topics: what each has to be like, creating those that lack, and what is wrong with the rest.

A topic that is there is never reconfigured: that is an operator's decision, so every problem comes
with the command that mends it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from processor.emit.entrance import refusal
from processor.errors import BusOutage, StartRefused
from processor.settings import Settings
from schemas.catalogue import CANONICAL_TOPICS, DEAD_LETTER_TOPIC, OWN_TOPICS
from schemas.finding import FINDINGS_TOPIC
from schemas.telemetry import TELEMETRY_TOPIC

RAW_BYTES_MAX = 1_048_588
"""Kafka's own default of ``max.message.bytes``: 1 MiB and a batch's overhead."""

DEAD_LETTER_ROOM_BYTES = 64 * 1024
"""What a dead letter may be larger than its record: the headers that say why."""

RAW_RETENTION_MS = 7 * 86_400_000
"""How long the processors may be down; what a raw record says stands in the store for 90 days."""

DAY_MS = 86_400_000
REPLICAS_FOR_MIN_INSYNC = 3
IN_SYNC_MIN = 2
"""What an acknowledgement means with so many replicas: one of them may be lost."""

ASK_SECONDS_MAX = 15.0
LEADERS_SECONDS_MAX = 30.0
LOOK_SECONDS = 0.1

CLEANUP, RETENTION, SIZE = "cleanup.policy", "retention.ms", "max.message.bytes"
TIMESTAMP = "message.timestamp.type"
MIN_INSYNC = "min.insync.replicas"

DELETION_DISABLED = 73
"""Kafka's number for ``delete.topic.enable=false``, which the client does not know."""

OUTAGES = (KafkaError, OSError, TimeoutError)


class Topic(NamedTuple):
    """A topic as it has to be; ``name`` is the one on Kafka."""

    name: str
    partitions: int
    options: Mapping[str, str]


class Found(NamedTuple):
    """A topic as it is: whether all partitions have a leader, and the fewest replicas of one."""

    partitions: int
    led: bool
    replicas: int
    options: Mapping[str, str]


class State(NamedTuple):
    """What is wrong with the topics, and what only should be otherwise; each with what to do."""

    problems: list[str]
    warnings: list[str]


class Created(NamedTuple):
    """What ``create`` did: topics made, topics that got more partitions."""

    made: list[str]
    raised: list[str]


def wanted(settings: Settings) -> list[Topic]:
    """Return every topic, in the order in which partitions are added: what is written first.

    A processor never meets a raw partition whose canonical partition is not there yet.
    """
    shared = {CLEANUP: "delete"}
    if settings.kafka.replication_factor >= REPLICAS_FOR_MIN_INSYNC:
        shared[MIN_INSYNC] = str(IN_SYNC_MIN)
    kept = shared | {RETENTION: str(settings.retention_days * DAY_MS)}
    raw = shared | {RETENTION: str(RAW_RETENTION_MS), SIZE: str(RAW_BYTES_MAX)}
    raw[TIMESTAMP] = "LogAppendTime"
    stamped = shared | {RETENTION: str(RAW_RETENTION_MS), TIMESTAMP: raw[TIMESTAMP]}
    dead = kept | {SIZE: str(RAW_BYTES_MAX + DEAD_LETTER_ROOM_BYTES)}
    lanes = settings.lanes
    return [
        *(Topic(settings.topic(name), lanes, kept) for name in (*CANONICAL_TOPICS, *OWN_TOPICS)),
        Topic(settings.topic(DEAD_LETTER_TOPIC), lanes, dead),
        Topic(settings.topic(FINDINGS_TOPIC), lanes, kept),
        Topic(settings.topic(TELEMETRY_TOPIC), lanes, stamped),
        *(Topic(name, lanes, raw) for name in settings.raw_topics),
    ]


async def check(settings: Settings) -> State:
    """Return everything that is to be said of the topics; raises BusOutage."""
    async with connected(settings) as admin:
        found = await _look(admin, [topic.name for topic in wanted(settings)])
        brokers = len((await admin.describe_cluster())["brokers"])
    return State(list(problems(settings, found)), list(warnings(settings, found, brokers)))


async def names(settings: Settings) -> frozenset[str]:
    """Return the names of all topics there are; raises BusOutage."""
    async with connected(settings) as admin:
        return frozenset(await admin.list_topics())


async def create_siem(settings: Settings, name: str) -> bool:
    """Create the topic of a SIEM subscription; False when there is one of that name already.

    It has one partition, since its order is that of ``seq``.
    """
    options = {CLEANUP: "delete", RETENTION: str(settings.retention_days * DAY_MS)}
    if settings.kafka.replication_factor >= REPLICAS_FOR_MIN_INSYNC:
        options[MIN_INSYNC] = str(IN_SYNC_MIN)
    topic = Topic(name, 1, options)
    async with connected(settings) as admin:
        if name in await _look(admin, [name]):
            return False
        await _make(admin, [topic], settings.kafka.replication_factor)
        await _until_led(admin, [topic])
    return True


async def delete(settings: Settings, name: str) -> None:
    """Delete a topic with all that is on it; nothing happens when there is none.

    Raises StartRefused when the bus does not do it.
    """
    async with connected(settings) as admin:
        if name not in await admin.list_topics():
            return
        answer = await admin.delete_topics([name])
    for _, code in answer.topic_error_codes:
        if code not in (0, UnknownTopicOrPartitionError.errno):  # somebody else was faster
            disabled = "the bus has delete.topic.enable=false"
            why = disabled if code == DELETION_DISABLED else for_code(code).__name__
            raise StartRefused([f"topic {name} could not be deleted: {why}"])


async def create(settings: Settings, *, raise_partitions: bool = False) -> Created:
    """Create the topics that lack, and wait until all are led.

    Nothing happens to those that are there, except that ``raise_partitions`` adds what they lack
    to ``settings.lanes``; the caller sees to it that no processor runs.
    """
    topics = wanted(settings)
    async with connected(settings) as admin:
        found = await _look(admin, [topic.name for topic in topics])
        missing = [topic for topic in topics if topic.name not in found]
        await _make(admin, missing, settings.kafka.replication_factor)
        raised = _short(topics, found) if raise_partitions else []
        for topic in raised:
            await admin.create_partitions({topic.name: NewPartitions(topic.partitions)})
        await _until_led(admin, [*missing, *raised])
    return Created([topic.name for topic in missing], [topic.name for topic in raised])


async def lack_partitions(settings: Settings) -> bool:
    """Tell whether a topic that is there has fewer partitions than lanes are set."""
    topics = wanted(settings)
    async with connected(settings) as admin:
        return bool(_short(topics, await _look(admin, [topic.name for topic in topics])))


def _short(topics: list[Topic], found: Mapping[str, Found]) -> list[Topic]:
    return [t for t in topics if t.name in found and found[t.name].partitions < t.partitions]


def problems(settings: Settings, found: Mapping[str, Found]) -> Iterator[str]:
    """Yield what is wrong with the topics as they were found."""
    topics = wanted(settings)
    missing = [topic.name for topic in topics if topic.name not in found]
    if missing:
        are = "topic is" if len(missing) == 1 else "topics are"
        yield f"{len(missing)} {are} missing ({_shown(missing)}): run `hub-audit topics create`"
    for topic in topics:
        if topic.name in found:
            yield from _partition_problems(topic, found[topic.name])
            yield from _option_problems(topic, found[topic.name])
    yield from _size_problems(settings, found)


def warnings(settings: Settings, found: Mapping[str, Found], brokers: int) -> Iterator[str]:
    """Yield what workers can do with, and whoever set the bus up hardly meant.

    Raw topics are kept as long as their operators like: it is for how long workers may be away.
    """
    there = [topic for topic in wanted(settings) if topic.name in found]
    retention = str(settings.retention_days * DAY_MS)
    kept = [topic.name for topic in there if TIMESTAMP not in topic.options]
    if other := [name for name in kept if found[name].options.get(RETENTION) != retention]:
        yield (
            f"{_have(other)} another retention.ms than the {settings.retention_days} days that"
            f" are set ({_shown(other)}): set retention.ms={retention} on each, as the runbook"
            " says under Retention"
        )
    if brokers >= REPLICAS_FOR_MIN_INSYNC:
        yield from _lost_with_a_broker([topic.name for topic in there], found, brokers)


def _lost_with_a_broker(
    names: list[str], found: Mapping[str, Found], brokers: int
) -> Iterator[str]:
    """Yield what may be gone after it was acknowledged, although there are brokers to keep it."""
    few = [name for name in names if found[name].replicas < REPLICAS_FOR_MIN_INSYNC]
    if few:
        yield (
            f"{_have(few)} fewer than {REPLICAS_FOR_MIN_INSYNC} replicas on {brokers} brokers"
            f" ({_shown(few)}): set HUB_AUDIT_KAFKA_REPLICATION_FACTOR=3 and create them anew while"
            " they are empty, or add replicas by `kafka-reassign-partitions.sh`"
        )
    enough = [name for name in names if name not in few]
    alone = [n for n in enough if int(found[n].options.get(MIN_INSYNC, "1")) < IN_SYNC_MIN]
    if alone:
        yield (
            f"{_have(alone)} {MIN_INSYNC} below {IN_SYNC_MIN} on {brokers} brokers"
            f" ({_shown(alone)}): set {MIN_INSYNC}={IN_SYNC_MIN} on each by"
            " `kafka-configs.sh --alter --entity-type topics`"
        )


def _have(names: list[str]) -> str:
    return "1 topic has" if len(names) == 1 else f"{len(names)} topics have"


def _shown(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")


def _partition_problems(topic: Topic, found: Found) -> Iterator[str]:
    if found.partitions == topic.partitions:
        return
    said = f"topic {topic.name} has {found.partitions} partitions, and {topic.partitions} lanes"
    if found.partitions < topic.partitions:
        yield (
            f"{said} are set: stop the processors and run "
            f"`hub-audit topics create --partitions {topic.partitions}`"
        )
    else:
        yield f"{said} are set: set HUB_AUDIT_LANES to the number that all topics have"


def _option_problems(topic: Topic, found: Found) -> Iterator[str]:
    cleanup = found.options.get(CLEANUP, "delete")
    if "compact" in cleanup:
        yield _set(topic.name, CLEANUP, cleanup, "delete")
    timestamp = found.options.get(TIMESTAMP, "CreateTime")
    needs = topic.options.get(TIMESTAMP, timestamp)
    if timestamp != needs:
        yield _set(topic.name, TIMESTAMP, timestamp, needs)


def _size_problems(settings: Settings, found: Mapping[str, Found]) -> Iterator[str]:
    """Yield that a dead letter would not fit: it would hold its lane up for ever."""
    name = settings.topic(DEAD_LETTER_TOPIC)
    raw = [_size(found[topic]) for topic in settings.raw_topics if topic in found]
    if name not in found or not raw:
        return
    # A narrow raw topic narrows nothing: its records may be compressed, and dead letters are not.
    needed, has = max(RAW_BYTES_MAX, *raw) + DEAD_LETTER_ROOM_BYTES, _size(found[name])
    if has < needed:
        yield _set(name, SIZE, str(has), str(needed))


def _size(found: Found) -> int:
    return int(found.options.get(SIZE, RAW_BYTES_MAX))


def _set(name: str, option: str, has: str, needs: str) -> str:
    return (
        f"topic {name} has {option}={has} and needs {needs}: run `kafka-configs.sh --alter "
        f"--entity-type topics --entity-name {name} --add-config {option}={needs}`"
    )


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Lend an admin client; everything the bus does not answer is a BusOutage."""
    admin = AIOKafkaAdminClient(**settings.kafka.client_options())
    try:
        async with asyncio.timeout(ASK_SECONDS_MAX + LEADERS_SECONDS_MAX):
            async with asyncio.timeout(ASK_SECONDS_MAX):
                await admin.start()
            yield admin
    except OUTAGES as error:
        said = await refusal(settings.kafka) if isinstance(error, KafkaConnectionError) else None
        said = said or f"does not answer ({type(error).__name__})"
        raise BusOutage(f"Kafka at {settings.kafka.bootstrap_servers} {said}") from error
    finally:
        await admin.close()


async def _look(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, Found]:
    """Return the topics of these names that are there."""
    there = set(await admin.list_topics())
    names = [name for name in names if name in there]
    if not names:
        return {}
    described = await admin.describe_topics(names)
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    options: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs(resources):
        for code, said, _, name, entries in answer.resources:
            if code:
                raise for_code(code)(said)
            options[name] = {entry[0]: entry[1] for entry in entries}
    return {
        topic["topic"]: Found(
            len(topic["partitions"]),
            all(partition["leader"] >= 0 for partition in topic["partitions"]),
            min(len(partition["replicas"]) for partition in topic["partitions"]),
            options[topic["topic"]],
        )
        for topic in described
    }


async def _make(admin: AIOKafkaAdminClient, topics: list[Topic], replicas: int) -> None:
    if not topics:
        return
    new = [
        NewTopic(topic.name, topic.partitions, replicas, topic_configs=dict(topic.options))
        for topic in topics
    ]
    answer = await admin.create_topics(new)
    refused = [
        f"topic {name} could not be created: {said or for_code(code).__name__}"
        for name, code, said in answer.topic_errors
        if code not in (0, TopicAlreadyExistsError.errno)  # somebody else was faster
    ]
    if refused:
        raise StartRefused(refused)


async def _until_led(admin: AIOKafkaAdminClient, topics: list[Topic]) -> None:
    """Wait until every partition can be written; raises TimeoutError."""
    async with asyncio.timeout(LEADERS_SECONDS_MAX):
        while True:
            found = await _look(admin, [topic.name for topic in topics])
            if all(
                topic.name in found
                and found[topic.name].led
                and found[topic.name].partitions >= topic.partitions
                for topic in topics
            ):
                return
            await asyncio.sleep(LOOK_SECONDS)
