"""OTLP's JSON against the official parser of proto3's JSON."""

import base64
import copy
import json
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.columns import _json_spans, otlp_json
from engine.columns.otlp_json import metrics_to_protobuf, traces_to_protobuf
from tests.strategies import otlp

slow_to_draw = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def hex_ids(value: Any, name: str = "") -> Any:
    """proto3's JSON with ids as OTLP writes them."""
    if isinstance(value, dict):
        return {k: hex_ids(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [hex_ids(item) for item in value]
    if name in ("traceId", "spanId", "parentSpanId"):
        return base64.b64decode(value).hex()
    return value


def to_json(request: Message) -> dict[str, Any]:
    plain = json_format.MessageToDict(request, use_integers_for_enums=True)
    loaded: dict[str, Any] = hex_ids(plain)
    return loaded


def span_json(**fields: Any) -> bytes:
    return orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]})


def read_span(**fields: Any) -> Any:
    request = ExportTraceServiceRequest.FromString(traces_to_protobuf(span_json(**fields)))
    return request.resource_spans[0].scope_spans[0].spans[0]


def outcome(convert: Any, request: dict[str, Any]) -> Any:
    try:
        return ExportTraceServiceRequest.FromString(convert(copy.deepcopy(request)))
    except ValueError:
        return "refused"


def official(request: dict[str, Any]) -> bytes:
    return otlp_json._official(request, ExportTraceServiceRequest())


@slow_to_draw
@given(otlp.requests())
def test_written_by_the_official_writer(request: ExportTraceServiceRequest) -> None:
    """Compared as bytes: NaN is not equal to itself in messages."""
    data = orjson.dumps(to_json(request))
    read = ExportTraceServiceRequest.FromString(traces_to_protobuf(data))
    written = request.SerializeToString(deterministic=True)
    back = ExportTraceServiceRequest()
    json_format.Parse(json_format.MessageToJson(request), back)  # what JSON keeps: not a NaN's bits
    assert read.SerializeToString(deterministic=True) in (
        written,
        back.SerializeToString(deterministic=True),
    )


@st.composite
def unusual(draw: st.DrawFn) -> dict[str, Any]:
    """A request in JSON in which some values or names are not what they should be."""
    request = to_json(draw(otlp.requests()))
    places: list[tuple[Any, Any]] = []

    def collect(value: Any) -> None:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            places.append((value, key))
            if isinstance(inner, dict | list):
                collect(inner)

    collect(request)
    for holder, key in draw(st.lists(st.sampled_from(places), max_size=2)) if places else ():
        odd = st.sampled_from(
            (
                None,
                1,
                1.0,
                -1,
                True,
                "",
                "1",
                "-1",
                " 1",
                "1_0",
                "\u0661",
                "abc",
                [],
                {},
                2**64,
                0.5,
            )
        )
        if isinstance(holder, dict) and draw(st.booleans()):
            names = ("unknown", "trace_id", "spanId", "keyStrindex", "code", "stringValue", "flags")
            holder[draw(st.sampled_from(names))] = draw(odd)
        else:
            holder[key] = draw(odd)
    return request


@slow_to_draw
@given(unusual())
def test_both_ways_agree_on_any_json(request: dict[str, Any]) -> None:
    ours = outcome(lambda plain: traces_to_protobuf(json.dumps(plain).encode()), request)
    theirs = outcome(lambda plain: official(orjson.loads(json.dumps(plain))), request)
    assert repr(ours) == repr(theirs)  # repr: NaN equals NaN


def test_the_usual_form_never_needs_the_official_parser() -> None:
    request = {
        "resourceSpans": [
            {
                "resource": {"attributes": [pair("service.name", stringValue="chat-api")]},
                "scopeSpans": [
                    {
                        "scope": {"name": "openai", "version": "1"},
                        "spans": [
                            {
                                "traceId": "5b8efff798038103d269b633813fc60c",
                                "spanId": "eee19b7ec3c1b174",
                                "parentSpanId": "",
                                "flags": 257,
                                "name": "chat gpt-4o",
                                "kind": 3,
                                "startTimeUnixNano": "1544712660000000000",
                                "endTimeUnixNano": 1544712661000000000,
                                "attributes": [
                                    pair("gen_ai.usage.input_tokens", intValue="12"),
                                    pair("gen_ai.usage.output_tokens", intValue=-12),
                                    pair("stream", boolValue=True),
                                    pair("temperature", doubleValue=0.7),
                                    pair("reasons", arrayValue={"values": [{"stringValue": "s"}]}),
                                    pair("empty", arrayValue={}),
                                    pair("map", kvlistValue={"values": [pair("a", intValue=1)]}),
                                ],
                                "events": [{"timeUnixNano": "1", "name": "exception"}],
                                "links": [{"traceId": "00" * 16, "spanId": "00" * 8}],
                                "status": {"code": 2, "message": "overloaded"},
                            }
                        ],
                    }
                ],
            }
        ]
    }
    direct = ExportTraceServiceRequest.FromString(_json_spans.encode(orjson.dumps(request)))
    assert direct == ExportTraceServiceRequest.FromString(official(request))
    assert direct.resource_spans[0].scope_spans[0].spans[0].trace_id.hex().startswith("5b8efff7")


