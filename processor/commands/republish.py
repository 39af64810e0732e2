"""``hub-audit republish``."""

from typing import TYPE_CHECKING

import click

from processor.commands.frame import ask, run, settings_of, yes

if TYPE_CHECKING:
    from processor.settings import Settings


@click.command("republish")
@click.option("--org", "org_id", help="Only this organization's; all organizations' without it.")
@click.option("--after", type=click.IntRange(0), default=0, help="Only behind this number.")
@yes
@click.pass_context
def command(ctx: click.Context, *, org_id: str | None, after: int, yes: bool) -> None:
    """Put stored entries on the canonical topics again: those lost them, with a Kafka cluster."""
    from processor.republish import organizations

    settings = settings_of(ctx)
    if after and org_id is None:
        raise click.UsageError("--after is a number of one organization: name it by --org")
    heads = run(organizations(settings))
    wanted = heads if org_id is None else {org_id: heads.get(org_id, 0)}
    count = sum(max(0, last - after) for last in wanted.values())
    ask(f"publish about {count} entries of {len(wanted)} organizations again?", yes=yes)
    for name in wanted:
        run(_publish(settings, name, after))


async def _publish(settings: "Settings", org_id: str, after: int) -> None:
    from processor.republish import republish

    done, through = 0, after
    try:
        async for published in republish(settings, org_id, after=after):
            _, done, through = published
    finally:
        click.echo(f"{org_id}: {done} entries, through {through}")
