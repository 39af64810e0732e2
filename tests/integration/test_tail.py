"""What is new as it comes: each entry once, where to go on from, and when it ends."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

import pytest

from processor.api import entries
from processor.store import search
from processor.store.reader import Reader
from tests.acceptance.site import OLIVIA, stored
from tests.integration.serving import Place
from tests.integration.store import an_entry, query


async def followed(
    place: Place, until: str, given: dict[str, str], last_id: int | None = None
) -> str:
    """Follow the log until something comes; return all that came."""
    headers = {"Authorization": f"Bearer {place.issuer.token(OLIVIA)}"}
    if last_id is not None:
        headers["Last-Event-ID"] = str(last_id)
    text = ""
    async with (
        asyncio.timeout(20),
        place.browser() as client,
        client.stream("GET", "/v1/tail", headers=headers, params=given) as answer,
    ):
        assert answer.status_code == 200
        async for chunk in answer.aiter_text():
            text += chunk
            if until in text:
                break
    return text


async def test_what_was_looked_through_in_vain_is_not_looked_through_again(place: Place) -> None:
    """Where nothing matches the place moves on all the same, for a client that comes back too."""
    stored(place.dsn, [an_entry("acme", f"e{n}") for n in range(3)])
    wanted = {"filter": "action:user.updated", "after": "0"}
    assert "data:" not in await followed(place, "id: 3\n\n", wanted)
    query(place.dsn, "UPDATE audit_entries SET action = 'user.updated' WHERE seq = 2")
    assert "data:" not in await followed(place, "id: 3\n\n", wanted, last_id=3)
    assert "id: 2\ndata:" in await followed(place, "id: 3\n\n", wanted, last_id=1)


async def test_who_is_behind_catches_up_without_a_pause(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as there is more than fits at once, the next comes at once."""
    monkeypatch.setattr(entries, "TAIL_ENTRIES", 2)
    monkeypatch.setattr(entries, "TAIL_SECONDS", 3_600)
    stored(place.dsn, [an_entry("acme", f"e{n}") for n in range(5)])
    text = await followed(place, "nothing more\nid: 5\n\n", {"after": "0"})
    assert [f"id: {n}\ndata:" in text for n in range(1, 6)] == [True] * 5


async def test_what_is_rare_is_looked_for_a_little_at_a_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look says how far it came, so that no statement is long and a client goes on there."""
    monkeypatch.setattr(search, "SEQS_AT_ONCE", 2)
    monkeypatch.setattr(entries, "TAIL_SECONDS", 3_600)
    stored(place.dsn, [an_entry("acme", f"e{n}") for n in range(7)])
    query(place.dsn, "UPDATE audit_entries SET action = 'user.updated' WHERE seq = 7")
    text = await followed(place, "more\nid: 7\n\n", {"filter": "action:user.updated", "after": "0"})
    places = [line for line in text.splitlines() if line.startswith("id")]
    assert places == ["id: 2", "id: 4", "id: 6", "id: 7", "id: 7"]
    assert text.count("data:") == 1


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give when a tail has looked for something new, in seconds of UNIX time."""
    found: list[float] = []
    now = Reader.now

    async def looking(reader: Reader) -> datetime:
        """Note when it is looked."""
        found.append(time.time())
        return await now(reader)

    monkeypatch.setattr(Reader, "now", looking)
    return found


async def test_what_is_followed_ends_with_the_token(place: Place, looks: list[float]) -> None:
    """Who follows the log does so as long as the token is valid, and no longer."""
    now = int(time.time())
    token = place.issuer.token(OLIVIA, iat=now, exp=now + 4)
    await followed_to_its_end(place, token)
    assert max(looks) < now + 4 <= time.time()


async def test_what_a_program_follows_ends_when_its_token_expires(
    place: Place, looks: list[float]
) -> None:
    """A service token, too, is followed with as long as it is valid, and no longer."""
    made = await place.ordered("create", "acme", "tail")
    expires = "UPDATE service_tokens SET expires_at = now() + interval '4 s' RETURNING expires_at"
    [(expires_at,)] = query(place.dsn, expires)
    await followed_to_its_end(place, made["token"])
    assert max(looks) < expires_at.timestamp() <= time.time()


async def test_what_a_program_follows_ends_when_its_token_is_revoked(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever follows is looked at again while that goes on."""
    monkeypatch.setattr(entries, "TAIL_IDENTIFIED_SECONDS", 0.1)
    made = await place.ordered("create", "acme", "tail")
    revoked = "UPDATE service_tokens SET revoked_at = now()"
    await followed_to_its_end(place, made["token"], lambda: query(place.dsn, revoked))


async def followed_to_its_end(
    place: Place, token: str, begun: Callable[[], object] = lambda: None
) -> None:
    """Follow the log until the server ends it; do something when it has begun."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        place.browser() as client,
        client.stream("GET", "/v1/tail", headers=headers) as following,
    ):
        assert following.status_code == 200
        begun()
        async for _ in following.aiter_bytes():
            pass
