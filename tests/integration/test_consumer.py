"""A member of the group over the raw topics, beside others."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from processor.ingest.consumer import Consumer
from processor.local.kafka import Broker
from processor.settings import Settings
from tests.integration import bus
from tests.integration.ops import cleaned, settings_of

SESSION_MS, RELEASE_SECONDS = 1_000, 2.5
pytestmark = pytest.mark.timeout(60)


class Member:
    """A consumer that takes its time to give lanes back, and notes when it got some."""

    def __init__(self, settings: Settings) -> None:
        """Prepare it."""
        self.had: list[frozenset[int]] = []
        self.consumer = Consumer(
            settings,
            settings.raw_topics,
            on_assigned=self._assigned,
            on_revoked=self._revoked,
            on_trouble=lambda *_: None,
        )

    async def _assigned(self, lanes: frozenset[int]) -> None:
        self.had.append(lanes)

    async def _revoked(self, _lanes: frozenset[int]) -> None:
        await asyncio.sleep(RELEASE_SECONDS)


@pytest.fixture
async def settings(proxied: Broker) -> AsyncIterator[Settings]:
    """Give settings with a session that is shorter than lanes are given back in."""
    given = {"KAFKA_SESSION_TIMEOUT_MS": str(SESSION_MS), "KAFKA_HEARTBEAT_INTERVAL_MS": "200"}
    settings = settings_of(proxied.bootstrap_servers, **given)
    with cleaned(settings):
        bus.create(proxied.bootstrap_servers, settings.raw_topics, settings.lanes)
        yield settings


async def polled(*members: Member) -> None:
    """Have members poll, as each of them has to."""
    await asyncio.gather(*(member.consumer.poll() for member in members))


async def test_who_takes_longer_than_a_session_to_let_go_stays_a_member(
    settings: Settings,
) -> None:
    """A second member comes: one rebalance, and not one after the other without end."""
    first, second = Member(settings), Member(settings)
    await first.consumer.start()
    while not first.had:
        await polled(first)
    await second.consumer.start()
    while not second.had:
        await polled(first, second)
    while len(first.had) < 2:
        await polled(first, second)
    assert [first.had[0], first.had[1] | second.had[0]] == [frozenset({0, 1, 2})] * 2
    assert all(lanes < first.had[0] for lanes in (first.had[1], second.had[0]))
    await asyncio.gather(first.consumer.stop(), second.consumer.stop())
