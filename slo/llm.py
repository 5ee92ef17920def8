"""Fields that the engine works out for every model call, whatever library wrote its span.

They are named like attributes of a span, so that selectors and `by` take them:
`{ span.burnline.call = true }`. `aliases.yaml` says what they are made of; `docs/llm.md` says how.
"""

from slo.columns import Field

# BOOL: true on the one span that stands for a model call, false on every other, also on its duplicates.
CALL = Field("span", "burnline.call")
# FLOAT: US dollars, as the span says or by the price table; absent where neither knows.
COST = Field("span", "burnline.cost.usd")
# STRING: on calls without a cost, why: `model` (no price) or `usage` (no tokens).
UNPRICED = Field("span", "burnline.cost.unpriced")
# FLOAT: seconds from an output token to the next, after the first.
TIME_PER_OUTPUT_TOKEN = Field("span", "burnline.time_per_output_token")
# STRING: why the model stopped: stop, length, tool_calls, content_filter, refusal, or as sent.
FINISH_REASON = Field("span", "burnline.finish_reason")
# STRING: on calls that failed, whose fault: provider, caller, limit, network or unknown.
FAULT = Field("span", "burnline.fault")

DERIVED = frozenset({CALL, COST, UNPRICED, TIME_PER_OUTPUT_TOKEN, FINISH_REASON, FAULT})

# As OpenTelemetry names them; other libraries' names and words are turned into these.
OPERATION = Field("span", "gen_ai.operation.name")
PROVIDER = Field("span", "gen_ai.provider.name")
REQUEST_MODEL = Field("span", "gen_ai.request.model")
RESPONSE_MODEL = Field("span", "gen_ai.response.model")
INPUT_TOKENS = Field("span", "gen_ai.usage.input_tokens")
OUTPUT_TOKENS = Field("span", "gen_ai.usage.output_tokens")
CACHE_READ_TOKENS = Field("span", "gen_ai.usage.cache_read.input_tokens")
CACHE_WRITE_TOKENS = Field("span", "gen_ai.usage.cache_write.input_tokens")
REASONING_TOKENS = Field("span", "gen_ai.usage.reasoning.output_tokens")
TIME_TO_FIRST_CHUNK = Field("span", "gen_ai.response.time_to_first_chunk")
ERROR_TYPE = Field("span", "error.type")
TENANT = Field("span", "tenant.id")
SERVICE = Field("resource", "service.name")

# US dollars of one call. The dearest a model can make costs some tens; more is a mistake of its sender, such
# as a sum in another unit, and would use up any budget at once.
MOST_DOLLARS = 10_000.0

# Operations that call a model. Agents, tools and workflows carry a model's name, too, and call none
# by themselves.
CALLS = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
