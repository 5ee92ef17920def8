"""OTLP as JSON to the same request as protobuf bytes.

OTLP's JSON is proto3's with two changes: ids are hex, not base64, and enums are numbers; unknown
fields are ignored (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). Traces of the
usual form are encoded straight from their bytes (`engine.columns._json_spans`); all else goes through the
official `json_format`, which takes names in snake_case and enums by name as well.
"""

import gc
from collections.abc import Iterator
from typing import Any, TypeVar

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.columns import _json_spans
from engine.columns.quoting import readable

_Request = TypeVar("_Request", bound=Message)
_IDS = frozenset(
    ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"),
)
# The way down to messages that have ids; attributes are no part of it.
_HOLDERS = frozenset(
    (
        *("resourceSpans", "scopeSpans", "spans", "links"),
        *("resource_spans", "scope_spans"),
        *("resourceMetrics", "scopeMetrics", "metrics", "dataPoints", "exemplars"),
        *("resource_metrics", "scope_metrics", "data_points"),
        *("resourceLogs", "scopeLogs", "logRecords", "resource_logs", "scope_logs", "log_records"),
        *("gauge", "sum", "histogram", "exponentialHistogram", "exponential_histogram", "summary"),
    )
)
# resourceMetrics, scopeMetrics, metrics, sum, dataPoints, exemplars.
_DEEPEST_ID = 6


def traces_to_protobuf(data: bytes) -> bytes:
    """An ExportTraceServiceRequest in OTLP's JSON as protobuf bytes.

    Raises:
        ValueError: it is no such JSON; the message names the place.
    """
    encoded = usual_traces(data)
    return traces_from_object(_load(data)) if encoded is None else encoded


def usual_traces(data: bytes) -> bytes | None:
    """`traces_to_protobuf` of traces, and nothing beside them, in the usual form; None of else."""
    try:
        return _json_spans.encode(data)
    except _json_spans.Unusual:
        return None


def metrics_to_protobuf(data: bytes) -> bytes:
    """An ExportMetricsServiceRequest in OTLP's JSON as protobuf bytes.

    Raises:
        ValueError: it is no such JSON; the message names the place.
    """
    return metrics_from_object(_load(data))


def logs_to_protobuf(data: bytes) -> bytes:
    """An ExportLogsServiceRequest in OTLP's JSON as protobuf bytes.

    Raises:
        ValueError: it is no such JSON; the message names the place.
    """
    return logs_from_object(_load(data))


def traces_from_object(request: dict[str, Any]) -> bytes:
    """`traces_to_protobuf` of JSON that is parsed already; the object may be changed."""
    return _official(request, ExportTraceServiceRequest())


def metrics_from_object(request: dict[str, Any]) -> bytes:
    """`metrics_to_protobuf` of JSON that is parsed already; the object may be changed."""
    return _official(request, ExportMetricsServiceRequest())


def logs_from_object(request: dict[str, Any]) -> bytes:
    """`logs_to_protobuf` of JSON that is parsed already; the object may be changed."""
    return _official(request, ExportLogsServiceRequest())


def loads(data: bytes) -> Any:  # noqa: ANN401 - whatever the JSON holds
    """`orjson.loads` without the cycle collector, which would walk the growing tree over and over.

    A parsed tree has no cycles. Threads that do this at once leave the collector on at the end.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return orjson.loads(data)
    finally:
        if collecting:
            gc.enable()


def _load(data: bytes) -> dict[str, Any]:
    try:
        loaded = loads(data)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(loaded, dict):
        raise ValueError(  # noqa: TRY004 - one kind for callers
            f"not an OTLP request: a JSON {type(loaded).__name__} instead of an object"
        )
    return loaded


def _official(request: dict[str, Any], message: _Request) -> bytes:
    for holder, name, place in _ids(request):
        try:
            holder[name] = _base64(holder[name])
        except ValueError as error:
            raise ValueError(readable(f"{place}: {error}")) from error
    try:
        json_format.ParseDict(request, message, ignore_unknown_fields=True)
        return message.SerializeToString()
    except (json_format.ParseError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(readable(f"not an OTLP request: {error}")) from error


def _ids(request: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Every id, with what holds it and its place; no deeper than a request can have one."""
    waiting = [(request, "", 0)]
    while waiting:
        value, place, depth = waiting.pop()
        for name, inner in value.items():
            here = f"{place}.{name}" if place else name
            if name in _IDS:
                yield value, name, here
            elif name in _HOLDERS and depth < _DEEPEST_ID:
                if isinstance(inner, dict):
                    waiting.append((inner, here, depth + 1))
                elif isinstance(inner, list):
                    waiting += (
                        (item, f"{here}[{index}]", depth + 1)
                        for index, item in enumerate(inner)
                        if isinstance(item, dict)
                    )


def _base64(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        kind = type(value).__name__
        raise ValueError(f"an id is a string of hex digits, not {kind}")  # noqa: TRY004 - one kind for callers
    return _json_spans.base64_of_hex(value)
