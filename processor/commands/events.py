"""``hub-audit validate`` and ``normalize``: would an event pass, and what would it become."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO

import click

from processor.commands.frame import (
    AS_INSTANT,
    EXIT_FAILED,
    Instant,
    as_json,
    counted,
    milliseconds,
    settings_of,
    show_json,
)

if TYPE_CHECKING:
    from processor.explain import Judged

as_of = click.option(
    "--at", type=Instant(), help=f"Judge as if recorded at this time, not now. {AS_INSTANT}"
)


@click.command("validate")
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
        click.echo(f"{counted(len(judged), 'event')}, {len(rejected)} rejected")
    ctx.exit(EXIT_FAILED if rejected or not judged else 0)


@click.command("normalize")
@click.argument("file", type=click.File("rb"))
@click.option("--explain", "explained", is_flag=True, help="Show the canonical event, for people.")
@as_of
@click.pass_context
def normalize(ctx: click.Context, file: BinaryIO, *, at: datetime | None, explained: bool) -> None:
    """Show what raw events in FILE become: one line of JSON each, or with --explain for people."""
    from processor import explain

    settings, failed = settings_of(ctx), False
    for judged in _judged(ctx, file, at):
        failed = failed or explain.described(judged)["end"] == "rejected"
        if explained:
            click.echo("\n".join(explain.page(judged, settings)))
        else:
            click.echo(explain.line(judged))
    ctx.exit(EXIT_FAILED if failed else 0)


def _judged(ctx: click.Context, file: BinaryIO, at: datetime | None) -> "Iterator[Judged]":
    from processor.explain import judge

    now_ms = time.time_ns() // 1_000_000 if at is None else milliseconds(at)
    return judge(file.read(), settings_of(ctx), now_ms)
