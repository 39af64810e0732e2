"""``hub-audit``: every command, its options, and how its answer is shown.

What a command does stands in the module that it imports when it runs: ``--help`` loads none of
them. Answers go to standard output, what went wrong to standard error; exit codes are 0 for done,
1 for a finding or an outage, 2 for a start that was refused or a command line that makes no sense.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from processor.commands import export, forward, maintain, serve, subscriptions, tokens
from processor.commands.frame import (
    EXIT_FAILED,
    Commands,
    as_json,
    ask,
    complain,
    run,
    settings_of,
    show_json,
    yes,
)
from processor.errors import StartRefused

if TYPE_CHECKING:
    from processor.explain import Judged
    from processor.redrive import Selection
    from processor.settings import Settings

BOUND = click.IntRange(1, 1_000)
"""Of a list or redrive: it is held in memory, and a value may be half a mebibyte."""

as_of = click.option(
    "--at", type=click.DateTime(), help="Judge as if recorded then (UTC), not now."
)


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


main.add_command(export.command)
main.add_command(export.search)
main.add_command(forward.command)
main.add_command(maintain.command)
main.add_command(serve.command)
main.add_command(subscriptions.command)
main.add_command(tokens.command)


@main.command()
@click.pass_context
def process(ctx: click.Context) -> None:
    """Run a worker until SIGTERM or Ctrl-C; start as many as there is work for."""
    from processor import doctor, lifecycle, logs, worker

    settings = settings_of(ctx)
    if problems := run(doctor.preflight(settings)):
        raise StartRefused(problems)
    logs.configure(settings.log.level, settings.log.format)
    ctx.exit(lifecycle.run(partial(worker.run, settings)))


@main.command()
@as_json
@click.pass_context
def migrate(ctx: click.Context, *, as_json: bool) -> None:
    """Bring the database up to date: tables, roles, day partitions; safe to repeat."""
    from processor.store.migrations import migrate as bring_up_to_date

    settings = settings_of(ctx)
    dsn = settings.postgres.dsn.get_secret_value()
    applied = run(bring_up_to_date(dsn, retention_days=settings.retention_days))
    if as_json:
        show_json({"applied": applied})
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

    settings = settings_of(ctx)
    if partitions is not None:
        settings = settings.model_copy(update={"lanes": partitions})
        _insist_on_rest(settings)
    created = run(wanted.create(settings, raise_partitions=partitions is not None))
    problems = run(wanted.check(settings))
    if as_json:
        show_json(created._asdict() | {"problems": problems})
    else:
        click.echo(f"{len(created.made)} topics created, {len(created.raised)} got partitions")
        if created.raised:
            click.echo(f"set HUB_AUDIT_LANES={settings.lanes} before you start processors again")
        complain(problems)
    ctx.exit(EXIT_FAILED if problems else 0)


@topics.command("check")
@as_json
@click.pass_context
def topics_check(ctx: click.Context, *, as_json: bool) -> None:
    """Say what is wrong with the topics, and how to mend it; exit code 1 if anything is."""
    from processor.emit import topics as wanted

    settings = settings_of(ctx)
    problems = run(wanted.check(settings))
    if as_json:
        show_json({"problems": problems})
    elif not problems:
        count = len(wanted.wanted(settings))
        click.echo(f"{count} topics are as they have to be, {settings.lanes} partitions each")
    else:
        complain(problems)
    ctx.exit(EXIT_FAILED if problems else 0)


@main.command()
@as_json
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Check everything the processor depends on, and say what to do; exit code 1 on a problem."""
    from processor.doctor import COLORS, Level, examine, lines

    findings = run(examine(settings_of(ctx)))
    if as_json:
        show_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            level = click.style(f"{finding.level:8}", fg=COLORS[finding.level])
            click.echo(f"{level} {lines(finding)}")
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

    shown = redacted(settings_of(ctx))
    if as_json:
        show_json(shown)
        return
    for variable, path in variables().items():
        value: Any = shown
        for name in path:
            value = value[name]
        click.echo(f"{variable}={'' if value is None else value}")


