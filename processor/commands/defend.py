"""``hub-audit defend``."""

import click

from processor.commands.frame import settings_of


@click.command("defend")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Look for attacks until SIGTERM or Ctrl-C; start as many as you like."""
    from functools import partial

    from processor import lifecycle, logs
    from processor.defend import app

    settings = settings_of(ctx)
    logs.configure(settings.log.level, settings.log.format)
    ctx.exit(lifecycle.run(partial(app.run, settings)))