ODD = ("1.0", "1e3", " 1", "1_0", "+1", "-1", "-0", "01", "0x1", "", "\u0661", "NaN", "2" * 30)


@pytest.mark.parametrize("name", ["kind", "flags", "endTimeUnixNano", "droppedLinksCount", "name"])
@pytest.mark.parametrize("value", [*ODD, *map(int, ("3", "-1", "9" * 30)), 1.0, 0.5, True, None])
def test_odd_numbers_are_read_as_the_official_parser_does(name: str, value: object) -> None:
    data = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{name: value}]}]}]})
    ours = outcome(lambda _: traces_to_protobuf(data.encode()), {})
    assert ours == outcome(lambda _: official(orjson.loads(data)), {})


def test_what_was_encoded_before_is_found_by_its_very_bytes() -> None:
    """Also after more different attributes than are kept, and for ones too long to keep."""
    small = _json_spans._Encoded(bytes.upper, 2, 3)
    assert [small[raw] for raw in (b"a", b"b", b"a", b"c", b"a", b"long")] == [
        *(b"A", b"B", b"A", b"C", b"A", b"LONG")
    ]
    assert set(small) == {b"c", b"a"}


def test_unknown_fields_are_ignored() -> None:
    assert read_span(name="chat", fieldOfTheFuture={"a": [1]}).name == "chat"


@pytest.mark.parametrize("name", ["name", "future", "status"])
@pytest.mark.parametrize("spoilt", [b'"\xff"', b'"\\ud800"', b"01", b"[1,]"])
def test_broken_json_is_refused_in_any_field(name: str, spoilt: bytes) -> None:
    """Of a field that comes twice, the first is refused too."""
    data = span_json(**{name: "HERE"})
    for broken in (data, data.replace(b'"HERE"', b'"HERE","%b":{}' % name.encode())):
        with pytest.raises(ValueError, match="not JSON"):
            traces_to_protobuf(broken.replace(b'"HERE"', spoilt))


def pair(key: str, **value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


def test_equal_numbers_of_different_types_stay_apart() -> None:
    span = read_span(
        attributes=[
            pair("k", doubleValue=0.0),
            pair("k", doubleValue=-0.0),
            pair("k", doubleValue=1),
            pair("k", boolValue=True),
            pair("k", intValue=1),
        ]
    )
    assert [repr(a.value).strip() for a in span.attributes] == [
        "double_value: 0",
        "double_value: -0",
        "double_value: 1",
        "bool_value: true",
        "int_value: 1",
    ]


def test_names_in_snake_case_and_enums_by_name_are_read_too() -> None:
    span = read_span(trace_id="ab" * 16, kind="SPAN_KIND_CLIENT", end_time_unix_nano="7")
    assert (span.trace_id, span.kind, span.end_time_unix_nano) == (b"\xab" * 16, 3, 7)


def test_an_attribute_named_like_an_id_is_no_id() -> None:
    span = read_span(kind="SPAN_KIND_CLIENT", attributes=[pair("traceId", stringValue="no hex")])
    assert span.attributes[0].value.string_value == "no hex"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "not JSON: .*line 1 column"),
        (b"", "not JSON"),
        (b"[]", "a JSON list instead of an object"),
        (b'{"resourceSpans": 5}', "not an OTLP request: .*resourceSpans"),
        (span_json(traceId="xyz"), r"resourceSpans\[0\].scopeSpans\[0\].spans\[0\].traceId: 'xyz'"),
        (span_json(traceId=5), r"spans\[0\].traceId: an id is a string of hex digits, not int"),
        (span_json(endTimeUnixNano="-1"), r"spans.*endTimeUnixNano.*out of range"),
        (b'{"resourceSpans": [{"schemaUrl": "\\ud800"}]}', "not JSON"),
        (b'{"resourceSpans": [{"schemaUrl": "\xff"}]}', "not JSON"),
    ],
)
def test_errors_name_the_place(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        traces_to_protobuf(data)


def test_deep_json_is_refused_not_crashed_on() -> None:
    deep = b'{"arrayValue":{"values":[' * 300 + b"]}}" * 300
    data = span_json(attributes=[pair("k", stringValue="HERE")])
    with pytest.raises(ValueError, match="not"):
        traces_to_protobuf(data.replace(b'{"stringValue":"HERE"}', deep))


def test_metrics_with_exemplars() -> None:
    point = {
        "asInt": "5",
        "timeUnixNano": "9",
        "exemplars": [{"traceId": "ab" * 16, "spanId": "cd" * 8, "asDouble": 0.5}],
    }
    metric = {"name": "m", "sum": {"dataPoints": [point], "aggregationTemporality": 2}}
    data = orjson.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]})
    read = ExportMetricsServiceRequest.FromString(metrics_to_protobuf(data))
    got = read.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0]
    assert (got.as_int, got.time_unix_nano) == (5, 9)
    assert got.exemplars[0].trace_id == b"\xab" * 16
    with pytest.raises(ValueError, match=r"exemplars\[0\].spanId: 'zz' is no id"):
        metrics_to_protobuf(data.replace(b"cd" * 8, b"zz"))
