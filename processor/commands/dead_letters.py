"""``hub-audit dead-letters``: list, show and redrive the records that could not pass."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from processor.commands.frame import (
    AS_INSTANT,
    EXIT_FAILED,
    Instant,
    as_json,
    ask,
    complain,
    counted,
    run,
    settings_of,
    show_json,
    yes,
)

if TYPE_CHECKING:
    from processor.redrive import Selection
    from processor.settings import Settings

LISTED_MAX = 1_000


@click.group("dead-letters")
def command() -> None:
    """List, show and redrive the records that could not pass."""


def selecting(chosen: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select dead letters."""
    options = [
        click.option("--reason", help="Only those rejected for this reason."),
        click.option("--topic", help="Only those of this raw topic."),
        click.option(
            "--since", type=Instant(), help=f"Only those recorded since then. {AS_INSTANT}"
        ),
    ]
    for option in reversed(options):
        chosen = option(chosen)
    return chosen


@command.command("list")
@selecting
@click.option(
    "--limit",
    type=click.IntRange(1, LISTED_MAX),
    default=100,
    show_default=True,
    help="At most this many, the newest.",
)
@click.option("--open", "open_only", is_flag=True, help="Only those that were not redriven.")
@as_json
@click.pass_context
def listed(ctx: click.Context, /, *, as_json: bool, limit: int, **options: Any) -> None:
    """List dead letters, oldest first; the other commands take what the first column has."""
    from processor import redrive

    settings = settings_of(ctx)
    letters = run(redrive.newest(settings, _selection(settings, (), **options).wanted, limit))
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
    from processor.store.dead_letters import summary

    settings = settings_of(ctx)
    letter = run(redrive.show(settings, *_selection(settings, (at,)).coordinates))
    if as_json:
        show_json(redrive.described(summary(letter)) | redrive.record_of(letter))
    else:
        click.echo("\n".join(redrive.page(letter)))


@command.command("redrive")
@click.argument("coordinates", nargs=-1, metavar="[TOPIC/PARTITION/OFFSET]...")
@selecting
@click.option("--limit", type=click.IntRange(1), help="At most this many; the others stay.")
@click.option("--dry-run", is_flag=True, help="Only show which would be sent.")
@yes
@click.pass_context
def again(
    ctx: click.Context, /, coordinates: tuple[str, ...], *, dry_run: bool, yes: bool, **options: Any
) -> None:
    """Process dead letters again: those named, or all that match and are still open."""
    settings = settings_of(ctx)
    selection = _selection(settings, coordinates, open_only=True, **options)
    count, until = run(_shown(settings, selection))
    if dry_run or until is None:
        click.echo(f"{counted(count, 'dead letter')} would be redriven")
        return
    ask(f"redrive {counted(count, 'dead letter')}?", yes=yes)
    ctx.exit(run(_sent(settings, selection, until)))


async def _shown(settings: "Settings", selection: "Selection") -> tuple[int, datetime | None]:
    """Show the selected; return how many they are, and when the last of them was recorded."""
    from processor import redrive

    count, until = 0, None
    async for letter in redrive.selected(settings, selection):
        click.echo(redrive.line(letter))
        count += 1
        until = max(until or letter.recorded_at, letter.recorded_at)
    return count, until


async def _sent(settings: "Settings", selection: "Selection", until: datetime) -> int:
    """Send the selected, and say what became of them; return the exit code."""
    from processor import redrive

    topic = settings.topic(settings.topics.redrive)
    left = await redrive.left_out(settings, selection)
    count = refused = 0
    async for sent in redrive.redrive(settings, selection, until=until):
        count += sent.records
        refused += len(sent.refused)
        complain(
            f"{redrive.place(at)} is left: its record is larger than {topic} takes"
            for at in sent.refused
        )
    left += refused
    click.echo(f"{counted(count, 'record')} sent to {topic}, {counted(left, 'dead letter')} left")
    return EXIT_FAILED if refused else 0


def _selection(settings: "Settings", coordinates: tuple[str, ...], **options: Any) -> "Selection":
    """Return what was selected, or complain about what cannot be."""
    from processor.redrive import selection

    try:
        return selection(settings, coordinates, **options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
