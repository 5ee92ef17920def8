"""Own prices from a file in the format of LiteLLM's `model_prices_and_context_window.json`."""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from burnline_llm.prices._bundled import canonical
from burnline_llm.prices._entries import Entry
from burnline_llm.prices._problems import PricesError
from burnline_llm.prices._rates import Period, rate

_MILLION = 10**6
# Its names of the prices of single tokens; the last two have other suffixes than the rest.
_KINDS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
}
_TIERS = {"": None, "_flex": "flex", "_priority": "priority", "_batches": "batch"}
_ABOVE = re.compile(r"_above_([0-9]{1,6})k_tokens")
_EXAMPLE = "sample_spec"


def read_litellm(text: str, path: str) -> list[Entry]:
    """Entries of a file; models that are not charged by tokens are left out.

    Args:
        text: its content.
        path: its name, for messages.

    Raises:
        PricesError: it is no JSON, holds no such prices, or wrong ones.
    """
    try:
        models = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        where = (
            f"{error.lineno}:{error.colno}" if isinstance(error, json.JSONDecodeError) else "1:1"
        )
        raise PricesError([f"{path}:{where}: no JSON: {error}; mend it there"]) from error
    if not isinstance(models, dict):
        raise PricesError([f"{path}:1:1: is no object of models; write such as LiteLLM's own file"])
    entries: list[Entry] = []
    problems: list[str] = []
    for name, model in models.items():
        if name == _EXAMPLE or not isinstance(model, dict) or "input_cost_per_token" not in model:
            continue
        wrong = [key for key, value in model.items() if "_token" in key and not _sound(key, value)]
        if wrong:
            problems.append(
                f"{path}: {name}: {wrong[0]}: {model[wrong[0]]!r} is no price; write dollars a token"
            )
            continue
        entries += _entries(name, model, path)
    if problems:
        raise PricesError(problems)
    if not entries:
        raise PricesError([f"{path}:1:1: has no model with `input_cost_per_token`; add one"])
    return entries


def _sound(key: str, value: object) -> bool:
    if "cost" not in key or value is None:
        return True
    number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    return number and Decimal(str(value)).is_finite() and Decimal(str(value)) >= 0


def _entries(name: str, model: Mapping[str, Any], path: str) -> Iterator[Entry]:
    provider = model.get("litellm_provider")
    provider = canonical(provider) if isinstance(provider, str) else None
    aliases = [(provider, name.lower())]
    if "/" in name:  # `provider/model` says whose it is, also where a gateway does not
        aliases = [(None, name.lower()), (provider, name.lower().partition("/")[2])]
    # Special tiers first: the entry for all tiers would hide them.
    for suffix, tier in sorted(_TIERS.items(), reverse=True):
        period = _period(model, suffix)
        if period is None:
            continue
        for whose, alias in aliases:
            yield Entry(f"{path}: {name}", whose, alias, tier, None, None, period)


def _period(model: Mapping[str, Any], suffix: str) -> Period | None:
    """Rates of a service tier; None where it has none of its own."""
    standard = _prices(model, "")
    special = _prices(model, suffix)
    if suffix and not special:
        return None
    base = standard | special
    starts = sorted({int(hit[1]) for key in model if (hit := _ABOVE.search(key))})
    rates = [rate(base)]
    kept = []
    for start in starts:
        mark = f"_above_{start}k_tokens"
        # A tier without long prompts of its own keeps its price, whatever the standard one does.
        change = _prices(model, mark + suffix)
        if change:
            kept.append(start * 1000)
            base |= change
            rates.append(rate(base))
    return Period(tuple(kept), tuple(rates))


def _prices(model: Mapping[str, Any], suffix: str) -> dict[str, Decimal]:
    found = {kind: model.get(key + suffix) for key, kind in _KINDS.items()}
    return {k: Decimal(str(v)) * _MILLION for k, v in found.items() if v is not None}
