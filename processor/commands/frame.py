"""What commands have in common: options, settings, how a question is run and an answer shown.

Answers go to standard output, what went wrong to standard error; exit codes are 0 for done, 1 for a
finding or an outage, 2 for a start that was refused or a command line that makes no sense.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from processor.errors import HubAuditError, StartRefused

if TYPE_CHECKING:
    from processor.settings import Settings

Answer = TypeVar("Answer")

EXIT_FAILED = 1
EXIT_REFUSED = 2

as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")
yes = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


class Commands(click.Group):
    """A group whose commands say in a line what went wrong, and show no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn what was raised on purpose into lines and an exit code."""
        try:
            return super().invoke(ctx)
        except StartRefused as refused:
            complain(refused.problems)
            ctx.exit(EXIT_REFUSED)
        except HubAuditError as error:
            complain([str(error)])
            ctx.exit(EXIT_FAILED)


def settings_of(ctx: click.Context) -> "Settings":
    """Return the settings in force; raises StartRefused."""
    from processor.settings import Settings

    return Settings.load(config=ctx.obj)


def run(question: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a coroutine to its end and return its result."""
    return asyncio.run(question)


def milliseconds(at: datetime) -> int:
    """Return an instant given on the command line, in UTC, as Kafka counts time."""
    return int(at.replace(tzinfo=UTC).timestamp() * 1000)


def ask(question: str, *, yes: bool) -> None:
    """Have somebody confirm, unless they said yes beforehand."""
    if not yes:
        click.confirm(question, abort=True)


def counted(count: int, one: str, more: str = "") -> str:
    """Return a number of things in words: one dead letter is no ``dead letters``."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def complain(problems: Iterable[str]) -> None:
    """Say what is wrong, a line each."""
    for problem in problems:
        click.echo(f"hub-audit: {problem}", err=True)


def show_json(answer: Any) -> None:
    """Show an answer for programs."""
    import json

    click.echo(json.dumps(answer, ensure_ascii=False, indent=2, default=str))
