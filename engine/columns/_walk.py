"""The plain reading of OTLP traces: the official parser, then a walk over its messages.

It is what the kernel is measured against, in tests for its answers and in benchmarks for its speed,
and it reads the payloads that the kernel leaves.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from engine.columns import _kernel
from engine.columns.calls import PARENT_ID, SPAN_ID
from engine.columns.deriving import EXCEPTION, Deriver
from slo.columns import Column, Field, Kind, SpanBatch

Value = tuple[Kind, int]


class _Strings(dict[str, int]):
    """Each distinct string's number, in order of appearance."""

    def __missing__(self, text: str) -> int:
        self[text] = number = len(self)
        return number


def parse(payload: bytes) -> ExportTraceServiceRequest:
    """The request in a payload.

    Raises:
        ValueError: it is none; the message is the official parser's.
    """
    try:
        return ExportTraceServiceRequest.FromString(payload)
    except DecodeError as error:
        raise ValueError(str(error)) from error


def walk(request: ExportTraceServiceRequest, deriver: Deriver) -> SpanBatch:
    """A request's spans as columns.

    Args:
        request: what the official parser read.
        deriver: says what is to be read for the fields that are wanted.
    """
    wanted = deriver.raw
    strings = _Strings()
    spans: list[Span] = []
    values: dict[Field, list[Value]] = {field: [] for field in wanted}
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                spans.append(span)
                own = _attributes(span.attributes)
                for field, names in wanted.items():
                    if field in deriver.events:
                        value = _event_time(span, deriver.events[field])
                    elif field in deriver.exceptions:
                        value = _exception(span, deriver.exceptions[field], strings)
                    elif field.scope == "intrinsic":
                        value = _intrinsic(span, field.name, strings)
                    elif field in deriver.digests:
                        value = _digest(own, names)
                    else:
                        holder = own if field.scope == "span" else resource
                        value = _first(holder, names, strings, element=field in deriver.firsts)
                    values[field].append(value)
    ids = [s.trace_id if len(s.trace_id) == 16 else bytes(16) for s in spans]
    return SpanBatch(
        start_ns=np.array([s.start_time_unix_nano for s in spans], np.uint64),
        end_ns=np.array([s.end_time_unix_nano for s in spans], np.uint64),
        columns={field: _column(rows) for field, rows in values.items()},
        strings=list(strings),
        trace_ids=np.frombuffer(b"".join(ids), np.uint8).reshape(len(spans), 16),
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, AnyValue]:
    return {pair.key: pair.value for pair in pairs}  # the last of a repeated key stays


def _first(
    holder: Mapping[str, AnyValue], names: Sequence[str], strings: _Strings, *, element: bool
) -> Value:
    for name in names:
        if name in holder:
            value = holder[name]
            if element and value.array_value.values:
                value = value.array_value.values[0]
            return _value(value, strings)
    return Kind.NIL, 0


def _event_time(span: Span, name: str) -> Value:
    times = [event.time_unix_nano for event in span.events if event.name == name]
    return (Kind.INT, _signed(min(times))) if times else (Kind.NIL, 0)


def _exception(span: Span, name: str, strings: _Strings) -> Value:
    found: Value = Kind.NIL, 0
    for event in span.events:
        if event.name == EXCEPTION:
            attributes = _attributes(event.attributes)
            if name in attributes:
                found = _value(attributes[name], strings)
    return found


def _digest(holder: Mapping[str, AnyValue], names: Sequence[str]) -> Value:
    texts = _Strings()
    kind, bits = _first(holder, names, texts, element=False)
    if kind == Kind.STRING:
        data = np.frombuffer(next(iter(texts)).encode(), np.uint8)
        with np.errstate(over="ignore"):
            kind, bits = Kind.INT, _signed(int(_kernel.digest(data, 0, len(data))))
    return kind, bits


def _id(sent: bytes) -> int:
    return _signed(int.from_bytes(sent, "little")) if len(sent) == 8 else 0


def _signed(bits: int) -> int:
    return bits - 2**64 if bits >= 2**63 else bits


def _value(value: AnyValue, strings: _Strings) -> Value:
    match value.WhichOneof("value"):
        case "string_value":
            return Kind.STRING, strings[value.string_value]
        case "int_value":
            return Kind.INT, value.int_value
        case "double_value":
            return Kind.FLOAT, struct.unpack("<q", struct.pack("<d", value.double_value))[0]
        case "bool_value":
            return Kind.BOOL, int(value.bool_value)
        case _:
            return Kind.OTHER, 0


def _intrinsic(span: Span, name: str, strings: _Strings) -> Value:
    match name:
        case "name":
            return Kind.STRING, strings[span.name]
        case "kind":
            return Kind.INT, span.kind
        case "status":
            return Kind.INT, span.status.code
        case SPAN_ID.name:
            return Kind.INT, _id(span.span_id)
        case PARENT_ID.name:
            return Kind.INT, _id(span.parent_span_id)
        case _:
            wrapped = (span.end_time_unix_nano - span.start_time_unix_nano) & (2**64 - 1)
            return Kind.INT, _signed(wrapped)


def _column(rows: Sequence[Value]) -> Column:
    return Column(
        np.array([kind for kind, _ in rows], np.uint8),
        np.array([bits for _, bits in rows], np.int64),
    )
