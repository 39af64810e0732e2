"""``hub-audit migrate``."""

import click

from processor.commands.frame import as_json, run, settings_of, show_json


@click.command("migrate")
@as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Bring the database up to date: tables, roles, day partitions; safe to repeat."""
    from processor.store.migrations import migrate

    settings = settings_of(ctx)
    dsn = settings.postgres.dsn.get_secret_value()
    applied = run(migrate(dsn, retention_days=settings.retention_days))
    if as_json:
        show_json({"applied": applied})
        return
    for name in applied:
        click.echo(f"applied {name}")
    click.echo("the database is up to date")
