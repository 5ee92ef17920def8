"""OTLP trace requests: well-formed ones as messages, and bytes that only look like one."""

from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

KEYS = (
    "service.name",
    "gen_ai.request.model",
    "llm.model_name",
    "llm.request.model_name",
    "gen_ai.response.model",
    "gen_ai.system",
    "tenant",
    "tenant_id",
    "k",
    "",
    "ключ",
    "a.key.that.nobody.wants",
    "input.value",
    "gen_ai.prompt.0.content",
    "gen_ai.prompt.name",
    "gen_ai.operation.name",
    "openinference.span.kind",
    "gen_ai.response.finish_reasons",
    "gen_ai.usage.output_tokens",
    "llm.token_count.prompt",
    "gen_ai.usage.cost",
    "gen_ai.server.time_to_first_token",
    "ai.response.msToFirstChunk",
    "llm.is_streaming",
    "llm.invocation_parameters",
    "error.type",
    "http.response.status_code",
)

texts = st.one_of(
    st.sampled_from(("", "a", "chat", "gpt-4o-mini", "claude-sonnet-4-5-20250929", "\0", "日本語")),
    st.sampled_from(
        ("LLM", "MAX_TOKENS", '["stop"]', "True", "12", "-1", '{"model": "m"}', "a.RateLimitError")
    ),
    st.text(st.characters(codec="utf-8"), max_size=24),
)
int64s = st.one_of(st.integers(-3, 300), st.integers(-(2**63), 2**63 - 1))
uint64s = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))
int32s = st.one_of(st.integers(0, 5), st.integers(-(2**31), 2**31 - 1))

scalars = st.one_of(
    st.just(AnyValue()),
    st.builds(AnyValue, string_value=texts),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.builds(AnyValue, int_value=int64s),
    st.builds(AnyValue, double_value=st.floats()),
    st.builds(AnyValue, bytes_value=st.binary(max_size=9)),
)


