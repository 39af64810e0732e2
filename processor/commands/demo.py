"""``hub-audit demo``."""

import click


@click.command("demo")
@click.option("--rate", type=float, default=300.0, show_default=True, help="Events per second.")
@click.option("--seconds", type=float, help="Stop after this many seconds.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Seed of the generated events."
)
@click.pass_context
def command(ctx: click.Context, *, rate: float, seconds: float | None, seed: int) -> None:
    """Show the whole write path live on this machine; Ctrl-C ends all that it started."""
    from processor.demo.run import run_demo

    ctx.exit(run_demo(rate=rate, seconds=seconds, seed=seed))
