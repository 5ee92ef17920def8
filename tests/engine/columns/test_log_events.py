"""Log records to spans: against a plain reading, record by record."""

import math
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from engine.columns import log_events, otlp_json
from engine.columns.spans import Reader, Refused
from slo import llm
from slo.columns import Field, Kind

EVENT = "gen_ai.evaluation.result"
VALUE = "gen_ai.evaluation.score.value"
NAMES = (EVENT, "", "gen_ai.evaluation.results", "gen_ai.client.inference.operation.details")
OPERATION = KeyValue(key="gen_ai.operation.name", value=AnyValue(string_value="evaluation"))
KEYS = (
    OPERATION.key,
    VALUE,
    "gen_ai.evaluation.score.label",
    "gen_ai.evaluation.name",
    "event.name",
    "k",
)
TEXTS = (*NAMES, "0.5", "-1e3", "nan", "Infinity", "high", "日本語")
VALUES = st.one_of(
    st.builds(AnyValue, string_value=st.sampled_from(TEXTS)),
    st.builds(AnyValue, double_value=st.floats()),
    st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.builds(AnyValue, bytes_value=st.binary(max_size=3)),
    st.just(AnyValue()),
)


@st.composite
def records(draw: st.DrawFn) -> LogRecord:
    record = LogRecord(
        time_unix_nano=draw(st.sampled_from((0, 5, 10**18))),
        observed_time_unix_nano=draw(st.sampled_from((0, 7))),
        event_name=draw(st.sampled_from(NAMES)),
        trace_id=draw(st.sampled_from((b"", b"t" * 16, b"short"))),
        span_id=draw(st.sampled_from((b"", b"s" * 8))),
        body=draw(VALUES),
    )
    for key in draw(st.lists(st.sampled_from(KEYS), max_size=5)):
        record.attributes.append(KeyValue(key=key, value=draw(VALUES)))
    return record


@st.composite
def requests(draw: st.DrawFn) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    for name in draw(st.lists(st.sampled_from(("a", "b")), max_size=3)):
        resource = request.resource_logs.add(schema_url=name)
        resource.resource.attributes.add(key="service.name").value.string_value = name
        for _ in range(draw(st.integers(0, 2))):
            scope = resource.scope_logs.add(schema_url="s")
            scope.log_records.extend(draw(st.lists(records(), max_size=4)))
    return request


@dataclass
class Plain:
    """An event as the oracle reads it."""

    service: str
    time: int
    attributes: list[tuple[str, AnyValue]]
    parent: bytes
    trace: bytes


def _plain(request: ExportLogsServiceRequest) -> tuple[list[Plain], int, int]:
    found, ignored, rejected = [], 0, 0
    for resource in request.resource_logs:
        [service] = [pair.value.string_value for pair in resource.resource.attributes]
        for record in (r for scope in resource.scope_logs for r in scope.log_records):
            attributes = {pair.key: pair.value for pair in record.attributes}
            name = record.event_name
            if not name and "event.name" in attributes:
                name = attributes["event.name"].string_value
            if name != EVENT:
                ignored += 1
                continue
            time = record.time_unix_nano or record.observed_time_unix_nano
            if not time:
                rejected += 1
                continue
            own = ("event.name", OPERATION.key)
            kept = [(p.key, p.value) for p in record.attributes if p.key not in own]
            found.append(Plain(service, time, kept, record.span_id, record.trace_id))
    return found, ignored, rejected


def _same_value(key: str, was: AnyValue, now: AnyValue) -> bool:
    if key == VALUE and was.WhichOneof("value") == "string_value":
        try:
            number = float(was.string_value)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return now == AnyValue(double_value=number)
    return was.SerializeToString() == now.SerializeToString()


@given(requests())
def test_events_are_spans_and_all_else_is_only_counted(request: ExportLogsServiceRequest) -> None:
    events = log_events.events(request.SerializeToString())
    plain, ignored, rejected = _plain(request)
    assert (events.events, events.ignored, events.rejected) == (len(plain), ignored, rejected)
    assert bool(events.body) == bool(plain)
    traces = ExportTraceServiceRequest.FromString(events.body)
    spans: list[tuple[str, Span]] = []
    for resource in traces.resource_spans:
        [service] = [pair.value.string_value for pair in resource.resource.attributes]
        assert resource.schema_url == service
        spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]
    for (service, span), one in zip(spans, plain, strict=True):
        assert (service, span.name) == (one.service, EVENT)
        assert span.start_time_unix_nano == span.end_time_unix_nano == one.time
        assert (span.parent_span_id, span.trace_id) == (one.parent, one.trace)
        assert len(span.span_id) == 8
        *attributes, operation = span.attributes
        assert operation == OPERATION
        assert [pair.key for pair in attributes] == [key for key, _ in one.attributes]
        for pair, (key, was) in zip(attributes, one.attributes, strict=True):
            assert _same_value(key, was, pair.value)


@given(requests())
def test_the_same_record_is_the_same_span(request: ExportLogsServiceRequest) -> None:
    body = request.SerializeToString()
    assert log_events.events(body) == log_events.events(body)


