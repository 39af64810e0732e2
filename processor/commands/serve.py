"""``hub-audit serve``."""

import click

from processor.commands.frame import settings_of
from processor.errors import StartRefused


@click.command("serve")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Serve the audit log page and the API until SIGTERM or Ctrl-C."""
    from functools import partial

    from processor import lifecycle, logs
    from processor.api import serve

    settings = settings_of(ctx)
    wanted = ("issuer", "jwks_url")
    missing = [name for name in wanted if not getattr(settings.access, name)]
    if missing:
        raise StartRefused(
            [f"access.{name} is not set: HUB_AUDIT_ACCESS_{name.upper()}" for name in missing]
        )
    logs.configure(settings.log.level, settings.log.format)
    ctx.exit(lifecycle.run(partial(serve.run, settings)))
