"""Fields of model calls, whatever library sent them: names, words, units, and what is worked out."""

from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.columns.spans import Reader
from slo import llm
from slo.columns import Field, Kind

SECOND = 10**9


def request(*spans: dict[str, Any], status: int = 0) -> ExportTraceServiceRequest:
    """One span of four seconds for each; lists become arrays."""
    made = ExportTraceServiceRequest()
    scope_spans = made.resource_spans.add().scope_spans.add()
    for attributes in spans:
        span = scope_spans.spans.add(start_time_unix_nano=SECOND, end_time_unix_nano=5 * SECOND)
        span.status.code = status  # type: ignore[assignment]  # enums are open
        for key, value in attributes.items():
            target = span.attributes.add(key=key).value
            if isinstance(value, list):
                target.array_value.SetInParent()
                for each in value:
                    target.array_value.values.add().string_value = each
            else:
                kind = {str: "string", bool: "bool", int: "int", float: "double"}[type(value)]
                setattr(target, f"{kind}_value", value)
    return made


def read(field: Field, *spans: dict[str, Any], status: int = 0) -> list[Any]:
    """The field of each span as Python has it; None where it is absent, ... where it is no value."""
    batch = Reader([field]).read([request(*spans, status=status).SerializeToString()])
    kinds, bits = batch.columns[field]
    floats = bits.view("float64")
    found: list[Any] = []
    for at, (kind, bit) in enumerate(zip(kinds.tolist(), bits.tolist(), strict=True)):
        match kind:
            case Kind.STRING:
                found.append(batch.strings[bit])
            case Kind.FLOAT:
                found.append(float(floats[at]))
            case Kind.BOOL:
                found.append(bool(bit))
            case Kind.INT:
                found.append(bit)
            case _:
                found.append(None if kind == Kind.NIL else ...)
    return found


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ({"gen_ai.operation.name": "chat"}, "chat"),
        ({"llm.request.type": "completion"}, "text_completion"),
        ({"openinference.span.kind": "LLM"}, "chat"),
        ({"openinference.span.kind": "EMBEDDING"}, "embeddings"),
        ({"openinference.span.kind": "AGENT"}, "invoke_agent"),
        ({"traceloop.span.kind": "tool"}, "execute_tool"),
        ({"gen_ai.operation.name": "create_agent", "llm.request.type": "chat"}, "create_agent"),
        ({}, None),
    ],
)
def test_operations(sent: dict[str, Any], meant: str | None) -> None:
    assert read(llm.OPERATION, sent) == [meant]


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ({"gen_ai.system": "az.ai.openai"}, "azure.ai.openai"),
        ({"gen_ai.system": "vertex_ai"}, "gcp.vertex_ai"),
        ({"llm.system": "mistralai"}, "mistral_ai"),
        ({"gen_ai.provider.name": "openai", "gen_ai.system": "xai"}, "openai"),
        ({"gen_ai.system": "a house of ours"}, "a house of ours"),
    ],
)
def test_providers(sent: dict[str, Any], meant: str) -> None:
    assert read(llm.PROVIDER, sent) == [meant]


@pytest.mark.parametrize(
    ("sent", "is_call"),
    [
        ({"gen_ai.operation.name": "chat"}, True),
        ({"openinference.span.kind": "EMBEDDING"}, True),
        ({"gen_ai.request.model": "m"}, True),
        ({"llm.model_name": "m", "openinference.span.kind": "CHAIN"}, False),
        ({"gen_ai.request.model": "m", "gen_ai.operation.name": "invoke_agent"}, False),
        ({"http.route": "/"}, False),
    ],
)
def test_calls(sent: dict[str, Any], is_call: bool) -> None:  # noqa: FBT001 - a parameter
    assert read(llm.CALL, sent) == [is_call]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({"gen_ai.response.finish_reasons": ["stop", "length"]}, "stop"),
        ({"gen_ai.response.finish_reasons": '["length"]'}, "length"),
        ({"gen_ai.response.finish_reason": "tool_call"}, "tool_calls"),
        ({"gen_ai.response.finish_reasons": ["SAFETY"]}, "content_filter"),
        ({"gen_ai.response.finish_reasons": ["end_turn"]}, "stop"),
        ({"gen_ai.response.finish_reasons": ["Pondering"]}, "Pondering"),
        ({"gen_ai.response.finish_reasons": []}, ...),
        ({"gen_ai.response.finish_reasons": "[" * 5000}, "[" * 5000),
        ({}, None),
    ],
)
def test_finish_reasons(sent: dict[str, Any], reason: Any) -> None:
    assert read(llm.FINISH_REASON, sent) == [reason]


