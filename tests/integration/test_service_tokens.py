"""Service tokens on a real Postgres: how many there may be, and for how long they are known."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from click.testing import CliRunner

from processor.cli import main
from processor.store import service_tokens
from processor.store.load import load
from processor.store.pool import FORWARDER, Database
from processor.store.service_tokens import ServiceToken, create, listed, revoke, rotate, use
from tests.integration.store import an_entry, opened, query

MONTH = timedelta(days=30)
NOTHING = timedelta()


@pytest.fixture
async def db(postgres_dsn: str) -> AsyncIterator[Database]:
    """Give the store of those who make tokens."""
    async with opened(postgres_dsn, role=FORWARDER) as database:
        yield database


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an organization have three."""
    monkeypatch.setattr(service_tokens, "IN_FORCE_MAX", 3)


async def made(db: Database, name: str = "pull", org_id: str = "acme") -> ServiceToken:
    """Make a token."""
    token = await create(db, org_id, name, MONTH)
    assert token is not None
    return token[1]


async def test_rotating_makes_no_more_tokens_than_there_may_be(db: Database) -> None:
    """Who goes on for a while counts for as long; what is replaced at once leaves its place."""
    await made(db, "other")
    first = await made(db)
    second = await rotate(db, "acme", first.id, lifetime=MONTH, overlap=MONTH)
    assert second is not None
    for token in (first, second[1]):
        assert await rotate(db, "acme", token.id, lifetime=MONTH, overlap=MONTH) is None
    third = await rotate(db, "acme", second[1].id, lifetime=MONTH, overlap=NOTHING)
    assert third is not None
    assert await use(db, second[0]) is None
    assert await use(db, third[0]) is not None
    assert await create(db, "acme", "more", MONTH) is None


@pytest.mark.parametrize(
    "ended",
    ["expires_at = now() - %s * interval '1 day'", "revoked_at = now() - %s * interval '1 day'"],
)
@pytest.mark.parametrize("way", ["create", "rotate"])
async def test_what_ended_long_ago_is_forgotten(
    postgres_dsn: str, db: Database, way: str, ended: str
) -> None:
    """Three months after its end a token of the organization goes, with the next one made."""
    first, stays, goes = [await made(db, name) for name in ("first", "stays", "goes")]
    foreign = await made(db, org_id="globex")
    for token, days in ((stays, 89), (goes, 91), (foreign, 91)):
        change = f"UPDATE service_tokens SET {ended} WHERE id = %s"  # noqa: S608 - see above
        query(postgres_dsn, change, [days, token.id])
    if way == "create":
        await made(db, "next")
    else:
        assert await rotate(db, "acme", first.id, lifetime=MONTH, overlap=NOTHING)
    left = {token.id for token in await listed(db, "acme")}
    assert {first.id, stays.id} < left
    assert goes.id not in left
    assert len(await listed(db, "globex")) == 1


async def test_every_token_in_force_is_listed(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many have ended since it was made; of those the newest are listed."""
    monkeypatch.setattr(service_tokens, "LISTED_MAX", 3)
    await made(db, "lasting")
    for number in range(4):
        assert await revoke(db, "acme", (await made(db, f"n{number}")).id)
    assert [token.name for token in await listed(db, "acme")] == ["n3", "n2", "lasting"]


async def test_token_for_an_organization_without_entries_is_warned_of(postgres_dsn: str) -> None:
    """It is made all the same: a new one is set up before its first entry."""
    async with opened(postgres_dsn) as writing:
        await load(writing, [an_entry("acme", "e1")])
    env = {"HUB_AUDIT_POSTGRES_DSN": postgres_dsn}
    said = {}
    for org_id in ("acme", "Acme"):
        command = ["tokens", "create", org_id, "pull", "--json"]
        done = await asyncio.to_thread(CliRunner(env=env).invoke, main, command)
        assert (done.exit_code, json.loads(done.stdout)["org_id"]) == (0, org_id)
        said[org_id] = done.stderr
    assert said == {"acme": "", "Acme": "hub-audit: the log has never had an entry of 'Acme'\n"}
