"""OTLP/JSON: what the short way encodes the official one encodes alike; all else is a ValueError."""

import random
from collections.abc import Callable, Sequence

import orjson
from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.columns import otlp_json
from tests.engine.columns.test_otlp_json import to_json
from tests.fuzz.messages import random_message

NOW_NS = 1_700_000_000 * 10**9
_ODD = (
    '{"resourceSpans":' * 900 + "1" + "}" * 900, '{"spans":[' * 400 + "]}" * 400,
    '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"\\ud800"}]}]}]}',
    '{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":1e400}]}]}]}', "[]", "null", "", "{",
)  # fmt: skip


def traces_json_seeds(random_: random.Random) -> Sequence[bytes]:
    return _written(random_, ExportTraceServiceRequest)


def metrics_json_seeds(random_: random.Random) -> Sequence[bytes]:
    return _written(random_, ExportMetricsServiceRequest)


def traces_json_check(data: bytes) -> bool:
    return _check(data, otlp_json.traces_to_protobuf, ExportTraceServiceRequest)


def metrics_json_check(data: bytes) -> bool:
    return _check(data, otlp_json.metrics_to_protobuf, ExportMetricsServiceRequest)


def _written(random_: random.Random, kind: type[Message]) -> list[bytes]:
    found = [text.encode() for text in _ODD]
    while len(found) < 50:
        request = random_message(random_, kind(), NOW_NS)
        found.append(orjson.dumps(to_json(request)))
    return found


def _check(data: bytes, convert: Callable[[bytes], bytes], kind: type[Message]) -> bool:
    try:
        encoded = convert(data)
    except ValueError as error:
        str(error)
        return False
    message = kind.FromString(encoded)
    if kind is ExportTraceServiceRequest and otlp_json.usual_traces(data) is not None:
        official = kind.FromString(otlp_json.traces_from_object(otlp_json.loads(data)))
        ours = message.SerializeToString(deterministic=True)
        if official.SerializeToString(deterministic=True) != ours:
            raise AssertionError("the short way and the official one disagree")
    return True
