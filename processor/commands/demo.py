"""``hub-audit demo``."""

import click


@click.command("demo")
@click.option("--rate", type=float, default=300.0, show_default=True, help="Events a second.")
@click.option("--seconds", type=float, help="End after so long; without it, at Ctrl-C.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the generated events.")
@click.pass_context
def command(ctx: click.Context, *, rate: float, seconds: float | None, seed: int) -> None:
    """Show the whole write path live on this machine; Ctrl-C ends all that it started."""
    from processor.demo.run import run_demo

    ctx.exit(run_demo(rate=rate, seconds=seconds, seed=seed))
