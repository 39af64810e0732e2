"""How often one client may ask, and whose turn it is."""

import asyncio
import time
from contextlib import suppress

import pytest

from processor.api import limits as limits_module
from processor.api.limits import Limits, Turns, together
from processor.api.problems import Problem


def test_who_asks_a_little_too_often_gets_in_as_often_as_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refusal costs nothing, so that what comes in meanwhile adds up to the next answer."""
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    limits, answered = Limits(requests_per_second=8, burst=1), 0
    for _ in range(160):
        with suppress(Problem):
            limits.take("ada")
            answered += 1
        now[0] += 1 / 16
    assert answered == 80


def test_burst_passes_at_once_and_each_client_has_its_own() -> None:
    """So many as the burst get in, the next has to wait; others do not."""
    limits = Limits(requests_per_second=0.1, burst=3)
    for _ in range(3):
        limits.take("ada")
    with pytest.raises(Problem) as refused:
        limits.take("ada")
    assert refused.value.headers == {"Retry-After": "10"}
    limits.take("bea")


async def test_turns_are_each_organizations_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes later is refused after a while, others get in, and what is given back is had."""
    monkeypatch.setattr(limits_module, "TURN_SECONDS_MAX", 0.05)
    turns = Turns(1, "searches")
    async with turns.taken("acme"), turns.taken("globex"):
        with pytest.raises(Problem, match="searches of your organization wait for each other"):
            async with turns.taken("acme"):
                pass
    async with turns.taken("acme"):
        pass


async def test_turns_that_nobody_has_are_not_kept() -> None:
    """However many organizations there are: only those are known that search or wait."""
    turns = Turns(1, "searches")
    async with asyncio.timeout(5), turns.taken("acme"):
        assert list(turns._of) == ["acme"]
        waiting = asyncio.create_task(_taken(turns))
        await asyncio.sleep(0)
    await waiting
    assert list(turns._of) == []


async def test_of_two_together_none_goes_on_after_the_other_failed() -> None:
    """Who holds a turn for both gives it back when both have ended, not before."""
    ended = []

    async def fail() -> None:
        """Fail once the other has begun."""
        await asyncio.sleep(0)
        raise Problem("cursor_invalid")

    async def go_on() -> None:
        """Take a moment even to end."""
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    for pair in ((fail(), go_on()), (go_on(), fail())):
        with pytest.raises(Problem):
            await together(*pair)
    assert ended == [True, True]


async def _taken(turns: Turns) -> None:
    async with turns.taken("acme"):
        pass
