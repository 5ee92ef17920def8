"""What has no price, what can't be true, and what comes from outside."""

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from burnline_llm.prices import MOST_TOKENS, PriceTable, Usage
from burnline_llm.prices import _table as implementation
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies.prices import usages

TABLE = PriceTable()
NOW = datetime(2026, 11, 28, tzinfo=UTC)
ANYTHING: Any = (
    st.none()
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.text()
    | st.just([])
    | st.integers(0, 9)
)


def test_it_loads_nothing_heavy_and_no_network() -> None:
    program = (
        "import sys, burnline_llm.prices as p\n"
        "light = set(sys.modules)\n"
        "p.table().cost('openai', 'gpt-4o', p.Usage(1, 1))\n"
        "import threading; assert threading.active_count() == 1\n"
        "print([m for m in ('opentelemetry', 'numpy', 'genai_prices', 'pydantic') if m in light],"
        " [m for m in ('opentelemetry', 'numpy') if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert told.stdout == "[] []\n"


@settings(deadline=None)
@given(st.tuples(*[ANYTHING] * 6))
def test_any_usage_has_an_answer(counts: tuple[Any, ...]) -> None:
    for model in ("gpt-4o", "gemini-2.5-pro"):
        priced = TABLE.cost(None, model, Usage(*counts))
        assert (priced.usd is None) == (priced.reason is not None)
        assert priced.usd is None or 0 <= priced.usd < 1e9


@settings(deadline=None)
@given(usages(), st.sampled_from(["gpt-4o", "claude-sonnet-4-5", "o3"]))
def test_the_short_way_and_the_long_way_agree(usage: Usage, model: str) -> None:
    assert TABLE.cost(None, model, usage) == TABLE._unusual(None, model, usage, None, None)
    floats: Any = Usage(*(None if count is None else float(count) for count in usage))
    assert TABLE.cost(None, model, floats) == TABLE.cost(None, model, usage)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(),
        Usage(10, None),
        Usage(None, 10),
        Usage(-1, 1),
        Usage(1, -1),
        Usage(10, 1, -1),
        Usage(10, 1, 11),
        Usage(10, 1, 6, 6),
        Usage(10, 1, 0, 2, 0, 3),
        Usage(10, 1, cache_write_1h=1),
        Usage(10, 1, reasoning=2),
        Usage(10, 1.5),  # type: ignore[arg-type]
        Usage(float("nan"), 1),  # type: ignore[arg-type]
        Usage(float("inf"), 1),  # type: ignore[arg-type]
        Usage("10", 1),  # type: ignore[arg-type]
        Usage(MOST_TOKENS + 1, 1),
        Usage(1, 10**400),
    ],
)
def test_usage_that_cannot_be_is_unpriced(usage: Usage) -> None:
    for model in ("gpt-4o", "gemini-2.5-pro", "claude-sonnet-4-5"):
        priced = TABLE.cost(None, model, usage, NOW)
        assert (priced.usd, priced.reason) == (None, "usage")


def test_raw_counts_of_anthropic_are_told_apart_where_they_are_read() -> None:
    raw = {"input_tokens": 2_000, "cache_read": 6_000, "cache_write": 2_000, "output": 1_000}
    usage = Usage.excluding_cached(
        raw["input_tokens"],
        raw["output"],
        cache_read=raw["cache_read"],
        cache_write=raw["cache_write"],
    )
    assert TABLE.cost("anthropic", "claude-sonnet-4-5", usage, NOW).usd == 0.0303
    assert Usage.excluding_cached(None, 5, cache_read=1).input is None


def test_free_is_a_price() -> None:
    free = TABLE.cost("openrouter", "deepseek/deepseek-r1:free", Usage())
    assert (free.usd, free.reason) == (0.0, None)


def test_embeddings_have_no_output() -> None:
    assert TABLE.cost("openai", "text-embedding-3-small", Usage(1_000_000)).usd == 0.02


def test_audio_by_the_hour_is_not_free() -> None:
    assert TABLE.cost("openai", "whisper-1", Usage(100, 100)).reason == "usage"


@pytest.mark.parametrize(
    ("provider", "model", "rule"),
    [
        ("az.ai.openai", "gpt-4o", "azure/gpt-4o"),
        ("azure.ai.openai", "gpt-4o", "azure/gpt-4o"),
        ("vertex_ai", "gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("gcp.vertex_ai", "gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("gcp.gen_ai", "gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("gemini", "models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("x_ai", "grok-4", "x-ai/grok-4"),
        ("xai", "grok-4", "x-ai/grok-4"),
        ("aws.bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0", "aws/"),
        ("mistral_ai", "mistral-large-latest", "mistral/mistral-large"),
        ("mistralai", "mistral-large-latest", "mistral/mistral-large"),
        ("moonshot_ai", "kimi-k2-0905-preview", "moonshotai/kimi-k2"),
        ("OpenAI", "GPT-4o", "openai/gpt-4o"),
        ("openai", "openai/gpt-4o", "openai/gpt-4o"),
        ("litellm", "anthropic/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        (None, "azure/gpt-4o", "azure/gpt-4o"),
        ("", "gpt-4o", "openai/gpt-4o"),
        ("anthropic", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
    ],
)
def test_names_of_providers(provider: str | None, model: str, rule: str) -> None:
    schedule = TABLE.schedule(provider, model)
    assert schedule is not None
    assert schedule.rule.startswith(f"{TABLE.version}: {rule}")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("ollama", "deepseek-r1"),  # known, but served by one who does not charge so
        ("anthropic", "gpt-4o"),
        ("anthropic", "openai/gpt-4o"),
        ("ollama", "openai/gpt-4o"),
        (None, "/gpt-4o"),
        (None, "openai/"),
        (None, "no-such-model"),
        ("openai", None),
        ("openai", ""),
        ("openai", "g" * 300),
        ("p" * 300, "gpt-4o"),
        (b"openai", "gpt-4o"),
        ([], "gpt-4o"),
        ("openai", 4),
    ],
)
def test_models_without_a_price(provider: Any, model: Any) -> None:
    assert TABLE.cost(provider, model, Usage(1, 1)) == (None, "model", TABLE.version)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementation, "MOST_REMEMBERED", 10)
    table = PriceTable()
    for n in range(35):
        table.cost("meta", f"gpt-{n}", Usage(1, 1))
        assert table.cost("openai", "gpt-4o", Usage(10_000, 1_000)).usd == 0.035
        assert len(table._known) <= 10
        assert len(table._quick) <= 10


def test_a_snapshot_that_the_application_set_is_not_looked_at() -> None:
    set_custom_snapshot(DataSnapshot([], from_auto_update=True))
    try:
        assert PriceTable().cost("openai", "gpt-4o", Usage(10_000, 1_000)).usd == 0.035
    finally:
        set_custom_snapshot(None)
