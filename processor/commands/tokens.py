"""``hub-audit tokens``: the tokens by which programs read an organization's log, for operators."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from processor.commands.frame import as_json, ask, complain, run, settings_of, show_json, yes
from processor.errors import HubAuditError, UnknownOrganization

if TYPE_CHECKING:
    from processor.store.pool import Database
    from processor.store.service_tokens import ServiceToken

Answer = TypeVar("Answer")

DAYS_MAX = 366
OVERLAP_HOURS_MAX = 24 * 30

organization = click.argument("org_id", metavar="ORGANIZATION")
token = click.argument("token_id", metavar="TOKEN_ID", type=click.UUID)
days = click.option(
    "--days", type=click.IntRange(1, DAYS_MAX), default=90, help="How many days it is valid.",
    show_default=True,
)  # fmt: skip


class TokenError(HubAuditError):
    """An order that makes no sense: no such token, or no such organization."""


@click.group("tokens")
def command() -> None:
    """Manage the tokens by which programs read an organization's log."""


@command.command()
@organization
@click.argument("name")
@days
@as_json
@click.pass_context
def create(ctx: click.Context, /, org_id: str, name: str, *, days: int, as_json: bool) -> None:
    """Make a token; it is shown only once."""
    from processor.normalize import known_org
    from processor.store import service_tokens
    from processor.store.subscriptions import last_seq

    if known_org(org_id) is None:
        raise TokenError("an organization is 1 to 128 characters of A-Z a-z 0-9 _ -")
    if not service_tokens.is_name(name):
        raise TokenError(
            f"a name is 1 to {service_tokens.NAME_CHARACTERS_MAX} printable characters"
        )
    lifetime = timedelta(days=days)

    async def order(db: "Database") -> tuple["tuple[str, ServiceToken] | None", int]:
        """Make it; an organization may be set up before its first entry."""
        made = await service_tokens.create(db, org_id, name, lifetime)
        return made, await last_seq(db, org_id)

    made, entries = _ordered(ctx, order)
    if made is None:
        raise TokenError(
            f"{org_id} has {service_tokens.IN_FORCE_MAX} valid tokens already: revoke some"
        )
    if not entries:
        complain([str(UnknownOrganization(org_id))])
    _show_made(*made, as_json=as_json)


@command.command("list")
@organization
@as_json
@click.pass_context
def listed(ctx: click.Context, org_id: str, *, as_json: bool) -> None:
    """List an organization's tokens with state and last use, but not the tokens themselves."""
    from processor.store import service_tokens

    found = _ordered(ctx, lambda db: service_tokens.listed(db, org_id))
    rows = [_row(each) for each in found]
    if as_json:
        show_json(rows)
        return
    for row in rows:
        click.echo(
            f"{row['id']}  {row['state']:<8} until {row['expires_at']:%Y-%m-%d %H:%M}Z  "
            f"last used {row['last_used_at'] or 'never'}  {row['name']}"
        )
    if not rows:
        click.echo("no tokens")


@command.command()
@organization
@token
@days
@click.option(
    "--overlap-hours", type=click.IntRange(0, OVERLAP_HOURS_MAX), default=24, show_default=True,
    help="How many hours the old token stays valid.",
)  # fmt: skip
@as_json
@click.pass_context
def rotate(ctx: click.Context, /, org_id: str, token_id: UUID, **wanted: Any) -> None:
    """Make a new token of the same name; the old one expires after an overlap."""
    from processor.store import service_tokens

    lifetime = timedelta(days=wanted["days"])
    overlap = timedelta(hours=wanted["overlap_hours"])
    made = _ordered(
        ctx,
        lambda db: service_tokens.rotate(db, org_id, token_id, lifetime=lifetime, overlap=overlap),
    )
    if made is None:
        raise TokenError(
            f"{org_id} has no valid token {token_id}, or {service_tokens.IN_FORCE_MAX} others: then"
            " rotate it with --overlap-hours 0"
        )
    _show_made(*made, as_json=wanted["as_json"])


@command.command()
@organization
@token
@yes
@click.pass_context
def revoke(ctx: click.Context, org_id: str, token_id: UUID, *, yes: bool) -> None:
    """Revoke a token at once."""
    from processor.store import service_tokens

    ask(f"revoke token {token_id} of {org_id} now?", yes=yes)
    if not _ordered(ctx, lambda db: service_tokens.revoke(db, org_id, token_id)):
        raise TokenError(f"{org_id} has no valid token {token_id}")
    click.echo("revoked")


def _ordered(ctx: click.Context, order: "Callable[[Database], Awaitable[Answer]]") -> Answer:
    """Connect, and have an order carried out."""
    from processor.store.books import ours
    from processor.store.pool import FORWARDER

    settings = settings_of(ctx)

    async def carry_out() -> Answer:
        """Do it on one connection."""
        async with ours(settings, role=FORWARDER) as db:
            return await order(db)

    return run(carry_out())


def _show_made(secret: str, made: "ServiceToken", *, as_json: bool) -> None:
    if as_json:
        show_json({"token": secret, **_row(made)})
        return
    click.echo(secret)
    click.echo(
        f"{made.id} of {made.org_id}, valid until {made.expires_at:%Y-%m-%d %H:%M}Z; "
        "only its hash is kept: it cannot be shown again",
        err=True,
    )


def _row(each: "ServiceToken") -> dict[str, Any]:
    now = datetime.now(UTC)  # noqa: TID251 - a list is of the moment
    state = "revoked" if each.revoked_at else "expired" if each.expires_at <= now else "active"
    return {**each._asdict(), "state": state}
