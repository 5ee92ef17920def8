"""What a call of a model costs.

Loads neither OpenTelemetry nor numpy; genai-prices is loaded when a price is first asked for.

Examples:
    >>> table().cost("openai", "gpt-4o", Usage(input=10_000, output=1_000, cache_read=8_000)).usd
    0.025
    >>> table().cost("openai", "no-such-model", Usage(1, 1)).reason
    'model'
"""

from burnline_llm.prices._current import load_own, table, use
from burnline_llm.prices._problems import PricesError
from burnline_llm.prices._rates import Period, Rate, Schedule
from burnline_llm.prices._table import Priced, PriceTable, Reason
from burnline_llm.prices._usage import MOST_TOKENS, Usage

__all__ = [
    "MOST_TOKENS",
    "Period",
    "PriceTable",
    "Priced",
    "PricesError",
    "Rate",
    "Reason",
    "Schedule",
    "Usage",
    "load_own",
    "table",
    "use",
]
