"""What a call costs, by the price table; unknown is never zero."""

from typing import TYPE_CHECKING

from burnline_llm import prices

if TYPE_CHECKING:
    from burnline_llm._calls import Call


def price(call: "Call") -> None:
    """Price a call by its tokens.

    A failed call without tokens has no cost, and none is missing.
    """
    if call.input_tokens is None and call.output_tokens is None:
        if call.error is None:
            call.unpriced = "usage"
        return
    provider, asked = call.provider, call.model
    if call.attempts is not None:  # a fallback may have gone elsewhere
        provider = call.attempts.provider or provider
        asked = call.attempts.model or asked
    usage = prices.Usage(
        call.input_tokens,
        call.output_tokens,
        call.cache_read_tokens,
        call.cache_write_tokens,
        call.reasoning_tokens,
        call.cache_write_1h_tokens,
    )
    table = prices.table()
    priced = table.cost(provider, call.response_model or asked, usage, None, call.service_tier)
    if priced.reason == "model" and call.response_model is not None and asked is not None:
        # An answer may name a deployment or a snapshot that no table knows.
        priced = table.cost(provider, asked, usage, None, call.service_tier)
    call.cost, call.unpriced, call.price_table = priced.usd, priced.reason, priced.version
