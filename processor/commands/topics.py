"""``hub-audit topics``: create them, add partitions, or say what is wrong with them."""

from typing import TYPE_CHECKING

import click

from processor.commands.frame import (
    EXIT_FAILED,
    as_json,
    complain,
    counted,
    run,
    settings_of,
    show_json,
)
from processor.errors import StartRefused

if TYPE_CHECKING:
    from processor.emit.topics import State
    from processor.settings import Settings


@click.group("topics")
def command() -> None:
    """Create or check the topics."""


@command.command("create")
@click.option(
    "--partitions",
    type=click.IntRange(1, 1024),
    help="Have this many partitions, adding some to existing topics if needed.",
)
@as_json
@click.pass_context
def create(ctx: click.Context, *, partitions: int | None, as_json: bool) -> None:
    """Create the topics that are missing; adds partitions only with --partitions."""
    from processor.emit import topics as wanted

    settings = settings_of(ctx)
    if partitions is not None:
        settings = settings.model_copy(update={"lanes": partitions})
        _insist_on_rest(settings)
    created = run(wanted.create(settings, raise_partitions=partitions is not None))
    state = run(wanted.check(settings))
    if as_json:
        show_json(created._asdict() | state._asdict())
    else:
        click.echo(
            f"{counted(len(created.made), 'topic')} created, {len(created.raised)} got partitions"
        )
        if created.raised:
            click.echo(f"set HUB_AUDIT_LANES={settings.lanes} before you start processors again")
        _say(state)
    ctx.exit(EXIT_FAILED if state.problems else 0)


@command.command("check")
@as_json
@click.pass_context
def check(ctx: click.Context, *, as_json: bool) -> None:
    """Say what is wrong with the topics, and how to fix it; exit code 1 if anything is."""
    from processor.emit import topics as wanted

    settings = settings_of(ctx)
    state = run(wanted.check(settings))
    if as_json:
        show_json(state._asdict())
    elif not any(state):
        count = len(wanted.wanted(settings))
        click.echo(f"{count} topics are as they should be, {settings.lanes} partitions each")
    else:
        _say(state)
    ctx.exit(EXIT_FAILED if state.problems else 0)


def _say(state: "State") -> None:
    complain([*state.problems, *(f"warning: {each}" for each in state.warnings)])


def _insist_on_rest(settings: "Settings") -> None:
    """Refuse to add partitions while workers run, or have left a batch that may not be out.

    It would be looked for where its organization is by the new number, not found, and come again.
    """
    from processor.emit.topics import lack_partitions
    from processor.ingest.group import members

    if not run(lack_partitions(settings)):
        return
    if count := run(members(settings)):
        raise StartRefused(
            [f"{counted(count, 'worker')} running: stop all before partitions are added"]
        )
    if lanes := run(_unpublished(settings)):
        said = f"the last batch of lanes {', '.join(map(str, lanes))} may not be published"
        fix = "start a worker with the old number of lanes, and end it in good order when they flow"
        raise StartRefused([f"{said}: {fix}"])


async def _unpublished(settings: "Settings") -> list[int]:
    from processor.ingest.group import unpublished
    from processor.store.books import ours
    from processor.store.survey import batches

    async with ours(settings) as db:
        return await unpublished(settings, await batches(db))
