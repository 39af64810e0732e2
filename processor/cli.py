"""``hub-audit``: every command there is.

Each group of commands is a module of ``processor.commands``; what they have in common is its
``frame``. What a command does stands in the module that it imports when it runs: ``--help`` loads
none of them.
"""

from pathlib import Path

import click

from processor.commands import (
    config,
    dead_letters,
    defend,
    demo,
    doctor,
    events,
    export,
    forward,
    maintain,
    migrate,
    process,
    recover,
    republish,
    serve,
    subscriptions,
    tokens,
    topics,
)
from processor.commands.frame import Commands


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read settings from this TOML file (also HUB_AUDIT_CONFIG); the environment wins.",
)
@click.version_option(
    package_name="hub-audit", prog_name="hub-audit", message="%(prog)s %(version)s"
)
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """Hub Audit: every raw event becomes exactly one entry and exactly one canonical event."""
    from processor import logs

    ctx.obj = config
    logs.quiet()


for module in (
    *(config, dead_letters, defend, demo, doctor, export, forward, maintain, migrate),
    *(process, recover, republish, serve, subscriptions, tokens, topics),
):
    main.add_command(module.command)
main.add_command(events.normalize)
main.add_command(events.validate)
main.add_command(export.search)
