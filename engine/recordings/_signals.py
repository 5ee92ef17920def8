"""Which signal an export request in protobuf carries, and how new what it carries is.

Requests of traces, metrics and logs have the same outer fields (1: resource, in it 2: scope, in it
2: item), so the bytes do not say which they are. The first item with anything in it tells: a Span
has its times as fixed64 in fields 7 and 8 (or its kind as a varint in 6), a LogRecord has fixed64
in 1 or 11, a Metric has its data as a message in 5, 7, 9, 10 or 11 and no numbers at all. Only a
span without times and kind could be taken for a metric, and an SLO could not place it anyway.
"""

from collections.abc import Iterator
from typing import Literal

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from engine.columns.spans import Reader, Refused

Signal = Literal["traces", "metrics"]
_WIDTHS = {1: 8, 5: 4}
_SPAN = {(7, 1), (8, 1), (6, 0)}
_LOG = {(1, 1), (11, 1)}
_METRIC = {(5, 2), (7, 2), (9, 2), (10, 2), (11, 2)}
_YEAR_2200 = 7_258_118_400_000_000_000
_TIMES = Reader(())


def fields(data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """(number, wire type, value) of each field of a message; a varint's value is empty.

    Raises:
        ValueError: the bytes are no message.
    """
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire = tag & 7
        size = _WIDTHS.get(wire, 0)
        if wire in (0, 2):
            value, position = _varint(data, position)
            size = value if wire == 2 else 0
        elif wire not in _WIDTHS:
            raise ValueError(f"wire type {wire}")
        if tag < 8 or position + size > len(data):
            raise ValueError("no protobuf message")
        yield tag >> 3, wire, data[position : position + size]
        position += size


def is_plausible(body: bytes) -> bool:
    """Whether bytes look like an export request from outside: resources, scopes, URLs."""
    try:
        for number, wire, resource in fields(memoryview(body)):
            if (number, wire) != (1, 2):
                return False
            if any(wire != 2 or number > 3 for number, wire, _ in fields(resource)):
                return False
    except ValueError:
        return False
    return True


def signal_of(body: bytes) -> Signal | Literal["logs"] | None:
    """The signal of an export request; None where it holds no items.

    Raises:
        ValueError: the bytes are no message, or none of its items tells.
    """
    item = None
    for item in _items(memoryview(body)):
        shape = {(number, wire) for number, wire, _ in fields(item)}
        if shape & _SPAN:
            return "traces"
        if shape & _LOG:
            return "logs"
        if shape & _METRIC:
            return "metrics"
    if item is not None:
        raise ValueError("neither spans with times nor metrics with data")
    return None


def newest(signal: Signal, body: bytes) -> int:
    """The newest span's end or metric point's time, Unix nanoseconds; 0 where there is none.

    Times from the year 2200 on are passed over: one broken span must not carry the clock there.

    Raises:
        ValueError: the official parser refuses the body.
    """
    if signal == "traces":
        try:
            ends = _TIMES.read([body]).end_ns
            return int(ends.max(initial=0, where=ends < _YEAR_2200))
        except Refused as error:
            raise ValueError(f"no trace request ({error.reason})") from error
    try:
        request = ExportMetricsServiceRequest.FromString(body)
    except DecodeError as error:
        raise ValueError(f"no metrics request ({error})") from error
    return max((time for time in _point_times(request) if time < _YEAR_2200), default=0)


def _point_times(request: ExportMetricsServiceRequest) -> Iterator[int]:
    for resource_metrics in request.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                kind = metric.WhichOneof("data")
                if kind:
                    for point in getattr(metric, kind).data_points:
                        yield point.time_unix_nano


def _items(body: memoryview) -> Iterator[memoryview]:
    for number, wire, resource in fields(body):
        if (number, wire) == (1, 2):
            for inner, inner_wire, scope in fields(resource):
                if (inner, inner_wire) == (2, 2):
                    yield from (v for n, w, v in fields(scope) if (n, w) == (2, 2))


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for index, part in enumerate(data[position : position + 10]):
        value |= (part & 127) << (7 * index)
        if part < 128:
            return value, position + index + 1
    raise ValueError("no varint")
