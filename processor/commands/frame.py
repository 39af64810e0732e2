"""What commands have in common: options, settings, how a question is run and an answer shown.

Answers go to standard output, what went wrong to standard error; exit codes are 0 for done, 1 for a
finding or an outage, 2 for a start that was refused or a command line that makes no sense.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from processor.errors import BusOutage, DatabaseOutage, HubAuditError, Outage, StartRefused

if TYPE_CHECKING:
    from processor.settings import Settings

Answer = TypeVar("Answer")

AS_INSTANT = "ISO 8601, in UTC where no zone is given."
"""How an instant is written, for the help of an option that takes one."""

EXIT_FAILED = 1
EXIT_REFUSED = 2

as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")
yes = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


class Instant(click.ParamType):
    """An instant in ISO 8601, as every output of ours has them; without a zone it is in UTC."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the instant in UTC, or say how one is written."""
        try:
            at = datetime.fromisoformat(value.strip())
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no time in ISO 8601: write 2026-11-30, 2026-11-30T20:00:00Z or "
                "2026-11-30T21:00:00+01:00; without a zone it is UTC",
                param,
                ctx,
            )


class Commands(click.Group):
    """A group whose commands say in a line what went wrong, and show no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn what was raised on purpose into lines and an exit code."""
        try:
            return super().invoke(ctx)
        except StartRefused as refused:
            complain(refused.problems)
            ctx.exit(EXIT_REFUSED)
        except (DatabaseOutage, BusOutage) as outage:
            complain([_away(outage, settings_of(ctx))])
            ctx.exit(EXIT_FAILED)
        except HubAuditError as error:
            complain([str(error)])
            ctx.exit(EXIT_FAILED)


def _away(outage: Outage, settings: "Settings") -> str:
    """Return in one sentence what is away, where it should be, and what to do about it."""
    from processor.settings.address import address_of

    if outage.__cause__ is None:
        return str(outage)  # found by us while it answers, with a remedy of its own
    if isinstance(outage, DatabaseOutage):
        dsn = settings.postgres.dsn.get_secret_value()
        place, variable = f"Postgres at {address_of(dsn)}", "HUB_AUDIT_POSTGRES_DSN"
    else:
        place = f"Kafka at {settings.kafka.bootstrap_servers}"
        variable = "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS"
    said = str(outage) if str(outage).startswith(place) else f"{place} is away: {outage}"
    return f"{said}; see whether it runs, check {variable}, and ask hub-audit doctor"


def settings_of(ctx: click.Context) -> "Settings":
    """Return the settings in force; raises StartRefused."""
    from processor.settings import Settings

    return Settings.load(config=ctx.obj)


def run(question: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a coroutine to its end and return its result."""
    return asyncio.run(question)


def milliseconds(at: datetime) -> int:
    """Return an instant as Kafka counts time."""
    return int(at.timestamp() * 1000)


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
