"""``hub-audit config``."""

from typing import Any

import click

from processor.commands.frame import as_json, settings_of, show_json


@click.group("config")
def command() -> None:
    """Look at the settings."""


@command.command("show")
@as_json
@click.pass_context
def show(ctx: click.Context, *, as_json: bool) -> None:
    """Show every setting with the variable that sets it; secrets are redacted."""
    from processor.settings import redacted, variables

    shown = redacted(settings_of(ctx))
    if as_json:
        show_json(shown)
        return
    for variable, path in variables().items():
        value: Any = shown
        for name in path:
            value = value[name]
        click.echo(f"{variable}={'' if value is None else value}")
