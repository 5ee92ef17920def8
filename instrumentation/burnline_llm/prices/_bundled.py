"""genai-prices' bundled table, compiled model by model when a model is first asked for.

The package's objects are read, not its file of data: that file is generated Python which only its own
types understand. Importing it takes some tenths of a second, so it waits for the first use; nothing
here starts its updates, and a snapshot that an application set for itself is not looked at.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from burnline_llm.prices._providers import provider_name
from burnline_llm.prices._rates import DAY, Period, Schedule, rate

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

NAME = "genai-prices"
# Its names of the prices that tokens by OpenTelemetry's counts have.
_KEYS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "reasoning",
}
_PER_CALL = "requests_kcount"


class Found(NamedTuple):
    """A model in the table, and the provider that it was asked for."""

    provider: "Provider"
    model: "ModelInfo"


def table_version() -> str:
    """Name and version of the table."""
    return f"{NAME} {version(NAME)}"


def find(provider: str | None, model: str) -> Found | None:
    """The model, as genai-prices matches it; then without a `provider/` before its name.

    Args:
        provider: as instrumentation names it; None or a gateway's name for unknown.
        model: as the application or the provider names it.
    """
    name = provider_name(provider)
    found = _find(name, model.lower())
    if found is not None or "/" not in model:
        return found
    prefix, _, rest = model.lower().partition("/")
    if prefix == "models":  # as Google's own API has them
        return _find(name, rest)
    named = provider_name(prefix)
    if named is None or not rest:
        return None
    inside, outside = _provider(named), _provider(name)
    if inside is None or (outside is not None and inside is not outside):
        return None
    return None if name is not None and outside is None else _find(named, rest)


def canonical(provider: str | None) -> str | None:
    """One word for a provider that has many: genai-prices' own where it knows it.

    Examples:
        >>> canonical("gcp.vertex_ai"), canonical("gemini"), canonical("my-gpus")
        ('google', 'google', 'my-gpus')
    """
    name = provider_name(provider)
    known = _provider(name)
    return name if known is None else known.id


def schedule(found: Found, tier: str | None) -> Schedule:
    """All prices of a model, now and in the past.

    Args:
        found: the model.
        tier: the service tier of the call, such as `flex`, `priority` or `batch`.
    """
    context = _context(tier)
    # As the package has it: a fallback to another provider's models knows no tiers of its own.
    if not any(model is found.model for model in found.provider.models):
        context = {}
    days, times = _edges(found.model)
    moments = [
        datetime.combine(day, time(), UTC) + timedelta(seconds=second)
        for day in (min(days) - timedelta(days=1) if days else date(2020, 1, 1), *days)
        for second in times
    ]
    periods = tuple(_period(found.model.get_prices(moment, context)) for moment in moments)
    starts = tuple((day - date(1970, 1, 1)).days * DAY for day in days)
    rule = f"{table_version()}: {found.provider.id}/{found.model.id}"
    if all(period == periods[0] for period in periods):
        return Schedule((), (0.0,), periods[:1], rule)
    return Schedule(starts, times, periods, rule)


@cache
def _providers() -> "list[Provider]":
    from genai_prices.data import providers  # noqa: PLC0415  takes a while: see above

    return providers


def _provider(name: str | None) -> "Provider | None":
    if name is None:
        return None
    from genai_prices.data_snapshot import find_provider_by_id  # noqa: PLC0415

    return find_provider_by_id(_providers(), name)


def _find(name: str | None, model: str) -> Found | None:
    if name is not None:
        provider = _provider(name)
    else:
        matching = (p for p in _providers() if p.model_match and p.model_match.is_match(model))
        provider = next(matching, None)
    if provider is None:
        return None
    found = provider.find_model(model, all_providers=_providers())
    return None if found is None else Found(provider, found)


def _context(tier: str | None) -> dict[str, str]:
    """What genai-prices calls the context of a request.

    Examples:
        >>> _context("batch"), _context("flex")
        ({'service_tier': 'batch', 'processing': 'batch'}, {'service_tier': 'flex'})
    """
    if not tier:
        return {}
    word = tier.lower()
    return {"service_tier": word} | ({"processing": "batch"} if word == "batch" else {})


def _edges(model: "ModelInfo") -> tuple[list[date], tuple[float, ...]]:
    """Days and times of the day at which a price of the model may change."""
    days: set[date] = set()
    times = {0.0}
    for constraint in _constraints(model):
        if hasattr(constraint, "start_date"):
            days.add(constraint.start_date)
        elif constraint is not None:
            times.update(_of_day(edge) for edge in (constraint.start_time, constraint.end_time))
    return sorted(days), tuple(sorted(times))


def _constraints(model: "ModelInfo") -> Iterator[Any]:
    if isinstance(model.prices, list):
        yield from (conditional.constraint for conditional in model.prices)
    yield from (variant.constraint for variant in model.price_variants or ())


def _of_day(edge: time) -> float:
    """Seconds of a UTC day."""
    moment = datetime.combine(date(1970, 1, 2), edge)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return moment.timestamp() % DAY


def _period(prices: "ModelPrice") -> Period:
    stored = {key: price for key, price in vars(prices).items() if price is not None}
    above = sorted({tier.start for price in stored.values() for tier in _tiers(price)})
    rates = []
    for start in (-1, *above):  # a rate holds for counts above its start
        band = {kind: _at(stored[key], start) for key, kind in _KEYS.items() if key in stored}
        rates.append(rate(band, _at(stored.get(_PER_CALL, Decimal(0)), start) / 1000))
    tokens = not stored.keys().isdisjoint(_KEYS)
    other = any(key.endswith(("_hours", "_mchars", "_gpixels", "_kpages")) for key in stored)
    counted = any(key.endswith(("_messages_kcount", "rerank_searches_kcount")) for key in stored)
    charged = tokens and any(r.needs_input or r.needs_output or r.fixed for r in rates)
    return Period(tuple(above), tuple(rates), measurable=charged or not (other or counted))


def _tiers(price: Any) -> Any:  # noqa: ANN401  Decimal or tiered prices
    return getattr(price, "tiers", ())


def _at(price: Any, start: int) -> Decimal:  # noqa: ANN401
    """The price of counts just above `start`."""
    if isinstance(price, Decimal):
        return price
    applicable: Decimal = price.base
    for tier in price.tiers:
        if start >= tier.start:
            applicable = tier.price
    return applicable
