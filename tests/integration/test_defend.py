"""Defend on a real Kafka and Postgres: nothing lost and nothing doubled, whatever happens."""

import signal
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.integration.defending import (
    ABROAD,
    ADA,
    BEGIN,
    World,
    a_world,
    brute_force,
    committed,
    until,
)
from tests.unit.defend_signals import SECOND, Log

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def world(kafka: str, postgres_dsn: str, tmp_path: Path) -> Iterator[World]:
    """Give an environment of the test's own."""
    with a_world(kafka, postgres_dsn, tmp_path) as world:
        yield world


async def test_an_attack_is_kept_and_published(world: World) -> None:
    """A brute-force attack that gets in is one finding, with its evidence, in store and topic."""
    with world.running():
        entries = brute_force(world.log, 12)
        world.log.login(BEGIN + 60 * SECOND, ADA, ABROAD, new_device=True)
        await world.store(world.log.entries)
        world.publish(world.log.entries)
        until(
            lambda: [each["severity"] for each in world.published().values()] == ["critical"], world
        )
        (finding,) = world.published().values()
        assert world.findings() == [("brute_force", ADA, "critical", 13)]
        assert finding["evidence"] == {"seqs": [*range(1, 14)], "alerts": []}
        assert finding["subject"] == {"type": "account", "value": ADA}
        assert finding["addresses"] == [ABROAD]
        assert finding["first_at"] == entries[0]["occurred_at"]
        assert finding["status"] == "open"


async def test_kill_in_the_middle_of_an_attack_loses_nothing(world: World) -> None:
    """Half of an attack read before kill -9, half after: one finding that rests on all of it."""
    with world.running() as killed:
        first = brute_force(world.log, 6)
        await world.store(first)
        world.publish(first)
        until(lambda: committed(world) > 0, world)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    second = brute_force(world.log, 6)
    await world.store(second)
    world.publish(second)
    with world.running():
        until(lambda: world.findings() == [("brute_force", ADA, "high", 12)], world)


async def test_two_workers_share_and_hand_over(world: World) -> None:
    """A second worker joins and the first leaves in the middle of attacks on six organizations."""
    logs = [Log(f"org-{number}") for number in range(6)]
    halves = [brute_force(log, 6) for log in logs]
    with world.running() as one:
        for half in halves:
            await world.store(half)
            world.publish(half)
        until(lambda: committed(world) > 0, world)
        with world.running():
            until(lambda: world.logs().count("partitions_assigned") >= 3, world)
            one.send_signal(signal.SIGTERM)
            for half in [brute_force(log, 6) for log in logs]:
                await world.store(half)
                world.publish(half)
            until(lambda: len(world.findings()) == len(logs), world)
            until(lambda: {each[3] for each in world.findings()} == {12}, world)
            assert one.wait(30) == 0


async def test_what_was_aborted_is_not_seen(world: World) -> None:
    """Records of an aborted transaction give no finding; those after it do."""
    aborted = brute_force(world.log, 20)
    world.publish(aborted, commit=False)
    other = Log("globex")
    real = brute_force(other, 10)
    await world.store(real)
    with world.running():
        world.publish(real)
        until(lambda: world.findings() != [], world)
        assert world.findings() == [("brute_force", ADA, "high", 10)]


async def test_acknowledges_past_the_ends_of_transactions(world: World) -> None:
    """What was read in many small transactions is acknowledged to its end when Defend ends."""
    entries = brute_force(world.log, 30)
    await world.store(entries)
    for each in entries:
        world.publish([each])
    with world.running():
        until(lambda: world.findings() == [("brute_force", ADA, "high", 30)], world)
    last = 2 * len(entries) - 2  # behind every record is the mark that ends its transaction
    assert committed(world) == last + 1


async def test_garbage_on_the_telemetry_topic_stops_nothing(world: World) -> None:
    """What is no report is counted and set aside; the alert behind it is correlated."""
    alert = {
        "id": "rep-1", "time": world.log.add(BEGIN, "role.assigned", ADA)["occurred_at"],
        "orgid": "acme", "host": {"id": "h-1"}, "user": {"email": ADA.upper()},
        "process": {"name": "evil"}, "verdict": "malicious",
    }  # fmt: skip
    await world.store(world.log.entries)
    world.report(
        None, b"", b"{", b"\xff\x00", b"[1]", b'"' + b"x" * 70_000 + b'"',
        orjson.dumps(alert | {"id": "a\x00b"}), orjson.dumps(alert | {"time": "yesterday"}),
        orjson.dumps(alert | {"orgid": "a.b"}), orjson.dumps(alert | {"verdict": "bad"}),
        orjson.dumps(alert | {"time": "2099-01-01T00:00:00Z"}), orjson.dumps(alert),
    )  # fmt: skip
    with world.running():
        until(lambda: world.findings() == [("endpoint_alert", ADA, "critical", 1)], world)
        until(lambda: len(world.published()) == 1, world)
        (finding,) = world.published().values()
        assert finding["evidence"] == {"seqs": [1], "alerts": ["rep-1"]}


async def test_reading_everything_again_changes_nothing(world: World) -> None:
    """Another group reads the same topics from their beginning: same findings, same versions."""
    await world.store(brute_force(world.log, 12))
    world.publish(world.log.entries)
    with world.running():
        until(lambda: len(world.published()) == 1, world)
    before = world.published()
    again = World.__new__(World)
    again.__dict__ |= world.__dict__
    again.settings = world.settings.model_copy(update={"group": f"{world.settings.group}.again"})
    with again.running():
        until(lambda: committed(again) >= len(world.log.entries), again)
    assert world.published() == before
    assert world.findings() == [("brute_force", ADA, "high", 12)]
