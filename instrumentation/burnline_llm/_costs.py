"""What a call costs, by the price table; unknown is never zero."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burnline_llm._calls import Call

_HAVE = find_spec("burnline_llm.prices") is not None


def price(call: "Call") -> None:
    """Price a call by its tokens. A failed call without tokens has no cost, and none is missing."""
    if call.input_tokens is None and call.output_tokens is None:
        if call.error is None:
            call.unpriced = "usage"
        return
    if not _HAVE:
        return
    from burnline_llm import prices  # noqa: PLC0415

    usage: Any = prices.Usage(
        call.input_tokens,
        call.output_tokens,
        call.cache_read_tokens,
        call.cache_write_tokens,
        call.reasoning_tokens,
        call.cache_write_1h_tokens,
    )
    priced = prices.table().cost(
        call.provider, call.response_model or call.model, usage, None, call.service_tier
    )
    call.cost, call.unpriced, call.price_table = priced.usd, priced.reason, priced.version
