"""``hub-audit recover``."""

from datetime import datetime

import click

from processor.commands.frame import AS_INSTANT, Instant, ask, milliseconds, run, settings_of, yes


@click.command("recover")
@click.option(
    "--margin",
    type=click.IntRange(0, 1_000_000),
    default=0,
    help="Skip this many more numbers in each organization, for what is no longer on the topics.",
)
@click.option(
    "--since",
    type=Instant(),
    help="Read canonical topics from this time on, which may only be earlier than usual. "
    + AS_INSTANT,
)
@click.option(
    "--new-cluster",
    is_flag=True,
    help="Check all raw partitions, even if none ends before what is stored of it.",
)
@yes
@click.pass_context
def command(
    ctx: click.Context, *, margin: int, since: datetime | None, new_cluster: bool, yes: bool
) -> None:
    """Let stopped lanes go on after lost commits, or after a raw topic was replaced or cut off."""
    from processor import recover as operation

    settings = settings_of(ctx)
    diagnosis = run(operation.diagnose(settings, new_cluster=new_cluster))
    for finding in operation.findings(diagnosis):
        click.echo(finding)
    if not (diagnosis.lost or diagnosis.reopened or diagnosis.ahead):
        click.echo("nothing to recover: no lane has a reason to stop")
        return
    since_ms = None if since is None else milliseconds(since)
    operation.begin_ms(diagnosis, since_ms)  # refused before anything is asked
    ask("let the lanes go on after what is published?", yes=yes)
    recovered = run(operation.mend(settings, diagnosis, margin=margin, since_ms=since_ms))
    click.echo(f"lanes moved: {', '.join(map(str, recovered.lanes)) or 'none'}")
    click.echo(f"organizations lifted: {len(recovered.heads)}; see seq_gaps")
