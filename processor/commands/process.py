"""``hub-audit process``."""

from functools import partial

import click

from processor.commands.frame import run, settings_of
from processor.errors import StartRefused


@click.command("process")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Run a worker until SIGTERM or Ctrl-C; start as many as there is work for."""
    from processor import doctor, lifecycle, logs, worker

    settings = settings_of(ctx)
    if problems := run(doctor.preflight(settings)):
        raise StartRefused(problems)
    logs.configure(settings.log.level, settings.log.format)
    ctx.exit(lifecycle.run(partial(worker.run, settings)))
