"""`burnline price`: what a call costs, and by which rule; for calls that have no price, why."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

_COUNT = click.IntRange(0)
_WHY = {
    "model": "no price is known for this provider and model; name them as the span does, or add own prices",
    "usage": "these tokens can't be priced: see that input and output are there, and that cached ones and "
    "cache writes are part of input, reasoning of output",
}


@click.command()
@click.option("--provider", help="As gen_ai.provider.name has it; without: by the model alone.")
@click.option("--model", required=True, help="As gen_ai.response.model has it.")
@click.option("--input", "input_", type=_COUNT, help="Input tokens, cached ones too.")
@click.option("--output", type=_COUNT, help="Output tokens, those of reasoning too.")
@click.option("--cached", type=_COUNT, help="Those of the input that were read from a cache.")
@click.option("--cache-write", type=_COUNT, help="Those of the input that were written to it.")
@click.option("--reasoning", type=_COUNT, help="Those of the output spent on reasoning.")
@click.option("--tier", help="Service tier: flex, priority, batch.")
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="When (UTC); without: now.",
)
@click.option(
    "--prices",
    type=click.Path(path_type=Path),
    envvar="BURNLINE_PRICES",
    help="Own prices of models, over the bundled ones.",
)
def price(
    provider: str | None,
    model: str,
    input_: int | None,
    output: int | None,
    cached: int | None,
    cache_write: int | None,
    reasoning: int | None,
    tier: str | None,
    at: datetime | None,
    prices: Path | None,
) -> None:
    """Print what a call costs and by which rule; exits with 1 where it has no price."""
    from engine.price_files import PricesError, Usage, load  # noqa: PLC0415  loaded by who asks

    try:
        table = load(prices)
    except PricesError as error:
        click.echo(f"burnline: the file of prices has problems:\n{error}", err=True)
        sys.exit(1)
    when = at.replace(tzinfo=UTC) if at else datetime.now(UTC)
    usage = Usage(input_, output, cached, cache_write, reasoning)
    priced = table.cost(provider, model, usage, when, tier)
    schedule = table.schedule(provider, model, tier)
    if schedule is not None:
        click.echo(f"found as {schedule.rule}")
        period = schedule.at(when)
        for rate in (period.rate(input_ or 0),) if period.rates else ():
            each = ", ".join(f"{kind} {usd:g}" for kind, usd in rate.per_million().items())
            click.echo(f"USD per million tokens: {each}")
            if rate.fixed:
                click.echo(f"USD a call: {rate.fixed / rate.scale:g}")
    if priced.usd is None:
        click.echo(f"burnline: unpriced ({priced.reason}): {_WHY[str(priced.reason)]}", err=True)
        sys.exit(1)
    click.echo(f"{priced.usd:.10f}".rstrip("0").rstrip(".") + f" USD, by {priced.version}")
