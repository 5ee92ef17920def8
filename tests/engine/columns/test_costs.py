"""Costs of a batch: equal to the scalar table on every row, whatever the rows hold."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from burnline_llm.prices import PriceTable, Usage, load_own
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.columns import costs
from engine.columns.costs import PRICED, REASONS, CostColumns
from tests.strategies.prices import moments, usages

TABLE = PriceTable()
COLUMNS = CostColumns(TABLE)
costs.warm_up()
KINDS = ("input", "output", "cache_read", "cache_write", "reasoning", "cache_write_1h")
PROVIDERS = ["openai", "anthropic", "gcp.gemini", "deepseek", "openrouter", "nobody"]
MODELS = [
    "gpt-4o",
    "o3",
    "claude-sonnet-4-5",
    "gemini-2.5-pro",
    "deepseek-chat",
    "deepseek/deepseek-r1:free",
    "whisper-1",
    "text-embedding-3-small",
    "gpt-5.5",
    "no-such-model",
]
TIERS = ["flex", "batch", "priority"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COUNTS = (
    st.none()
    | st.integers(-2, 300_000)
    | st.sampled_from([0.5, float("nan"), float("inf"), -float("inf"), 1e12, 1e12 + 1, 1e300])
)
ROWS = st.lists(
    st.tuples(
        st.integers(-1, len(PROVIDERS) - 1),
        st.integers(-1, len(MODELS) - 1),
        st.integers(-1, len(TIERS) - 1),
        usages() | st.builds(Usage, *[COUNTS] * 6),
        moments(),
    ),
    max_size=30,
)
Row = tuple[int, int, int, Usage, datetime]


def check(columns: CostColumns, rows: list[Row], *, tiers: bool = True) -> None:
    codes = [np.array([row[n] for row in rows], np.int64) for n in range(3)]
    tokens = {
        kind: np.array([np.nan if (c := row[3][n]) is None else c for row in rows], np.float64)
        for n, kind in enumerate(KINDS)
    }
    ends = np.array([(row[4] - EPOCH) // timedelta(seconds=1) * 10**9 for row in rows], np.uint64)
    named = {"tiers": TIERS, "tier_codes": codes[2]} if tiers else {}
    dollars, reasons = columns.of(PROVIDERS, MODELS, codes[0], codes[1], tokens, ends, **named)  # type: ignore[arg-type]
    assert len(dollars) == len(reasons) == len(rows)
    for row, usd, reason in zip(rows, dollars.tolist(), reasons.tolist(), strict=True):
        provider, model, tier, usage, when = row
        # NaN is how a column says that there is none.
        told = Usage(*(None if count is not None and np.isnan(count) else count for count in usage))
        scalar = columns.table.cost(
            None if provider < 0 else PROVIDERS[provider],
            None if model < 0 else MODELS[model],
            told,
            when,
            TIERS[tier] if tiers and tier >= 0 else None,
        )
        assert REASONS[reason] == (scalar.reason or "")
        if reason == PRICED and max(count or 0 for count in told) < 10**9:
            assert usd == scalar.usd
        elif reason == PRICED:  # beyond it a double rounds the products
            assert usd == pytest.approx(scalar.usd, rel=1e-14)
        else:
            assert np.isnan(usd)


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_equal_to_the_scalar_table(rows: list[Row]) -> None:
    check(COLUMNS, rows)


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_without_tiers_and_without_dense_codes(rows: list[Row]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "_MOST_DENSE", 0)
        check(COLUMNS, rows, tiers=False)


OWN = """\
prices:
  - {model: gpt-4o, service_tier: batch, input: 1, output: 1}
  - {model: gpt-4o, input: 7, output: 11, from: 2024-03-01, until: 2026-02-01}
  - {provider: google, multiplier: 0.75, from: 2024-06-01}
  - {provider: nobody, model: "no-such-*", input: 1, output: 2, from: 2025-01-01,
     tiers: [{above: 32000, input: 3}]}
"""


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_own_prices(rows: list[Row]) -> None:
    check(OWN_COLUMNS, rows)


def _own() -> CostColumns:
    from tempfile import TemporaryDirectory  # noqa: PLC0415

    with TemporaryDirectory() as directory:
        path = Path(directory) / "prices.yaml"
        path.write_text(OWN)
        return CostColumns(load_own(path))


OWN_COLUMNS = _own()


def test_columns_that_nobody_sent() -> None:
    tokens = {"input": np.array([10_000.0]), "output": np.array([1_000.0])}
    zero, end = np.zeros(1, np.int64), np.array([1_795_860_000 * 10**9], np.uint64)
    dollars, reasons = COLUMNS.of(["openai"], ["gpt-4o"], zero, zero, tokens, end)
    assert (dollars.tolist(), reasons.tolist()) == ([0.035], [PRICED])
    dollars, reasons = COLUMNS.of([], [], zero - 1, zero - 1, tokens, end)
    assert [REASONS[reason] for reason in reasons.tolist()] == ["model"]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "_MOST_RATES", 8)
    columns = CostColumns(TABLE)
    tokens = {"input": np.array([10_000.0] * 2), "output": np.array([1_000.0] * 2)}
    ends = np.array([1_795_860_000 * 10**9] * 2, np.uint64)
    for n in range(40):
        names = ["gpt-4o", f"gpt-4o-2024-05-13-{n}"]
        codes = np.array([0, 1], np.int64)
        dollars, _ = columns.of(["openai"], names, codes * 0, codes, tokens, ends)
        assert dollars[0] == 0.035
        assert len(columns._known) <= 8 + 2
        assert len(columns._rates) <= 8 + 40
