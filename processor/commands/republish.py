"""``hub-audit republish``."""

from typing import TYPE_CHECKING

import click

from processor.commands.frame import ask, counted, run, settings_of, yes

if TYPE_CHECKING:
    from processor.settings import Settings


@click.command("republish")
@click.option("--org", "org_id", help="Only this organization's entries.")
@click.option("--after", type=click.IntRange(0), default=0, help="Only entries above this number.")
@yes
@click.pass_context
def command(ctx: click.Context, *, org_id: str | None, after: int, yes: bool) -> None:
    """Publish stored entries again after a Kafka cluster was lost."""
    from processor.republish import organizations

    settings = settings_of(ctx)
    if after and org_id is None:
        raise click.UsageError("--after is a number within one organization: add --org")
    heads = run(organizations(settings))
    wanted = heads if org_id is None else {org_id: heads.get(org_id, 0)}
    count = sum(max(0, last - after) for last in wanted.values())
    of = f"of {counted(len(wanted), 'organization')}"
    ask(f"publish about {counted(count, 'entry', 'entries')} {of} again?", yes=yes)
    for name in wanted:
        run(_publish(settings, name, after))


async def _publish(settings: "Settings", org_id: str, after: int) -> None:
    from processor.republish import republish

    done, through = 0, after
    try:
        async for published in republish(settings, org_id, after=after):
            _, done, through = published
    finally:
        click.echo(f"{org_id}: {counted(done, 'entry', 'entries')}, through {through}")
