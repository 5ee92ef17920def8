"""What is wrong with JSON is said without a word of it."""

import json
from typing import Any

import pytest

from engine.columns import otlp_json
from engine.columns._json_refusals import without_values

CANARY = "the canary sings: resourceSpans[0] 'at' ExportTraceServiceRequest.resourceSpans[0]"


def spans(span: Any) -> Any:
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def attribute(value: Any) -> Any:
    return spans({"attributes": [{"key": "input.value", "value": value}]})


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (CANARY, "not an OTLP request: a JSON str instead of an object"),
        ([CANARY], "not an OTLP request: a JSON list instead of an object"),
        ({"resourceSpans": CANARY}, "Failed to parse resourceSpans field: a value that does not fit"),
        (
            attribute({"intValue": CANARY}),
            "ExportTraceServiceRequest.resourceSpans[0].scopeSpans[0].spans[0].attributes[0].value.intValue",
        ),
        (attribute({"doubleValue": CANARY}), "resourceSpans[0].scopeSpans[0].spans[0].attributes[0]"),
        (attribute({"boolValue": CANARY}), "a value that does not fit at Export"),
        (attribute({"stringValue": [CANARY]}), "a value that does not fit"),
        (attribute({"stringValue": CANARY, "intValue": 1}), "a value that does not fit"),
        (spans({"startTimeUnixNano": CANARY}), "Failed to parse startTimeUnixNano field"),
        (spans({"flags": CANARY}), "Failed to parse flags field"),
        (spans({"name": {CANARY: CANARY}}), "Failed to parse name field"),
        (spans({"events": CANARY}), "Failed to parse events field"),
        (spans({"events": {CANARY: 1}}), "Failed to parse events field"),
        (
            spans({"traceId": CANARY}),
            "resourceSpans[0].scopeSpans[0].spans[0].traceId: an id is a string of hex digits",
        ),
        (
            spans({"links": [{"spanId": {CANARY: CANARY}}]}),
            "links[0].spanId: an id is a string of hex digits",
        ),
    ],
)  # fmt: skip
def test_no_value_is_quoted(request_: Any, said: str) -> None:
    with pytest.raises(ValueError, match=r"OTLP|hex") as refused:
        otlp_json.traces_to_protobuf(json.dumps(request_).encode())
    message = without_values(str(refused.value))
    assert said in message
    assert "canary" not in message


@pytest.mark.parametrize(
    "body", [b"", b"canary", b'{"resourceSpans": [{"canary', b'{"canary": "\xff"}']
)
def test_what_is_no_json_is_located(body: bytes) -> None:
    with pytest.raises(ValueError, match="not JSON") as refused:
        otlp_json.metrics_to_protobuf(body)
    message = without_values(str(refused.value))
    assert message == str(refused.value)
    assert "line 1 column" in message
    assert "canary" not in message


def test_metrics_too() -> None:
    point = {"asInt": CANARY}
    metrics = [{"name": "m", "sum": {"dataPoints": [point]}}]
    request = {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}
    with pytest.raises(ValueError, match="asInt") as refused:
        otlp_json.metrics_to_protobuf(json.dumps(request).encode())
    message = without_values(str(refused.value))
    assert message.endswith(".scopeMetrics[0].metrics[0].sum.dataPoints[0].asInt")
    assert "canary" not in message
