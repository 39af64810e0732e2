"""``hub-audit subscriptions``: the SIEM subscriptions of organizations, for operators."""

import getpass
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from processor.commands.frame import (
    AS_INSTANT,
    Instant,
    as_json,
    ask,
    complain,
    milliseconds,
    run,
    settings_of,
    show_json,
    yes,
)
from processor.errors import UnknownOrganization
from schemas.catalogue import FormatName, Outcome

if TYPE_CHECKING:
    from processor.forward.control import Control, Created
    from processor.settings import Settings
    from processor.store.subscriptions import Subscription

Answer = TypeVar("Answer")

organization = click.argument("org_id", metavar="ORGANIZATION")
in_format = click.argument(
    "name", metavar=f"{{{'|'.join(get_args(FormatName))}}}", type=click.Choice(get_args(FormatName))
)

ACCESS = {
    "set": "the SIEM has access: its ACLs are set",
    "open": "the bus has no authorizer: anybody can read the topic; with one, grant access by",
    "by_hand": "Hub Audit may not set ACLs here; grant the SIEM access by",
}


@click.group("subscriptions")
def command() -> None:
    """Deliver an organization's entries to its SIEM: create, pause, replay, test, delete."""


@command.command("list")
@click.argument("org_id", metavar="[ORGANIZATION]", required=False)
@as_json
@click.pass_context
def listed(ctx: click.Context, org_id: str | None, *, as_json: bool) -> None:
    """List subscriptions with their state, position and lag."""
    from processor.normalize.instant import render

    found = _ordered(ctx, lambda control: control.listed(org_id))
    settings = settings_of(ctx)
    rows = [_row(settings, each) for each in found]
    if as_json:
        show_json(rows)
        return
    for row in rows:
        at = row["delivered_at"]
        last = render(milliseconds(at)) if at else "never"
        click.echo(
            f"{row['topic']:<32} {row['state']:<8} through {row['through_seq']:>8} "
            f"lag {row['lag_entries']:>6}  last delivered {last}"
            + (f"  {row['error']}" if row["error"] else "")
        )
    if not rows:
        click.echo("no subscriptions")


@command.command()
@organization
@in_format
@click.option("--action", "actions", multiple=True, help="Only this action; may be repeated.")
@click.option("--category", "categories", multiple=True, help="Only this; may be repeated.")
@click.option(
    "--outcome", "outcomes", multiple=True, type=click.Choice(get_args(Outcome)),
    help="Only this; may be repeated.",
)  # fmt: skip
@click.option("--severity-min", type=click.IntRange(0, 10), default=0, help="Only this or higher.")
@click.pass_context
def create(ctx: click.Context, /, org_id: str, name: FormatName, **wanted: Any) -> None:
    """Deliver from the next entry on; prints how to give the SIEM access to the topic."""
    from pydantic import ValidationError

    from schemas.subscription import Filter

    try:
        passing = Filter(**wanted)
    except ValidationError as error:
        raise click.UsageError(
            "; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors())
        ) from error

    async def order(control: "Control") -> tuple["Created", bool]:
        """Create it; an organization may be set up before its first entry."""
        return await control.create(org_id, name, passing), await control.knows(org_id)

    made, known = _ordered(ctx, order)
    if not known:
        complain([str(UnknownOrganization(org_id))])
    click.echo(f"entries go to {made.topic} while hub-audit forward runs")
    for warning in made.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(ACCESS[made.access])
    if made.access != "set":
        for acl in made.acls:
            click.echo(f"  {acl}")


@command.command()
@organization
@in_format
@click.pass_context
def pause(ctx: click.Context, org_id: str, name: FormatName) -> None:
    """Stop delivery, and keep the position."""
    _ordered(ctx, lambda control: control.pause(org_id, name))
    click.echo("paused")


@command.command()
@organization
@in_format
@click.pass_context
def resume(ctx: click.Context, org_id: str, name: FormatName) -> None:
    """Resume delivery where it was paused."""
    _ordered(ctx, lambda control: control.resume(org_id, name))
    click.echo("resumed")


