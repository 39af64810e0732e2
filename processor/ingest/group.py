"""Where the consumer group stands, seen from outside: for doctor, recover and the topics' owner."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)

from processor.client import stop_consumer
from processor.errors import BusOutage
from processor.ingest.consumer import (
    ASK_SECONDS_MAX,
    LOADING_SECONDS_MAX,
    OUTAGES,
    RETRY_SECONDS,
    Committed,
    Extent,
    _committed,
)
from processor.settings import Settings

COORDINATOR_AWAY = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)

AGREED_SECONDS = 1.0
"""Between two answers that have to be alike: a group's log is read within less, mostly."""

AGREED_ASKED_MAX = 10

Answer = TypeVar("Answer")
Place = tuple[str, int]
"""Topic and partition."""


async def members(settings: Settings) -> int:
    """Return how many workers the group has at the moment."""

    async def ask(admin: AIOKafkaAdminClient) -> int:
        """Count who is in the group."""
        (answer,) = await admin.describe_consumer_groups([settings.group])
        ((code, _, _, _, _, who, *_),) = answer.groups
        if code:
            raise for_code(code)
        return len(who)

    return await _asked(settings, ask)


async def committed(settings: Settings) -> dict[Place, Committed | None]:
    """Return what the group has committed for every raw partition; None is a sure nothing."""
    found = await _offsets(settings, settings.group, _places(settings))
    return {place: _committed(answer) for place, answer in found.items()}


async def agreed(settings: Settings, stored: Mapping[int, int]) -> dict[Place, Committed | None]:
    """Return what the group has committed, where that cannot be all of it only if it says so twice.

    After a broker's restart a coordinator can answer from a part of its log: a lane has no number
    then, or one that is further below what is stored than the one batch that may not be out.
    """
    found = await committed(settings)
    odd = _odd(settings, found, stored)
    for _ in range(AGREED_ASKED_MAX):
        if not odd:
            break
        await asyncio.sleep(AGREED_SECONDS)
        found = await committed(settings)
        before, odd = odd, _odd(settings, found, stored)
        if odd == before:
            break
    return found


def _odd(
    settings: Settings, found: Mapping[Place, Committed | None], stored: Mapping[int, int]
) -> dict[int, int | None]:
    """Return the lanes whose numbers are too low for what is stored, with these numbers."""
    numbers = batches(found)
    return {
        lane: numbers.get(lane)
        for lane in range(settings.lanes)
        if lane not in numbers or numbers[lane] < stored.get(lane, 0) - 1
    }


async def metadata(settings: Settings, group: str, places: Sequence[Place]) -> dict[Place, str]:
    """Return the texts that a group has committed along with offsets; what has none is missing."""
    found = await _offsets(settings, group, places)
    return {place: text for place, (offset, text) in found.items() if offset >= 0}


async def _offsets(
    settings: Settings, group: str, places: Sequence[Place]
) -> dict[Place, tuple[int, str]]:
    wanted = [TopicPartition(*place) for place in places]

    async def ask(admin: AIOKafkaAdminClient) -> dict[Place, tuple[int, str]]:
        """Read the offsets of all places, or fail as a whole."""
        answer = await admin.list_consumer_group_offsets(group, partitions=wanted)
        if not all(place in answer for place in wanted):
            # While its coordinator loads, a group is answered as if it had no partitions.
            raise GroupLoadInProgressError
        return {tuple(place): answer[place] for place in wanted}

    return await _asked(settings, ask)


async def topics_named(settings: Settings, beginning: str) -> list[str]:
    """Return the topics that we may see whose names begin so."""

    async def ask(admin: AIOKafkaAdminClient) -> list[str]:
        """List all names."""
        return sorted(name for name in await admin.list_topics() if name.startswith(beginning))

    return await _asked(settings, ask)


async def extents(settings: Settings) -> dict[Place, Extent]:
    """Return where every raw partition there is begins, and where its committed part ends."""
    if not (places := await _there(settings)):
        return {}  # the client cannot be asked about nothing
    consumer = AIOKafkaConsumer(**settings.kafka.client_options(), isolation_level="read_committed")
    async with _bounded(settings):
        try:
            await consumer.start()
            begins = await consumer.beginning_offsets(places)
            ends = await consumer.end_offsets(places)
        finally:
            await stop_consumer(consumer)
    return {tuple(place): Extent(begins[place], ends[place]) for place in places}