def test_records_that_differ_are_different_spans() -> None:
    request = ExportLogsServiceRequest()
    for service in ("a", "b"):
        resource = request.resource_logs.add()
        resource.resource.attributes.add(key="service.name").value.string_value = service
        records = resource.scope_logs.add().log_records
        for time in (1, 2):
            records.add(event_name=EVENT, time_unix_nano=time)
    traces = ExportTraceServiceRequest.FromString(
        log_events.events(request.SerializeToString()).body
    )
    ids = {s.span_id for r in traces.resource_spans for sc in r.scope_spans for s in sc.spans}
    assert len(ids) == 4


@given(st.binary(max_size=60) | requests().map(lambda r: r.SerializeToString()[:-1]))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(Refused):
        assert log_events.events(data).events >= 0


@pytest.mark.parametrize(
    ("value", "kind", "number"),
    [
        ('{"doubleValue": 0.25}', Kind.FLOAT, 0.25),
        ('{"intValue": "3"}', Kind.INT, 3),
        ('{"stringValue": " 1e-1 "}', Kind.FLOAT, 0.1),
        ('{"stringValue": "high"}', Kind.STRING, None),
        ('{"stringValue": "inf"}', Kind.STRING, None),
        ('{"doubleValue": "NaN"}', Kind.FLOAT, math.nan),
        ('{"boolValue": true}', Kind.BOOL, 1),
    ],
)
def test_scores_as_the_flow_reads_them(value: str, kind: Kind, number: float | None) -> None:
    text = (
        '{"resourceLogs":[{"resource":{},"scopeLogs":[{"logRecords":[{"timeUnixNano":"5",'
        f'"eventName":"{EVENT}","traceId":"{"ab" * 16}","spanId":"{"cd" * 8}",'
        f'"body":{{"stringValue":"secret"}},"attributes":[{{"key":"{VALUE}","value":{value}}}]'
        "}]}]}]}"
    )
    found = log_events.events(otlp_json.logs_to_protobuf(text.encode()))
    assert b"secret" not in found.body
    score, name = Field("span", VALUE), Field("intrinsic", "name")
    batch = Reader([score, name]).read([found.body])
    assert batch.trace_ids.tobytes() == bytes.fromhex("ab" * 16)
    assert batch.end_ns.tolist() == [5]
    assert batch.strings[batch.columns[name].bits[0]] == EVENT
    column = batch.columns[score]
    assert column.kinds[0] == kind
    if kind is Kind.FLOAT:
        assert column.bits.view(float)[0] == pytest.approx(number, nan_ok=True)
    elif number is not None:
        assert column.bits[0] == number


def _call(resource: str = "chat-api") -> tuple[ExportTraceServiceRequest, Span]:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add()
    spans.resource.attributes.add(key="service.name").value.string_value = resource
    call = spans.scope_spans.add().spans.add(
        name="chat m", trace_id=b"t" * 16, span_id=b"s" * 8, end_time_unix_nano=50
    )
    for key, value in (
        ("gen_ai.operation.name", "chat"), ("llm.model_name", "m"), ("tenant", "x" * 600),
        ("tenant.id", "acme"), ("gen_ai.usage.cost", "3"), ("gen_ai.response.id", "r"),
    ):  # fmt: skip
        call.attributes.add(key=key).value.string_value = value
    return request, call


def test_an_event_of_a_span_is_a_span_beside_it() -> None:
    request, call = _call()
    event = call.events.add(name=EVENT, time_unix_nano=90)
    event.attributes.add(key=VALUE).value.string_value = "0.5"
    event.attributes.add(key="tenant.id").value.string_value = "other"
    call.events.add(name="exception", time_unix_nano=91)
    call.events.add(name=EVENT)  # without a time of its own
    before = request.SerializeToString()
    after = ExportTraceServiceRequest.FromString(log_events.with_span_events(before))
    kept, added = after.resource_spans
    assert kept == request.resource_spans[0]
    assert added.resource == kept.resource
    first, second = added.scope_spans[0].spans
    assert (first.name, first.end_time_unix_nano, second.end_time_unix_nano) == (EVENT, 90, 50)
    assert (first.trace_id, first.parent_span_id) == (call.trace_id, call.span_id)
    assert {p.key: p.value.string_value or p.value.double_value for p in first.attributes} == {
        VALUE: 0.5, "tenant.id": "other", "llm.model_name": "m",
        "gen_ai.operation.name": "evaluation",
    }  # fmt: skip
    # The engine sees one call, and two evaluations of it by model and tenant.
    model = Field("span", "gen_ai.request.model")
    batch = Reader([llm.CALL, model]).read([after.SerializeToString()])
    assert batch.columns[llm.CALL].bits.tolist() == [1, 0, 0]
    assert batch.columns[model].kinds.tolist() == [Kind.STRING] * 3


def test_payloads_without_such_events_stay_the_very_same() -> None:
    request, call = _call()
    call.events.add(name="gen_ai.choice")
    payload = request.SerializeToString()
    assert log_events.with_span_events(payload) is payload
    assert log_events.with_span_events(b"") == b""
    for broken in (EVENT.encode(), EVENT.encode() + bytes(16 << 20)):
        with pytest.raises(Refused):
            log_events.with_span_events(broken)
