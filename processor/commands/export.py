"""``hub-audit export`` and ``hub-audit search``: an organization's log, for operators."""

import getpass
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from processor.commands.frame import (
    EXIT_REFUSED,
    as_json,
    complain,
    counted,
    run,
    settings_of,
    show_json,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from processor.export import Asked, Form

FOUND_MAX = 1_000
MEGABYTE = 1_000_000
BAR_CHARACTERS = 30
UNWANTED = re.compile(r'-("|[a-z_]+:)', re.IGNORECASE)
"""How a condition with a minus begins that is no bare word: one of those goes behind a ``--``."""

organization = click.option(
    "--org", "org_id", required=True, help="The organization whose log it is."
)
asked = click.argument("words", nargs=-1, metavar="[QUERY]...")


class Asking(click.Command):
    """A command whose query may say what is not wanted: ``-outcome:success`` is no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read what is not wanted behind all that may be an option."""
        end = args.index("--") if "--" in args else len(args)
        unwanted = [word for word in args[:end] if UNWANTED.match(word)]
        if unwanted:
            others = [word for word in args[:end] if word not in unwanted]
            args = [*others, "--", *unwanted, *args[end + 1 :]]
        return super().parse_args(ctx, args)


@click.command("export", cls=Asking)
@asked
@organization
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    required=True,
    help="The file to write, compressed if its name ends in .gz. Its manifest goes beside it.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "csv-all", "ndjson"]),
    default="csv",
    show_default=True,
    help="Six columns, all columns, or whole entries.",
)
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    *,
    org_id: str,
    output: Path,
    form: "Form",
    as_json: bool,
) -> None:
    """Export the entries that match QUERY (as in the search box), newest first, without a limit.

    Such as outcome:failure actor:ada@example.com created:7d; without QUERY, all entries.

    To leave out a bare word, put it behind a --, as in: -- -old. Without that, -old means -o ld.
    """
    from processor.export import write

    settings = settings_of(ctx)
    written = _understood(
        ctx, write(settings, _asked(org_id, words), form, output, _shown if _watched() else _unseen)
    )
    if _watched():
        click.echo(err=True)
    if as_json:
        show_json(written._asdict())
        return
    rows = counted(written.rows, "entry", "entries")
    click.echo(f"{rows} in {output}, sha256 {written.file_sha256}")
    if written.file_sha256 != written.sha256:
        click.echo(f"unpacked: sha256 {written.sha256}")


@click.command("search", cls=Asking)
@asked
@organization
@click.option(
    "--limit",
    type=click.IntRange(1, FOUND_MAX),
    default=50,
    show_default=True,
    help="At most this many, the newest.",
)
@as_json
@click.pass_context
def search(
    ctx: click.Context, /, words: tuple[str, ...], *, org_id: str, limit: int, as_json: bool
) -> None:
    """Show the entries that match QUERY (as in the search box), newest first.

    Such as outcome:failure actor:ada@example.com created:7d; without QUERY, all entries.

    To leave out a bare word, put it behind a --, as in: -- -old.
    """
    from processor.export import find, line
    from schemas.entry import render

    settings = settings_of(ctx)
    found = _understood(ctx, find(settings, _asked(org_id, words), limit))
    for entry in found.entries:
        click.echo(render(entry) if as_json else line(entry))
    if found.searched_back_to is not None:
        reached = f"{found.searched_back_to:%Y-%m-%dT%H:%M:%SZ}"
        complain([f"searched back to {reached} only: narrow the query to get further"])
    elif found.older is not None:
        complain(["more results exist: raise --limit or narrow the query"])


def _understood(ctx: click.Context, question: "Coroutine[Any, Any, Any]") -> Any:
    """Return the answer; show where a query cannot be understood."""
    from processor.query import QueryError

    try:
        return run(question)
    except QueryError as error:
        complain([error.reason])
        click.echo(error.caret(), err=True)
        ctx.exit(EXIT_REFUSED)


def _asked(org_id: str, words: tuple[str, ...]) -> "Asked":
    from processor.export import Asked, Operator

    return Asked(Operator(getpass.getuser()), org_id, " ".join(words))


def _watched() -> bool:
    """Tell whether somebody sees the progress."""
    return sys.stderr.isatty()


def _shown(rows: int, size: int, way: float) -> None:
    """Draw how far an export is over the line before."""
    done = min(BAR_CHARACTERS, round(way * BAR_CHARACTERS))
    bar = f"[{'#' * done}{'.' * (BAR_CHARACTERS - done)}]"
    click.echo(f"\r{bar} {rows:,} entries, {size / MEGABYTE:,.1f} MB ", nl=False, err=True)


def _unseen(_rows: int, _size: int, _way: float) -> None:
    """Leave a log or a pipe alone."""
