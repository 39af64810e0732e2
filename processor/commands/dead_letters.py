"""``hub-audit dead-letters``: list, show and redrive the records that could not pass."""

from collections.abc import Callable
from datetime import UTC
from typing import TYPE_CHECKING, Any

import click

from processor.commands.frame import as_json, ask, run, settings_of, show_json, yes

if TYPE_CHECKING:
    from processor.redrive import Selection
    from processor.settings import Settings

BOUND = click.IntRange(1, 1_000)
"""Of a list or redrive: it is held in memory, and a value may be half a mebibyte."""


@click.group("dead-letters")
def command() -> None:
    """List, show and redrive the records that could not pass."""


def selecting(chosen: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select dead letters."""
    options = [
        click.option("--reason", help="Only those rejected for this reason."),
        click.option("--topic", help="Only those of this raw topic."),
        click.option("--since", type=click.DateTime(), help="Only those recorded since (UTC)."),
        click.option("--limit", type=BOUND, default=100, help="The newest so many (100)."),
    ]
    for option in reversed(options):
        chosen = option(chosen)
    return chosen


@command.command("list")
@selecting
@click.option("--open", "open_only", is_flag=True, help="Only those that were not redriven.")
@as_json
@click.pass_context
def listed(ctx: click.Context, /, *, as_json: bool, **options: Any) -> None:
    """List dead letters, oldest first; the first column is what the other commands take."""
    from processor import redrive

    settings = settings_of(ctx)
    letters = run(redrive.select(settings, _selection(settings, (), **options)))
    if as_json:
        show_json([redrive.described(letter) for letter in letters])
        return
    for letter in letters:
        click.echo(redrive.line(letter))
    if not letters:
        click.echo("no dead letters")


@command.command("show")
@click.argument("at", metavar="TOPIC/PARTITION/OFFSET")
@as_json
@click.pass_context
def show(ctx: click.Context, at: str, *, as_json: bool) -> None:
    """Show one dead letter: why it could not pass, and the record as it came."""
    from processor import redrive

    settings = settings_of(ctx)
    (letter,) = run(redrive.select(settings, _selection(settings, (at,))))
    if as_json:
        show_json(redrive.described(letter) | redrive.record_of(letter))
    else:
        click.echo("\n".join(redrive.page(letter)))


@command.command("redrive")
@click.argument("coordinates", nargs=-1, metavar="[TOPIC/PARTITION/OFFSET]...")
@selecting
@click.option("--dry-run", is_flag=True, help="Only say which they are.")
@yes
@click.pass_context
def again(
    ctx: click.Context, /, coordinates: tuple[str, ...], *, dry_run: bool, yes: bool, **options: Any
) -> None:
    """Send dead letters down the path again: those named, or those selected that still wait."""
    from processor import redrive

    settings = settings_of(ctx)
    selection = _selection(settings, coordinates, open_only=True, **options)
    letters = run(redrive.select(settings, selection))
    for letter in letters:
        click.echo(redrive.line(letter))
    if dry_run or not letters:
        click.echo(f"{len(letters)} dead letters would be redriven")
        return
    ask(f"redrive these {len(letters)} dead letters?", yes=yes)
    run(redrive.redrive(settings, letters))
    click.echo(f"{len(letters)} records are on {settings.topic(settings.topics.redrive)}")


def _selection(settings: "Settings", coordinates: tuple[str, ...], **options: Any) -> "Selection":
    """Return what was selected, or complain about what cannot be."""
    from processor.redrive import selection

    if since := options.get("since"):
        options["since"] = since.replace(tzinfo=UTC)
    try:
        return selection(settings, coordinates, **options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
