"""``hub-audit forward``."""

import click

from processor.commands.frame import settings_of


@click.command("forward")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Deliver SIEM subscriptions until SIGTERM or Ctrl-C; start as many as you like."""
    from functools import partial

    from processor import lifecycle, logs
    from processor.forward import forwarder

    settings = settings_of(ctx)
    logs.configure(settings.log.level, settings.log.format)
    ctx.exit(lifecycle.run(partial(forwarder.run, settings)))