async def members_of(settings: Settings, name: str) -> int:
    """Return how many members another group has at the moment."""
    return await members(settings.model_copy(update={"group": name}))


async def lag(settings: Settings, name: str) -> int | None:
    """Return how many records a group has not read of what it reads; None before it began."""

    async def ask(admin: AIOKafkaAdminClient) -> dict[TopicPartition, int]:
        """Read all that the group has committed."""
        found = await admin.list_consumer_group_offsets(name)
        return {place: at.offset for place, at in found.items() if at.offset >= 0}

    committed = await _asked(settings, ask)
    if not committed:
        return None
    consumer = AIOKafkaConsumer(**settings.kafka.client_options(), isolation_level="read_committed")
    async with _bounded(settings):
        try:
            await consumer.start()
            ends = await consumer.end_offsets(list(committed))
        finally:
            await stop_consumer(consumer)
    waiting = [ends[place] - at for place, at in committed.items()]
    return int(sum(count for count in waiting if count > 0))


async def from_the_future(settings: Settings, after_ms: int) -> bool:
    """Tell whether a raw topic has a record that the bus took after a time: then its clock errs."""
    places = {TopicPartition(*place): after_ms for place in _places(settings)}
    consumer = AIOKafkaConsumer(**settings.kafka.client_options(), isolation_level="read_committed")
    async with _bounded(settings):
        try:
            await consumer.start()
            found = await consumer.offsets_for_times(places)
        finally:
            await stop_consumer(consumer)
    return any(found.values())


def batches(committed: Mapping[Place, Committed | None]) -> dict[int, int]:
    """Return, by lane, the number of the last batch that was published."""
    found: dict[int, int] = {}
    for (_, lane), at in committed.items():
        if at is not None and at.batch is not None:
            found[lane] = max(at.batch, found.get(lane, 0))
    return found


async def unpublished(settings: Settings, stored: Mapping[int, int]) -> list[int]:
    """Return the lanes of which the group does not say that the last stored batch is published."""
    lanes = max(stored, default=-1) + 1
    if not lanes:
        return []
    numbers = batches(await agreed(settings.model_copy(update={"lanes": lanes}), stored))
    return [lane for lane, batch in sorted(stored.items()) if numbers.get(lane, 0) < batch]


def _places(settings: Settings) -> list[Place]:
    return [(topic, lane) for topic in settings.raw_topics for lane in range(settings.lanes)]


async def _there(settings: Settings) -> list[TopicPartition]:
    """Return the raw partitions that are there: for offsets of others a client waits in vain."""

    async def ask(admin: AIOKafkaAdminClient) -> list[TopicPartition]:
        """Describe the topics that are listed; asking for others might create them."""
        names = set(settings.raw_topics) & set(await admin.list_topics())
        return [
            TopicPartition(topic["topic"], each["partition"])
            for topic in (await admin.describe_topics(sorted(names)) if names else ())
            for each in topic["partitions"]
            if each["partition"] < settings.lanes
        ]

    return await _asked(settings, ask)


@asynccontextmanager
async def _bounded(settings: Settings) -> AsyncIterator[None]:
    """Raise BusOutage for whatever keeps a block from its answer."""
    try:
        async with asyncio.timeout(ASK_SECONDS_MAX + LOADING_SECONDS_MAX):
            yield
    except OUTAGES as error:
        servers = settings.kafka.bootstrap_servers
        raise BusOutage(f"Kafka at {servers} does not answer ({type(error).__name__})") from error


async def _asked(
    settings: Settings, ask: Callable[[AIOKafkaAdminClient], Awaitable[Answer]]
) -> Answer:
    """Ask the group's coordinator until it is there: it may be loading, moving, or be made new."""
    admin = AIOKafkaAdminClient(**settings.kafka.client_options())
    async with _bounded(settings):
        try:
            await admin.start()
            while True:
                try:
                    return await ask(admin)
                except COORDINATOR_AWAY:
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            await admin.close()
