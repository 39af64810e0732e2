"""``hub-audit maintain``: partitions ahead, sealing, retention; in a loop, once, or on paper."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from processor.commands.frame import EXIT_FAILED, as_json, counted, run, settings_of, show_json

if TYPE_CHECKING:
    from processor.maintain import Plan, Round


@click.command("maintain")
@click.option("--once", is_flag=True, help="Do one round, say what was done, and exit.")
@click.option("--dry-run", is_flag=True, help="Only say what the next round would do.")
@click.option(
    "--shorten",
    is_flag=True,
    help="Drop days that a lowered HUB_AUDIT_RETENTION_DAYS no longer keeps.",
)
@as_json
@click.pass_context
def command(ctx: click.Context, *, once: bool, dry_run: bool, shorten: bool, as_json: bool) -> None:
    """Create days ahead, seal finished days, drop old ones; start as many as you like."""
    from processor import lifecycle, logs, maintain

    settings = settings_of(ctx)
    if shorten and not (once or dry_run):
        raise click.UsageError("--shorten is an order for one round: add --once or --dry-run")
    if dry_run:
        planned = run(maintain.plan(settings, shorten=shorten))
        _show(asdict(planned), _planned(planned), as_json=as_json)
    elif once:
        done = run(maintain.once(settings, shorten=shorten))
        told = asdict(done) | {"sealed": [sealed._asdict() for sealed in done.sealed]}
        _show(told, _done(done), as_json=as_json)
        left = done.held_up or done.waiting or done.unsealed or done.unannounced
        ctx.exit(EXIT_FAILED if left or (shorten and done.standing_by) else 0)
    else:
        logs.configure(settings.log.level, settings.log.format)
        ctx.exit(lifecycle.run(partial(maintain.run, settings)))


def _show(answer: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Show an answer for programs, or for people: who are told when there is nothing to tell."""
    if as_json:
        show_json(answer)
        return
    for line in list(lines) or ["nothing to do"]:
        click.echo(line)


def _planned(planned: "Plan") -> Iterator[str]:
    """Yield what the next round would do."""
    yield from planned.held_up
    if planned.create:
        yield f"would create {counted(len(planned.create), 'day')}, {planned.create[0]} the first"
    for table, back in planned.put_back.items():
        yield from (f"would put {day} of {table} back, whose purge had begun" for day in back)
    for table, days in planned.purge.items():
        for day, rows in days.items():
            yield f"would drop {day} of {table}, about {counted(rows, 'row')}"
    yield from (f"would seal {day}" for day in planned.seal)
    if until := planned.sealing_rests_until:
        yield f"would seal nothing before {until:%F %R} UTC: the disk was full"


def _done(done: "Round") -> Iterator[str]:
    """Yield what a round did."""
    if done.standing_by:
        yield "another maintainer is at work"
    if done.created:
        yield f"created {counted(len(done.created), 'day')}, {done.created[0]} the first"
    yield from (f"removed {table}, left by a sealing that was cut off" for table in done.swept)
    for table, back in done.put_back.items():
        yield from (f"put {day} of {table} back, whose purge had begun" for day in back)
    for table, dropped in done.purged.items():
        yield from (f"dropped {day} of {table}" for day in dropped)
    if done.announced:
        yield f"announced {counted(done.announced, 'purge')} to their organizations"
    for sealed in done.sealed:
        entries = counted(sealed.entries, "entry", "entries")
        yield f"sealed {sealed.day}, {entries} in {sealed.seconds:.1f} s"
    yield from _left(done)


def _left(done: "Round") -> Iterator[str]:
    """Yield what a round had to leave to the next one."""
    yield from done.held_up
    for table, kept in done.waiting.items():
        yield from (f"{day} of {table} is still being read: it goes next time" for day in kept)
    if done.unannounced:
        yield "the bus is away: purges are announced next time"
    yield from (f"{day} is sealed later: {why}" for day, why in done.unsealed.items())
