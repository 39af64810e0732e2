"""Tokens by which a program reads one organization's log. Of a token only its hash is kept."""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from asyncpg import Record, UniqueViolationError

from processor.store.pool import Database
from processor.store.sql import statements

PREFIX = "hubaudit_"
"""So that secret scanners know one when they see it."""

SECRET_BYTES = 32
LIFETIME_MAX = timedelta(days=366)
NAME_CHARACTERS_MAX = 100
IN_FORCE_MAX = 50
"""Of one organization; whoever needs more has forgotten some."""

LISTED_MAX = 200
"""Of one organization: all that are in force, and what ended of late."""

FORGOTTEN_AFTER = timedelta(days=90)
"""Until then one that has ended is listed, and says when it was used last."""

_SQL = statements("service_tokens.sql")


class AlreadyMade(Exception):
    """A token that was to have an id is there, or was; it was shown then."""


class ServiceToken(NamedTuple):
    """A token as it is listed: everything but itself."""

    id: UUID
    org_id: str
    name: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


async def create(
    db: Database, org_id: str, name: str, lifetime: timedelta, token_id: UUID | None = None
) -> tuple[str, ServiceToken] | None:
    """Make a token; it is returned here and can never be shown again. None: there are too many.

    Raises AlreadyMade where it is to have an id that there is.
    """
    token, lifetime = _new(), min(lifetime, LIFETIME_MAX)
    bounds = IN_FORCE_MAX, FORGOTTEN_AFTER
    return await _made(
        db, "create", token, org_id, name, _digest(token), lifetime, *bounds, token_id
    )


async def rotate(
    db: Database,
    org_id: str,
    token_id: UUID,
    *,
    lifetime: timedelta,
    overlap: timedelta,
    new_id: UUID | None = None,
) -> tuple[str, ServiceToken] | None:
    """Make a token in the place of one that ends after the overlap.

    None: there is none, or with both there are too many; without an overlap there never are.
    Raises AlreadyMade where it is to have an id that there is; the other one stays as it is.
    """
    token, lifetime = _new(), min(lifetime, LIFETIME_MAX)
    given = org_id, token_id, _digest(token), lifetime, overlap, IN_FORCE_MAX, FORGOTTEN_AFTER
    return await _made(db, "rotate", token, *given, new_id)


async def _made(
    db: Database, statement: str, token: str, *given: object
) -> tuple[str, ServiceToken] | None:
    try:
        async with db.connection() as connection:
            row: Record | None = await connection.fetchrow(_SQL[statement], *given)
    except UniqueViolationError as error:
        raise AlreadyMade from error
    return None if row is None else (token, ServiceToken(*row))


async def use(db: Database, token: str) -> ServiceToken | None:
    """Return what a token is, None when it is unknown, expired or revoked; note its use."""
    async with db.connection() as connection:
        row = await connection.fetchrow(_SQL["use"], _digest(token))
    return None if row is None else ServiceToken(*row)


async def listed(db: Database, org_id: str) -> list[ServiceToken]:
    """Return the tokens of an organization, LISTED_MAX at most, the newest first."""
    async with db.connection() as connection:
        rows = await connection.fetch(_SQL["listed"], org_id, LISTED_MAX)
    return [ServiceToken(*row) for row in rows]


async def revoke(db: Database, org_id: str, token_id: UUID) -> bool:
    """End a token at once; False when there is no such token in force."""
    async with db.connection() as connection:
        return await connection.fetchval(_SQL["revoke"], org_id, token_id) is not None


def is_name(name: str) -> bool:
    """Return whether a token can be called so."""
    return 0 < len(name) <= NAME_CHARACTERS_MAX and name.isprintable()


def _new() -> str:
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def _digest(token: str) -> bytes:
    # A token is 256 random bits: a slow hash would protect nothing more.
    return sha256(token.encode()).digest()
