"""What it takes to price a call, beside genai-prices itself, in the same run."""

import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime

import genai_prices
import numpy as np
from burnline_llm.prices import PriceTable, Usage
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot

from engine.columns.costs import CostColumns

CALLS = 500
ROUNDS = 300
ROWS = 10_000
MODELS = (("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro"))
USAGE = Usage(10_000, 1_000, 6_000, 2_000)
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def each(work: Callable[[], object], calls: int) -> float:
    """Microseconds of one call: the best of rounds, short ones: others on the machine only add."""
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        taken.append((time.perf_counter() - start) / calls)
    return min(taken) * 1e6


def columns() -> float:
    """Microseconds of one row of a batch."""
    rng = np.random.default_rng(1)
    costs = CostColumns(PriceTable())
    codes = rng.integers(0, len(MODELS), ROWS)
    counted = rng.integers(1, 300_000, ROWS).astype(float)
    output = rng.integers(1, 3_000, ROWS).astype(float)
    tokens = {"input": counted, "output": output, "cache_read": np.floor(counted / 2)}
    ends = np.full(ROWS, 1_795_860_000 * 10**9, np.uint64)
    names = [name for name, _ in MODELS], [name for _, name in MODELS]
    return each(lambda: costs.of(*names, codes, codes, tokens, ends), 1) / ROWS


def main() -> None:
    """Print them."""
    start = time.perf_counter()
    PriceTable().cost("openai", "gpt-4o", USAGE)
    compiled = time.perf_counter() - start
    print(f"prices: Python {platform.python_version()}; the best of {ROUNDS} rounds")
    table, snapshot = PriceTable(), DataSnapshot(providers, from_auto_update=False)
    usage = genai_prices.Usage(
        input_tokens=USAGE.input,
        output_tokens=USAGE.output,
        cache_read_tokens=USAGE.cache_read,
        cache_write_tokens=USAGE.cache_write,
    )
    for provider, model in MODELS:
        ours = table.cost(provider, model, USAGE, NOW).usd
        theirs = snapshot.calc(usage, model, provider, None, NOW).total_price
        if ours != float(theirs):
            raise SystemExit(f"{provider} {model}: {ours} is not {theirs}")
        mine = each(lambda p=provider, m=model: table.cost(p, m, USAGE), CALLS)  # type: ignore[misc]
        peer = each(
            lambda p=provider, m=model: snapshot.calc(usage, m, p, None, NOW),  # type: ignore[misc]
            3,
        )
        print(
            f"{provider} {model}: {mine:.2f} us a call, genai-prices {peer:.0f} us, {peer / mine:.0f} x"
        )
    names = (f"gpt-4o-2024-08-{n}" for n in range(10**6))
    new = each(lambda: table.cost("openai", next(names), USAGE), 2)
    print(
        f"a name never seen before: {new:.0f} us; the first after loading: {compiled * 1e3:.1f} ms"
    )
    print(f"in batches of {ROWS:,} rows: {columns() * 1e3:.0f} ns a row")


if __name__ == "__main__":
    main()
