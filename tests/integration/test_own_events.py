"""Hub Audit's own events on a real Kafka: whoever could not be served once is served later."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from processor.emit.own_events import OwnEvent, OwnEvents
from processor.errors import BusOutage
from processor.settings import Settings
from tests.integration import bus
from tests.integration.ops import cleaned, configure, settings_of


@pytest.fixture
async def settings(kafka: str) -> AsyncIterator[Settings]:
    """Give settings of the test's own, whose topic for own events is there."""
    with cleaned(settings_of(kafka)) as settings:
        bus.create(kafka, [settings.topic("raw.audit")], 1)
        yield settings


def an_event(number: int) -> OwnEvent:
    """Return a search."""
    return OwnEvent(f"e-{number}", "audit.viewed.v1", datetime.now(UTC), "acme", {})


async def test_event_that_was_refused_leaves_no_gap(settings: Settings, kafka: str) -> None:
    """The topic refuses one for good, and takes what comes once it takes any again."""
    topic = settings.topic("raw.audit")
    async with OwnEvents.opened(settings) as own:
        await own.publish([an_event(1)])
        configure(kafka, topic, "max.message.bytes", "50")
        with pytest.raises(BusOutage):
            await own.publish([an_event(2)])
        configure(kafka, topic, "max.message.bytes", "1048588")
        await own.publish([an_event(3)])
    ids = [bus.headers_of(record)["ce_id"] for record in bus.read(kafka, [topic])]
    assert ids == [b"e-1", b"e-3"]
