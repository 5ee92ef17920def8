"""Strategies and the oracle of prices: genai-prices itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import genai_prices
from burnline_llm.prices import Usage
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseStartsWith,
)
from hypothesis import strategies as st

SNAPSHOT = DataSnapshot(providers, from_auto_update=False)
KEYS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_reasoning_tokens",
    "cache_write_1h_tokens",
)
TIERS = (None, "default", "flex", "priority", "fast", "batch")


def _name(clause: Any) -> str | None:
    """A name that a clause matches."""
    match clause:
        case ClauseEquals(equals=text) | ClauseStartsWith(starts_with=text):
            return text
        case ClauseEndsWith(ends_with=text) | ClauseContains(contains=text):
            return text
        case ClauseOr(or_=parts):
            return next((name for part in parts if (name := _name(part))), None)
        case ClauseAnd(and_=parts):
            return "-".join(name for part in parts if (name := _name(part)))
    return None


def _leads_to(provider: str, name: str) -> Any:
    try:
        return SNAPSHOT.find_provider_model(name, None, provider, None)[1]
    except LookupError:
        return None


def _references() -> list[tuple[str, str]]:
    found = []
    for provider in providers:
        for model in provider.models:
            for name in (model.id, _name(model.match)):
                if name and _leads_to(provider.id, name) is model:
                    found.append((provider.id, name))
                    break
    return found


# Every model that some name leads to, by provider and such a name.
REFERENCES = _references()


def theirs(
    provider: str | None, model: str, usage: Usage, when: datetime, tier: str | None
) -> float | None:
    """What genai-prices says; None where it refuses."""
    context = {"service_tier": tier} if tier else {}
    if tier == "batch":
        context["processing"] = "batch"
    told = {key: count for key, count in zip(KEYS, usage, strict=True) if count is not None}
    try:
        calculated = SNAPSHOT.calc(
            genai_prices.Usage(**told), model, provider, None, when, context or None
        )
    except (LookupError, ValueError):
        return None
    return float(calculated.total_price)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Sound counts, near the bounds of tiers too."""
    lengths = st.sampled_from(
        [start + n for start in (0, 32_000, 128_000, 200_000, 272_000) for n in (0, 1)]
    )
    counted = draw(st.integers(0, 2_000_000) | lengths)
    output = draw(st.integers(0, 200_000))
    read = draw(st.none() | st.integers(0, counted))
    write = draw(st.none() | st.integers(0, counted - (read or 0)))
    hour = None if write is None else draw(st.none() | st.integers(0, write))
    reasoning = draw(st.none() | st.integers(0, output))
    return Usage(counted, output, read, write, reasoning, hour)


def moments() -> st.SearchStrategy[datetime]:
    """Times at which prices changed, and others."""
    first = datetime(2023, 1, 1, tzinfo=UTC)
    return st.builds(
        lambda days, seconds: first + timedelta(days=days, seconds=seconds),
        st.integers(0, 1_500),
        st.sampled_from([0, 1_799, 1_800, 3_600, 14_399, 14_400, 21_600, 36_000, 59_399, 59_400])
        | st.integers(0, 86_399),
    )