def test_numbers_are_read_leniently_and_refusals_counted() -> None:
    sent = [7, "12", 3.0, 3.5, "many", -1, float("nan"), "inf", True]
    reader = Reader([llm.INPUT_TOKENS])
    spans = [{"gen_ai.usage.prompt_tokens": value} for value in sent]
    assert read(llm.INPUT_TOKENS, *spans) == [7, 12, 3, 3.5, ..., ..., ..., ..., ...]
    reader.read([request(*spans).SerializeToString()])
    assert reader.deriver.rejected == {llm.INPUT_TOKENS.name: 5}


def test_time_to_first_chunk_in_its_units() -> None:
    openlit = {"gen_ai.server.time_to_first_token": 0.25}
    assert read(
        llm.TIME_TO_FIRST_CHUNK,
        {"gen_ai.response.time_to_first_chunk": 0.5},
        {"ai.response.msToFirstChunk": 1500.0},
        openlit,
        {**openlit, "gen_ai.request.stream": True},
        {**openlit, "llm.is_streaming": "True"},
        {**openlit, "llm.is_streaming": "False"},
    ) == [0.5, 1.5, None, 0.25, 0.25, None]


def test_model_of_openinference_errors() -> None:
    sent = {"llm.invocation_parameters": '{"model": "gpt-4o", "n": 1}'}
    broken = {"llm.invocation_parameters": "{"}
    assert read(llm.REQUEST_MODEL, sent, broken, {**sent, "llm.model_name": "m"}) == [
        "gpt-4o",
        None,
        "gpt-4o",
    ]
    assert read(llm.REQUEST_MODEL, {**broken, "llm.model_name": "m"}) == ["m"]


def test_time_per_output_token() -> None:
    first = {"gen_ai.response.time_to_first_chunk": 1.0}
    assert read(
        llm.TIME_PER_OUTPUT_TOKEN,
        {**first, "gen_ai.usage.output_tokens": 31},
        {**first, "gen_ai.usage.output_tokens": 1},
        {"gen_ai.usage.output_tokens": 31},
        {"gen_ai.response.time_to_first_chunk": 9.0, "gen_ai.usage.output_tokens": 31},
        {**first, "gen_ai.usage.output_tokens": 31, "burnline.time_per_output_token": 0.2},
    ) == [0.1, None, None, None, 0.2]


