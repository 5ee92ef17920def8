"""Calls in the OpenTelemetry SDK's wire format, under the current GenAI names."""

from math import isnan

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from dataflows.demo.traffic import EMBEDDER, ERRORS, MODELS, SERVERS, TENANTS, Calls

SERVICE = "chat-api"
RESOURCE = {
    "service.name": SERVICE,
    "service.version": "1.0.0",
    "deployment.environment.name": "demo",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
}


def request(calls: Calls) -> bytes:
    """An `ExportTraceServiceRequest` with a span for each call."""
    spans = ResourceSpans()
    spans.resource.attributes.extend(_text(name, value) for name, value in RESOURCE.items())
    scope: ScopeSpans = spans.scope_spans.add()
    scope.scope.name = "burnline.demo"
    rows = zip(
        (calls.start * 1e9).astype("int64").tolist(),
        (calls.seconds * 1e9).astype("int64").tolist(),
        calls.first.tolist(),
        calls.model.tolist(),
        calls.tenant.tolist(),
        calls.error.tolist(),
        calls.input_tokens.tolist(),
        calls.output_tokens.tolist(),
        calls.ids,
        strict=True,
    )
    for start, lasted, first, model, tenant, error, given, made, ids in rows:
        span = scope.spans.add(
            trace_id=ids[:16].tobytes(),
            span_id=ids[16:].tobytes(),
            kind=Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=start,
            end_time_unix_nano=start + lasted,
        )
        _describe(span, model, tenant, given, first)
        if error >= 0:
            kind = ERRORS[error][0]
            span.status.code = Status.STATUS_CODE_ERROR
            span.status.message = kind
            span.attributes.append(_text("error.type", kind))
        elif model < len(MODELS):
            finished = ArrayValue(values=[AnyValue(string_value="stop")])
            span.attributes.append(_number("gen_ai.usage.output_tokens", made))
            span.attributes.append(
                KeyValue(key="gen_ai.response.finish_reasons", value=AnyValue(array_value=finished))
            )
    return bytes(ExportTraceServiceRequest(resource_spans=[spans]).SerializeToString())


def _describe(span: Span, model: int, tenant: int, given: int, first: float) -> None:
    """What is known of a call whether it succeeded or not."""
    called = MODELS[model] if model < len(MODELS) else EMBEDDER
    operation = "chat" if model < len(MODELS) else "embeddings"
    span.name = f"{operation} {called.name}"
    span.attributes.extend(
        (
            _text("gen_ai.operation.name", operation),
            _text("gen_ai.provider.name", called.provider),
            _text("gen_ai.request.model", called.name),
            _text("gen_ai.response.model", called.name),
            _text("server.address", SERVERS[called.provider]),
            _text("tenant.id", TENANTS[tenant][0]),
            _number("gen_ai.usage.input_tokens", given),
        )
    )
    if not isnan(first):
        streamed = KeyValue(key="gen_ai.request.stream", value=AnyValue(bool_value=True))
        seconds = AnyValue(double_value=first)
        span.attributes.extend(
            (streamed, KeyValue(key="gen_ai.response.time_to_first_chunk", value=seconds))
        )


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _number(key: str, value: int) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(int_value=value))
