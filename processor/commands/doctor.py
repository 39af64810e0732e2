"""``hub-audit doctor``."""

import click

from processor.commands.frame import EXIT_FAILED, as_json, run, settings_of, show_json


@click.command("doctor")
@as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Check everything Hub Audit depends on, and say what to do; exit code 1 on a problem."""
    from processor.doctor import COLORS, Level, examine, lines

    findings = run(examine(settings_of(ctx)))
    if as_json:
        show_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            level = click.style(f"{finding.level:8}", fg=COLORS[finding.level])
            click.echo(f"{level} {lines(finding)}")
    ctx.exit(EXIT_FAILED if any(f.level is Level.PROBLEM for f in findings) else 0)