def test_costs_of_the_span() -> None:
    sent: list[Any] = [0.25, "0.5", 0.0, -1.0, float("inf"), "free"]
    spans = [{"gen_ai.operation.name": "chat", "gen_ai.usage.cost": cost} for cost in sent]
    assert read(llm.COST, *spans) == [0.25, 0.5, None, None, None, None]
    assert read(llm.UNPRICED, *spans, {})[:2] == [None, None]
    assert read(llm.UNPRICED, *spans, {})[2] is not None
    assert read(llm.UNPRICED, *spans, {})[-1] is None, "no call"


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        ({"error.type": "openai.RateLimitError"}, "limit"),
        ({"error.type": "InternalServerError"}, "provider"),
        ({"error.type": "429"}, "limit"),
        ({"error.type": "openai.BadRequestError"}, "caller"),
        ({"error.type": "httpx.ConnectError"}, "network"),
        ({"error.type": "Odd", "http.response.status_code": 503}, "provider"),
        ({"http.response.status_code": "404"}, "caller"),
        ({"error.type": "Odd"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_faults(sent: dict[str, Any], fault: str) -> None:
    call = {"gen_ai.operation.name": "chat"}
    assert read(llm.FAULT, {**sent, **call}, sent, status=2)[0] == fault
    assert read(llm.FAULT, sent, status=2) == [None], "no call"


def test_a_call_that_succeeded_is_nobodys_fault() -> None:
    assert read(llm.FAULT, {"gen_ai.operation.name": "chat"}, status=1) == [None]


def test_nothing_is_worked_out_unasked() -> None:
    reader = Reader([Field("span", "http.route"), Field("intrinsic", "duration")])
    assert not reader.deriver.works
    assert list(reader.wanted) == [Field("span", "http.route"), Field("intrinsic", "duration")]


def test_zeros_beside_zeros_are_unknown() -> None:
    def used(put: Any, out: Any) -> dict[str, Any]:
        return {"gen_ai.usage.input_tokens": put, "gen_ai.usage.output_tokens": out}

    spans = [used(0, 0), used(5, 0), used(0, 5), used(5, 5)]
    assert read(llm.INPUT_TOKENS, *spans) == [None, 5, 0, 5]
    assert read(llm.OUTPUT_TOKENS, *spans) == [None, 0, 5, 5]


def test_counts_in_litellms_usage_object() -> None:
    usage = "{'prompt_tokens_details': {'cached_tokens': 1536, 'x': None}, \"reasoning_tokens\": 7}"
    sent = {"metadata.usage_object": usage}
    assert read(llm.CACHE_READ_TOKENS, sent, {"metadata.usage_object": "{}"}) == [1536, None]
    assert read(llm.REASONING_TOKENS, sent) == [7]
    own = {"gen_ai.usage.cache_read.input_tokens": 3}
    assert read(llm.CACHE_READ_TOKENS, {**sent, **own}) == [3]


def test_input_without_cached_tokens() -> None:
    counts = {
        "gen_ai.usage.input_tokens": 500,
        "gen_ai.usage.cache_read.input_tokens": 300,
        "gen_ai.usage.cache_creation.input_tokens": 100,
    }
    claude = {**counts, "gen_ai.provider.name": "anthropic"}
    openlit = {"telemetry.sdk.name": "openlit"}
    assert read(
        llm.INPUT_TOKENS,
        claude,
        {**claude, **openlit},
        {**counts, **openlit, "gen_ai.provider.name": "openai"},
        {**claude, "gen_ai.usage.input_tokens": 200},
        {**counts, "gen_ai.usage.input_tokens": 200},
    ) == [500, 900, 500, 600, 200]


def test_a_cost_by_the_price_table() -> None:
    call = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 10_000,
        "gen_ai.usage.output_tokens": 1_000,
        "gen_ai.usage.cost": 0,
    }
    unheard_of = {**call, "gen_ai.request.model": "no-such-model"}
    by_request = {**call, "gen_ai.response.model": "no-such-model"}
    unused = {k: v for k, v in call.items() if "usage" not in k}
    spans = [call, unheard_of, by_request, unused, {**call, "gen_ai.operation.name": "plan"}]
    assert read(llm.COST, *spans) == [0.035, None, 0.035, None, None]
    assert read(llm.UNPRICED, *spans) == [None, "model", None, "usage", None]
    no_price = {**unused, "gen_ai.request.model": "no-such-model"}
    assert read(llm.UNPRICED, unused, no_price, status=2) == [None, None], "they failed"
    assert read(llm.UNPRICED, unheard_of, status=2) == ["model"], "it failed, and used tokens"


def test_events_tell_of_first_tokens_and_errors() -> None:
    made = request({"gen_ai.operation.name": "chat"}, {})
    first, second = made.resource_spans[0].scope_spans[0].spans
    for after in (3, 2):
        first.events.add(
            name="gen_ai.content.completion.chunk", time_unix_nano=(1 + after) * SECOND
        )
    second.events.add(name="First Token Stream Event", time_unix_nano=SECOND // 2)
    for name in ("ValueError", "openai.RateLimitError"):
        event = first.events.add(name="exception")
        event.attributes.add(key="exception.type").value.string_value = name
    batch = Reader([llm.TIME_TO_FIRST_CHUNK, llm.ERROR_TYPE]).read([made.SerializeToString()])
    kinds, bits = batch.columns[llm.TIME_TO_FIRST_CHUNK]
    assert kinds.tolist() == [Kind.INT, Kind.NIL], "none before the start"
    assert bits[0] == 2
    error = batch.columns[llm.ERROR_TYPE]
    assert batch.strings[error.bits[0]] == "RateLimitError"
    assert error.kinds[1] == Kind.NIL