def _nest(inner: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[AnyValue]:
    def array(values: list[AnyValue]) -> AnyValue:
        value = AnyValue()
        value.array_value.SetInParent()
        value.array_value.values.extend(values)
        return value

    def kvlist(pairs: list[KeyValue]) -> AnyValue:
        value = AnyValue()
        value.kvlist_value.SetInParent()
        value.kvlist_value.values.extend(pairs)
        return value

    pairs = st.builds(KeyValue, key=st.sampled_from(KEYS), value=inner)
    return st.one_of(
        st.lists(inner, max_size=3).map(array), st.lists(pairs, max_size=3).map(kvlist)
    )


any_values = st.recursive(scalars, _nest, max_leaves=4)
attributes = st.lists(
    st.builds(
        KeyValue,
        key=st.one_of(st.sampled_from(KEYS), texts),
        value=st.one_of(st.none(), any_values),
    ),
    max_size=6,
)
trace_ids = st.one_of(st.binary(min_size=16, max_size=16), st.binary(max_size=20))

event_names = st.one_of(
    st.sampled_from(("exception", "First Token Stream Event", "gen_ai.content.completion.chunk")),
    texts,
)
event_attributes = st.one_of(
    attributes,
    st.lists(
        st.builds(KeyValue, key=st.just("exception.type"), value=st.one_of(st.none(), any_values)),
        max_size=2,
    ),
)

spans = st.builds(
    Span,
    trace_id=trace_ids,
    span_id=st.one_of(st.binary(max_size=9), st.binary(min_size=8, max_size=8)),
    trace_state=texts,
    name=texts,
    kind=int32s,
    start_time_unix_nano=uint64s,
    end_time_unix_nano=uint64s,
    attributes=attributes,
    parent_span_id=st.binary(max_size=9),
    events=st.lists(
        st.builds(
            Span.Event, name=event_names, attributes=event_attributes, time_unix_nano=uint64s
        ),
        max_size=3,
    ),
    links=st.lists(st.builds(Span.Link, trace_state=texts, attributes=attributes), max_size=1),
    flags=st.integers(0, 2**32 - 1),
)


@st.composite
def requests(draw: st.DrawFn) -> ExportTraceServiceRequest:
    """A well-formed request of up to four resources with up to two scopes each."""
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        resource_spans = request.resource_spans.add(schema_url=draw(texts))
        if draw(st.booleans()):
            resource_spans.resource.attributes.extend(draw(attributes))
        for _ in range(draw(st.integers(0, 2))):
            scope_spans: ScopeSpans = resource_spans.scope_spans.add()
            scope_spans.scope.name = draw(texts)
            scope_spans.spans.extend(draw(st.lists(spans, max_size=3)))
            for span in scope_spans.spans:
                if draw(st.booleans()):
                    span.status.code = draw(int32s)  # type: ignore[assignment]  # enums are open
                    span.status.message = draw(texts)
    return request


def varint(value: int, width: int = 0) -> bytes:
    """A varint, stretched with idle bytes to at least `width`."""
    out = bytearray()
    while value > 127 or len(out) < width - 1:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


_varints = st.builds(varint, uint64s, st.sampled_from((0, 0, 0, 2, 10, 11)))
_text_at_the_edge = st.sampled_from(
    (
        b"\xff",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"\xf4\x90\x80\x80",
        b"abcdefg\xe2\x82",
        b"\xe2\x82\xac",
    )
)


@st.composite
def wire(
    draw: st.DrawFn, descriptor: Any = ExportTraceServiceRequest.DESCRIPTOR, depth: int = 0
) -> bytes:
    """A message's bytes field by field: any order, repeated, wrong types, lies about lengths."""
    out = b""
    numbers = [*descriptor.fields_by_number, 99, 3000]
    for _ in range(draw(st.integers(0, 3 if depth else 2))):
        field = descriptor.fields_by_number.get(draw(st.sampled_from(numbers)))
        number = field.number if field else draw(st.sampled_from((99, 3000, 2**29 - 1)))
        kind = draw(st.integers(0, 11))
        if field is None or kind == 0:
            wire_type = draw(st.sampled_from((0, 1, 2, 3, 4, 5, 6, 7)))
        else:
            wire_type = {11: 2, 9: 2, 12: 2, 6: 1, 1: 1, 7: 5, 5: 0}.get(field.type, 0)
        out += varint(number << 3 | wire_type, draw(st.sampled_from((0, 0, 0, 0, 0, 2, 5))))
        if wire_type == 0:
            out += draw(_varints)
        elif wire_type in (1, 5):
            size = 8 if wire_type == 1 else 4
            out += draw(st.binary(min_size=size, max_size=size))
        elif wire_type == 2:
            body = draw(_body(field, depth))
            lie = draw(st.sampled_from((0,) * 30 + (1, -1, 2**31, 2**63)))
            width = draw(st.sampled_from((0, 0, 0, 0, 2, 5, 6)))
            out += varint(max(0, len(body) + lie), width) + body
        elif wire_type == 3 and kind % 2:
            out += varint(number << 3 | 4)
    return out


def _body(field: Any, depth: int) -> st.SearchStrategy[bytes]:
    if field is not None and field.message_type and depth < 9:
        return wire(field.message_type, depth + 1)
    if field is not None and field.name == "key":
        return st.sampled_from(KEYS).map(str.encode)
    if field is not None and field.name == "trace_id":
        return trace_ids
    return st.one_of(
        texts.map(str.encode), texts.map(str.encode), texts.map(str.encode), _text_at_the_edge
    )


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A well-formed request with bytes changed, cut out, put in or doubled."""
    data = bytearray(draw(requests()).SerializeToString())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(("change", "cut", "insert", "double", "end"))):
            case "change" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at : at + draw(st.integers(1, 4))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=4))
            case "double":
                data += data[at:]
            case _:
                del data[at:]
    return bytes(data)


payloads = st.one_of(
    requests().map(lambda request: request.SerializeToString()),
    wire(),
    damaged(),
    st.binary(max_size=40),
)
