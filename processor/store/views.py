"""Saved views: queries that a person keeps, for themselves or for their whole organization."""

from typing import NamedTuple

from processor.store.pool import Database
from processor.store.sql import statements

VIEWS_MAX = 50
NAME_CHARACTERS_MAX = 60
EVERYBODY = ""
"""The owner of what a whole organization keeps."""

_SQL = statements("views.sql")


class View(NamedTuple):
    """A kept query; ``shared`` with the whole organization."""

    shared: bool
    name: str
    query: str


async def listed(db: Database, org_id: str, owner: str) -> list[View]:
    """Return what a person keeps and what their organization keeps, by name."""
    async with db.connection() as connection:
        return [View(*row) for row in await connection.fetch(_SQL["listed"], org_id, owner)]


async def save(db: Database, org_id: str, owner: str, name: str, query: str) -> bool:
    """Keep a query under a name; False when VIEWS_MAX are kept already."""
    async with db.connection() as connection:
        kept = await connection.fetchval(_SQL["save"], org_id, owner, name, query, VIEWS_MAX)
    return kept is not None


async def forget(db: Database, org_id: str, owner: str, name: str) -> bool:
    """Keep it no more; False when there was none."""
    async with db.connection() as connection:
        return await connection.fetchval(_SQL["forget"], org_id, owner, name) is not None
