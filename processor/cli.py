"""``hub-audit``: every command, its options, and how its answer is shown.

What a command does stands in the module that it imports when it runs: ``--help`` loads none of
them. Answers go to standard output, what went wrong to standard error; exit codes are 0 for done,
1 for a finding or an outage, 2 for a start that was refused or a command line that makes no sense.
"""

import asyncio
import sys
from collections.abc import Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from processor.errors import HubAuditError, StartRefused

if TYPE_CHECKING:
    from processor.settings import Settings

Answer = TypeVar("Answer")

EXIT_FAILED = 1
EXIT_REFUSED = 2

as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")
yes = click.option("--yes", is_flag=True, help="Do it without asking.")


class Commands(click.Group):
    """A group whose commands say in a line what went wrong, and show no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn what was raised on purpose into lines and an exit code."""
        try:
            return super().invoke(ctx)
        except StartRefused as refused:
            _complain(refused.problems)
            ctx.exit(EXIT_REFUSED)
        except HubAuditError as error:
            _complain([str(error)])
            ctx.exit(EXIT_FAILED)


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
    ctx.obj = config


@main.command()
@click.pass_context
def process(ctx: click.Context) -> None:
    """Run a worker until SIGTERM or Ctrl-C; start as many as there is work for."""
    from processor import doctor, lifecycle, logs, worker

    settings = _settings(ctx)
    logs.configure(settings.log.level, settings.log.format)
    if problems := _run(doctor.preflight(settings)):
        raise StartRefused(problems)
    ctx.exit(lifecycle.run(partial(worker.run, settings)))


@main.command()
@as_json
@click.pass_context
def migrate(ctx: click.Context, *, as_json: bool) -> None:
    """Bring the database up to date: tables, roles, day partitions; safe to repeat."""
    from processor.store.migrations import migrate as bring_up_to_date

    settings = _settings(ctx)
    dsn = settings.postgres.dsn.get_secret_value()
    applied = _run(bring_up_to_date(dsn, retention_days=settings.retention_days))
    if as_json:
        _json({"applied": applied})
        return
    for name in applied:
        click.echo(f"applied {name}")
    click.echo("the database is up to date")


@main.group()
def topics() -> None:
    """Create or check the topics."""


@topics.command("create")
@click.option(
    "--partitions",
    type=click.IntRange(1, 1024),
    help="Have this many partitions, also by adding some to the topics that are there.",
)
@as_json
@click.pass_context
def topics_create(ctx: click.Context, *, partitions: int | None, as_json: bool) -> None:
    """Create the topics that are missing; adds partitions only when asked for a number."""
    from processor.emit import topics as wanted

    settings = _settings(ctx)
    if partitions is not None:
        settings = settings.model_copy(update={"lanes": partitions})
        _insist_on_rest(settings)
    created = _run(wanted.create(settings, raise_partitions=partitions is not None))
    problems = _run(wanted.check(settings))
    if as_json:
        _json({"created": created.made, "raised": created.raised, "problems": problems})
    else:
        _say_created(settings, created.made, created.raised)
        if created.raised:
            click.echo(f"set HUB_AUDIT_LANES={settings.lanes} before you start processors again")
        _complain(problems)
    ctx.exit(EXIT_FAILED if problems else 0)


@topics.command("check")
@as_json
@click.pass_context
def topics_check(ctx: click.Context, *, as_json: bool) -> None:
    """Say what is wrong with the topics, and how to mend it; exit code 1 if anything is."""
    from processor.emit import topics as wanted

    settings = _settings(ctx)
    problems = _run(wanted.check(settings))
    if as_json:
        _json({"problems": problems})
    elif not problems:
        count = len(wanted.wanted(settings))
        click.echo(f"{count} topics are as they have to be, {settings.lanes} partitions each")
    else:
        _complain(problems)
    ctx.exit(EXIT_FAILED if problems else 0)


@main.command()
@as_json
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Check everything the processor depends on, and say what to do; exit code 1 on a problem."""
    from processor.doctor import Level, examine

    findings = _run(examine(_settings(ctx)))
    if as_json:
        _json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            color = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}
            level = click.style(f"{finding.level:8}", fg=color[finding.level])
            fix = f"\n{'':9}{'':22}-> {finding.fix}" if finding.fix else ""
            click.echo(f"{level} {finding.check:21} {finding.said}{fix}")
    ctx.exit(EXIT_FAILED if any(f.level is Level.PROBLEM for f in findings) else 0)


@main.group()
def config() -> None:
    """Look at the settings."""


@config.command("show")
@as_json
@click.pass_context
def config_show(ctx: click.Context, *, as_json: bool) -> None:
    """Show every setting with the variable that sets it; secrets are redacted."""
    from processor.settings import redacted, variables

    shown = redacted(_settings(ctx))
    if as_json:
        _json(shown)
        return
    for variable, path in variables().items():
        value: Any = shown
        for name in path:
            value = value[name]
        click.echo(f"{variable}={'' if value is None else value}")


def _settings(ctx: click.Context) -> "Settings":
    from processor.settings import Settings

    return Settings.load(config=ctx.obj)


def _run(question: Coroutine[Any, Any, Answer]) -> Answer:
    return asyncio.run(question)


def _insist_on_rest(settings: "Settings") -> None:
    """Refuse to go on while workers run."""
    from processor.ingest.group import members

    if count := _run(members(settings)):
        raise StartRefused([f"{count} workers run: stop them before partitions are added"])


def _say_created(settings: "Settings", made: list[str], raised: list[str]) -> None:
    for verb, names in (("created", made), ("added partitions to", raised)):
        for name in names:
            click.echo(f"{verb} {name} ({settings.lanes} partitions)")
    if not made and not raised:
        click.echo("nothing to create")


def _complain(problems: Iterable[str]) -> None:
    for problem in problems:
        click.echo(f"hub-audit: {problem}", err=True)


def _json(answer: Any) -> None:
    import json

    click.echo(json.dumps(answer, ensure_ascii=False, indent=2, default=str))


if __name__ == "__main__":
    main(sys.argv[1:])