@main.group("dead-letters")
def dead_letters() -> None:
    """List, show and redrive the records that could not pass."""


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select dead letters."""
    options = [
        click.option("--reason", help="Only those rejected for this reason."),
        click.option("--topic", help="Only those of this raw topic."),
        click.option("--since", type=click.DateTime(), help="Only those recorded since (UTC)."),
        click.option("--limit", type=BOUND, default=100, help="The newest so many (100)."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@dead_letters.command("list")
@selecting
@click.option("--open", "open_only", is_flag=True, help="Only those that were not redriven.")
@as_json
@click.pass_context
def dead_letters_list(ctx: click.Context, /, *, as_json: bool, **options: Any) -> None:
    """List dead letters, oldest first; the first column is what the other commands take."""
    from processor import redrive

    settings = settings_of(ctx)
    letters = run(redrive.select(settings, _selection(settings, (), **options)))
    if as_json:
        show_json([redrive.described(letter) for letter in letters])
        return
    for letter in letters:
        click.echo(redrive.line(letter))
    if not letters:
        click.echo("no dead letters")


@dead_letters.command("show")
@click.argument("at", metavar="TOPIC/PARTITION/OFFSET")
@as_json
@click.pass_context
def dead_letters_show(ctx: click.Context, at: str, *, as_json: bool) -> None:
    """Show one dead letter: why it could not pass, and the record as it came."""
    from processor import redrive

    settings = settings_of(ctx)
    (letter,) = run(redrive.select(settings, _selection(settings, (at,))))
    if as_json:
        show_json(redrive.described(letter) | redrive.record_of(letter))
    else:
        click.echo("\n".join(redrive.page(letter)))


@dead_letters.command("redrive")
@click.argument("coordinates", nargs=-1, metavar="[TOPIC/PARTITION/OFFSET]...")
@selecting
@click.option("--dry-run", is_flag=True, help="Only say which they are.")
@yes
@click.pass_context
def dead_letters_redrive(
    ctx: click.Context, /, coordinates: tuple[str, ...], *, dry_run: bool, yes: bool, **options: Any
) -> None:
    """Send dead letters down the path again: those named, or those selected that still wait."""
    from processor import redrive

    settings = settings_of(ctx)
    selection = _selection(settings, coordinates, open_only=True, **options)
    letters = run(redrive.select(settings, selection))
    for letter in letters:
        click.echo(redrive.line(letter))
    if dry_run or not letters:
        click.echo(f"{len(letters)} dead letters would be redriven")
        return
    ask(f"redrive these {len(letters)} dead letters?", yes=yes)
    run(redrive.redrive(settings, letters))
    click.echo(f"{len(letters)} records are on {settings.topic(settings.topics.redrive)}")


@main.command()
@click.option(
    "--margin",
    type=click.IntRange(0, 1_000_000),
    default=0,
    help="Skip so many more numbers of each organization, for what is not on the topics any more.",
)
@click.option(
    "--since",
    type=click.DateTime(),
    help="Read canonical topics from this time (UTC) on: the backup's, or a little before.",
)
@yes
@click.pass_context
def recover(ctx: click.Context, *, margin: int, since: datetime | None, yes: bool) -> None:
    """Let lanes go on that stopped: the database lost commits, or a raw topic was created anew."""
    from processor import recover as operation

    settings = settings_of(ctx)
    diagnosis = run(operation.diagnose(settings))
    for finding in operation.findings(diagnosis):
        click.echo(finding)
    if not any(diagnosis):
        click.echo("nothing to recover: no lane has a reason to stop")
        return
    ask("go on behind what is published?", yes=yes)
    since_ms = None if since is None else _ms(since)
    recovered = run(operation.mend(settings, diagnosis, margin=margin, since_ms=since_ms))
    click.echo(f"lanes moved: {', '.join(map(str, recovered.lanes)) or 'none'}")
    click.echo(f"organizations lifted: {len(recovered.heads)}; see seq_gaps")


@main.command()
@click.argument("file", type=click.File("rb"))
@as_of
@as_json
@click.pass_context
def validate(ctx: click.Context, file: BinaryIO, *, at: datetime | None, as_json: bool) -> None:
    """Check raw events in FILE (JSON or lines of JSON; - is stdin); exit code 1 if any fails."""
    from processor import explain

    judged = [explain.described(each) for each in _judged(ctx, file, at)]
    rejected = [each for each in judged if each["end"] == "rejected"]
    if as_json:
        show_json({"events": len(judged), "rejected": len(rejected), "verdicts": judged})
    else:
        for each in rejected:
            click.echo(explain.complaint(getattr(file, "name", "-"), each))
        click.echo(f"{len(judged)} events, {len(rejected)} rejected")
    ctx.exit(EXIT_FAILED if rejected or not judged else 0)


@main.command()
@click.argument("file", type=click.File("rb"))
@click.option("--explain", "explained", is_flag=True, help="Show the canonical event, for people.")
@as_of
@click.pass_context
def normalize(ctx: click.Context, file: BinaryIO, *, at: datetime | None, explained: bool) -> None:
    """Show what raw events in FILE become; one line of JSON each unless they are explained."""
    from processor import explain

    settings, failed = settings_of(ctx), False
    for judged in _judged(ctx, file, at):
        failed = failed or explain.described(judged)["end"] == "rejected"
        if explained:
            click.echo("\n".join(explain.page(judged, settings)))
        else:
            click.echo(explain.line(judged))
    ctx.exit(EXIT_FAILED if failed else 0)


@main.command()
@click.option("--rate", type=float, default=300.0, show_default=True, help="Events a second.")
@click.option("--seconds", type=float, help="End after so long; without it, at Ctrl-C.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the generated events.")
@click.pass_context
def demo(ctx: click.Context, *, rate: float, seconds: float | None, seed: int) -> None:
    """Show the whole write path live on this machine; Ctrl-C ends all that it started."""
    from processor.demo.run import run_demo

    ctx.exit(run_demo(rate=rate, seconds=seconds, seed=seed))


def _selection(settings: "Settings", coordinates: tuple[str, ...], **options: Any) -> "Selection":
    """Return what was selected, or complain about what cannot be."""
    from processor.redrive import selection

    if since := options.get("since"):
        options["since"] = since.replace(tzinfo=UTC)
    try:
        return selection(settings, coordinates, **options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _judged(ctx: click.Context, file: BinaryIO, at: datetime | None) -> "Iterator[Judged]":
    from processor.explain import judge

    now_ms = time.time_ns() // 1_000_000 if at is None else _ms(at)
    return judge(file.read(), settings_of(ctx), now_ms)


def _ms(at: datetime) -> int:
    return int(at.replace(tzinfo=UTC).timestamp() * 1000)


def _insist_on_rest(settings: "Settings") -> None:
    """Refuse to go on while workers run."""
    from processor.ingest.group import members

    if count := run(members(settings)):
        raise StartRefused([f"{count} workers run: stop them before partitions are added"])
