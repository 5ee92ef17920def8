"""OTLP payloads as an instrumented LLM service sends them: about 600 bytes and 15 attributes a span."""

import random

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-pro", "llama-3.3-70b")
TENANTS = tuple(f"tenant-{n:02}" for n in range(20))


def _attribute(key: str, value: str | float) -> KeyValue:
    if isinstance(value, str):
        return KeyValue(key=key, value=AnyValue(string_value=value))
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    return KeyValue(key=key, value=AnyValue(double_value=value))


def payload(spans: int, newest_ns: int, seed: int, seconds: float = 1.0) -> bytes:
    """One export request.

    Args:
        spans: how many.
        newest_ns: end time of the newest span.
        seed: of the random values.
        seconds: over which the end times are spread.
    """
    rng = random.Random(seed)  # noqa: S311  test traffic
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    for key, value in (
        ("service.name", "chat-api"),
        ("service.version", "1.4.2"),
        ("telemetry.sdk.language", "python"),
    ):
        resource.resource.attributes.append(_attribute(key, value))
    scope = resource.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.genai.openai"
    for n in range(spans):
        model = rng.choice(MODELS)
        failed = rng.random() < 0.01
        end = newest_ns - int((spans - 1 - n) / spans * seconds * 1e9)
        duration = int(rng.lognormvariate(0.3, 0.6) * 1e9)
        span = scope.spans.add(
            trace_id=rng.randbytes(16),
            span_id=rng.randbytes(8),
            name=f"chat {model}",
            kind=Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=end - duration,
            end_time_unix_nano=end,
            status=Status(code=Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET),
        )
        output = rng.randrange(1, 600)
        for key, value in (
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", model),
            ("gen_ai.response.model", model + "-2026-08-06"),
            ("gen_ai.response.id", "chatcmpl-" + rng.randbytes(12).hex()),
            ("gen_ai.request.temperature", 0.7),
            ("gen_ai.request.max_tokens", 1024),
            ("gen_ai.usage.input_tokens", rng.randrange(10, 4000)),
            ("gen_ai.usage.output_tokens", output),
            ("gen_ai.response.time_to_first_chunk", duration / 4e9),
            ("gen_ai.conversation.id", rng.randbytes(8).hex()),
            ("server.address", "api.openai.com"),
            ("server.port", 443),
            ("tenant.id", rng.choice(TENANTS)),
            ("http.route", "/v1/chat/completions"),
        ):
            span.attributes.append(_attribute(key, value))
        if failed:
            span.attributes.append(_attribute("error.type", "RateLimitError"))
    return request.SerializeToString()
