"""``hub-audit recover``."""

from datetime import datetime

import click

from processor.commands.frame import ask, milliseconds, run, settings_of, yes


@click.command("recover")
@click.option(
    "--margin",
    type=click.IntRange(0, 1_000_000),
    default=0,
    help="Skip so many more numbers of each organization, for what is not on the topics any more.",
)
@click.option(
    "--since",
    type=click.DateTime(),
    help="Read canonical topics from this time (UTC) on, where that is to be earlier than needed.",
)
@yes
@click.pass_context
def command(ctx: click.Context, *, margin: int, since: datetime | None, yes: bool) -> None:
    """Let lanes go on that stopped: the database lost commits, or a raw topic was created anew."""
    from processor import recover as operation

    settings = settings_of(ctx)
    diagnosis = run(operation.diagnose(settings))
    for finding in operation.findings(diagnosis):
        click.echo(finding)
    if not (diagnosis.lost or diagnosis.anew):
        click.echo("nothing to recover: no lane has a reason to stop")
        return
    since_ms = None if since is None else milliseconds(since)
    operation.begin_ms(diagnosis, since_ms)  # refused before anything is asked
    ask("go on behind what is published?", yes=yes)
    recovered = run(operation.mend(settings, diagnosis, margin=margin, since_ms=since_ms))
    click.echo(f"lanes moved: {', '.join(map(str, recovered.lanes)) or 'none'}")
    click.echo(f"organizations lifted: {len(recovered.heads)}; see seq_gaps")