@command.command()
@organization
@in_format
@click.option("--after", type=click.IntRange(0), help="Entries above this sequence number.")
@click.option("--since", type=Instant(), help=f"Entries recorded from then on. {AS_INSTANT}")
@click.option("--through", type=click.IntRange(1), help="Up to this sequence number.")
@click.pass_context
def replay(
    ctx: click.Context,
    org_id: str,
    name: FormatName,
    *,
    after: int | None,
    since: datetime | None,
    through: int | None,
) -> None:
    """Deliver entries again, marked as a replay; the live position stays where it is."""
    if (after is None) == (since is None):
        raise click.UsageError("say either --after or --since")
    begin: int | datetime = since or after or 0

    async def order(control: "Control") -> str:
        """Order it, and say what was."""
        last = await control.replay(org_id, name, begin, through)
        return f"entries up to {last} are ordered again" + await control.waits_for(org_id, name)

    click.echo(_ordered(ctx, order))


@command.command()
@organization
@in_format
@click.pass_context
def test(ctx: click.Context, org_id: str, name: FormatName) -> None:
    """Deliver a test event."""

    async def order(control: "Control") -> str:
        """Order it, and say what was."""
        await control.test(org_id, name)
        return "a test event is ordered" + await control.waits_for(org_id, name)

    click.echo(_ordered(ctx, order))


@command.command()
@organization
@in_format
@click.option("--from-beginning", is_flag=True, help="Start with what is on the topic already.")
@click.option("--limit", type=click.IntRange(1), help="Stop after this many.")
@click.pass_context
def tail(
    ctx: click.Context, org_id: str, name: FormatName, *, from_beginning: bool, limit: int | None
) -> None:
    """Show the topic's records as they arrive, one a line, as the SIEM gets them, until Ctrl-C."""
    from processor.ingest.tail import tail as follow
    from schemas.subscription import topic_of

    _ordered(ctx, lambda control: control.existing(org_id, name))
    settings = settings_of(ctx)

    async def show() -> None:
        """Print records until there have been enough of them."""
        topic, left = settings.topic(topic_of(org_id, name)), limit
        async with aclosing(follow(settings, topic, from_beginning=from_beginning)) as records:
            async for record in records:
                click.echo(record.value or b"")
                left = None if left is None else left - 1
                if left == 0:
                    return

    with suppress(KeyboardInterrupt):
        run(show())


@command.command()
@organization
@in_format
@yes
@click.pass_context
def delete(ctx: click.Context, org_id: str, name: FormatName, *, yes: bool) -> None:
    """End a subscription and delete its topic; prints how to revoke access that is left."""
    from processor.forward.control import NOT_SHUT_OUT
    from schemas.subscription import topic_of

    topic = settings_of(ctx).topic(topic_of(org_id, name))
    ask(f"delete the subscription and the topic {topic}?", yes=yes)
    left = _ordered(ctx, lambda control: control.delete(org_id, name))
    click.echo("deleted")
    if left:
        click.echo(f"warning: {NOT_SHUT_OUT}", err=True)
    for acl in left:
        click.echo(f"  {acl}")


def _ordered(ctx: click.Context, order: "Callable[[Control], Awaitable[Answer]]") -> Answer:
    """Have an order carried out in the name of whoever is logged in here."""
    from processor.forward.control import Control

    async def carry_out() -> Answer:
        """Connect, and do it."""
        actor = {"type": "service", "id": f"operator:{getpass.getuser()}"}
        async with Control.opened(settings_of(ctx), actor) as control:
            return await order(control)

    return run(carry_out())


def _row(settings: "Settings", each: "Subscription") -> dict[str, Any]:
    from schemas.subscription import topic_of

    return {
        "topic": settings.topic(topic_of(each.org_id, each.format)),
        "state": each.state,
        "filter": each.filter.model_dump(exclude_defaults=True),
        "through_seq": each.forwarded_through,
        "lag_entries": each.lag_entries,
        "delivered_at": each.delivered_at,
        "error": each.error,
    }
