"""Logs: what counts of them is stored as traces, and everything is acknowledged."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import (
    OTLPLogExporter as GrpcLogExporter,
)
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpSpanExporter,
)
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from engine.columns import content, spans
from tests.engine.receivers.test_receivers import (
    LOG_METHOD,
    PROTOBUF,
    Running,
    call,
    post,
    start,
)

EVENT = "gen_ai.evaluation.result"
SECRET = "the patient said"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    spans.warm_up()  # which takes longer in a new checkout than a client waits
    content.warm_up()
    running = start(tmp_path_factory.mktemp("spool"))
    yield running
    running.service.stop()
    running.spool.close()


@pytest.fixture
def running(shared: Running) -> Running:
    """With an empty spool."""
    shared.spool.delete_through(shared.spool.last_id()).result(10)
    return shared


def logs(events: int = 1, others: int = 0, timeless: int = 0) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for _ in range(events):
        records.add(time_unix_nano=9, event_name=EVENT)
    for _ in range(timeless):
        records.add(event_name=EVENT)
    for _ in range(others):
        records.add(time_unix_nano=9).body.string_value = SECRET
    for record in records:
        record.body.string_value = SECRET
        record.attributes.add(key="gen_ai.evaluation.explanation").value.string_value = SECRET
        record.attributes.add(key="gen_ai.evaluation.score.label").value.string_value = "pass"
    return request


def stored_spans(running: Running) -> list[Span]:
    bodies = [body for signal, body in running.stored() if signal == "traces"]
    assert len(bodies) == len(running.stored())
    assert not any(SECRET.encode() in body for body in bodies)
    requests = map(ExportTraceServiceRequest.FromString, bodies)
    return [
        s for request in requests for r in request.resource_spans
        for scope in r.scope_spans for s in scope.spans
    ]  # fmt: skip


def counted(running: Running) -> dict[str, float]:
    names = ("received_payloads", "received_items", "rejected_items", "received_bytes")
    found = {
        n: running.counted(f"burnline_{n}_total", signal="logs", protocol="http") for n in names
    }
    ignored = running.counted("burnline_ignored_log_records_total", protocol="http")
    return found | {"ignored": ignored}


@pytest.mark.parametrize("how", ["protobuf", "gzip", "json"])
def test_http(running: Running, how: str) -> None:
    request = logs(events=2, others=3)
    body, content_type = request.SerializeToString(), PROTOBUF
    if how == "json":
        body, content_type = MessageToJson(request).encode(), "application/json"
    encoding = "gzip" if how == "gzip" else "identity"
    before = counted(running)
    sent = gzip.compress(body) if how == "gzip" else body
    status, _, answer = post(
        f"{running.http}/v1/logs", sent, content_type, Content_Encoding=encoding
    )
    assert (status, answer) == (200, b"{}" if how == "json" else b"")
    after = counted(running)
    assert {name: after[name] - before[name] for name in after} == {
        "received_payloads": 1, "received_items": 2, "rejected_items": 0,
        "received_bytes": len(body), "ignored": 3,
    }  # fmt: skip
    stored = stored_spans(running)
    assert [(span.name, span.end_time_unix_nano) for span in stored] == [(EVENT, 9)] * 2
    labels = {p.key: p.value.string_value for p in stored[0].attributes}
    assert labels["gen_ai.evaluation.score.label"] == "pass"


def test_logs_without_events_are_acknowledged_and_not_stored(running: Running) -> None:
    for request in (logs(events=0, others=5), logs(events=0), ExportLogsServiceRequest()):
        assert post(f"{running.http}/v1/logs", request.SerializeToString())[0] == 200
        assert call(running.grpc, LOG_METHOD, request.SerializeToString()) == b""
    assert not running.stored()


def test_partial_success_names_events_without_a_time(running: Running) -> None:
    body = logs(events=1, others=1, timeless=2).SerializeToString()
    answers = [call(running.grpc, LOG_METHOD, body), post(f"{running.http}/v1/logs", body)[2]]
    for answer in answers:
        partial = ExportLogsServiceResponse.FromString(answer).partial_success
        assert partial.rejected_log_records == 2
        assert "time_unix_nano" in partial.error_message
    text = MessageToJson(logs(timeless=1)).encode()
    answer = post(f"{running.http}/v1/logs", text, "application/json")[2]
    assert json.loads(answer)["partialSuccess"]["rejectedLogRecords"] == "1"
    assert len(stored_spans(running)) == 3


def test_limits_are_those_of_payloads_that_are_parsed(tmp_path: Path) -> None:
    running = start(tmp_path)
    try:
        large = logs()
        large.resource_logs[0].schema_url = "x" * (16 << 20)
        body = large.SerializeToString()
        assert post(f"{running.http}/v1/logs", body)[0] == 413
        with pytest.raises(grpc.RpcError) as caught:
            call(running.grpc, LOG_METHOD, body)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert post(f"{running.http}/v1/logs", logs().SerializeToString(), method="PUT")[0] == 405
        assert not running.stored()
    finally:
        running.service.stop()
        running.spool.close()


def test_a_full_spool_asks_for_a_retry(tmp_path: Path) -> None:
    running = start(tmp_path, max_bytes=300)
    url, body = f"{running.http}/v1/logs", logs(events=3).SerializeToString()
    try:
        while post(url, body)[0] == 200:
            assert len(running.stored()) < 10
        assert (post(url, body)[0], post(url, body)[1]["Retry-After"]) == (429, "2")
        # What would not be stored needs no room.
        assert post(url, logs(events=0, others=3).SerializeToString())[0] == 200
    finally:
        running.service.stop()
        running.spool.close()


@pytest.mark.parametrize("protocol", ["grpc", "http", "http-gzip"])
def test_the_official_exporters(running: Running, protocol: str) -> None:
    """An evaluation as OpenTelemetry's SDK emits it, beside an ordinary log line."""
    exporter: Any
    if protocol == "grpc":
        exporter = GrpcLogExporter(endpoint=running.grpc, insecure=True)
    else:
        packed = Compression.Gzip if protocol == "http-gzip" else Compression.NoCompression
        exporter = HttpLogExporter(endpoint=f"{running.http}/v1/logs", compression=packed)
    provider = LoggerProvider(Resource({"service.name": "judge"}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("evaluator")
    tracer = TracerProvider().get_tracer("t")
    with tracer.start_as_current_span("chat") as chat:
        logger.emit(body=SECRET)
        logger.emit(
            event_name=EVENT,
            attributes={
                "gen_ai.evaluation.name": "Relevance",
                "gen_ai.evaluation.score.value": 0.25,
                "gen_ai.evaluation.explanation": SECRET,
                "gen_ai.response.id": "chatcmpl-123",
            },
        )
    provider.shutdown()
    [span] = stored_spans(running)
    context = chat.get_span_context()
    assert span.trace_id == context.trace_id.to_bytes(16, "big")
    assert span.parent_span_id == context.span_id.to_bytes(8, "big")
    attributes: dict[str, Message] = {pair.key: pair.value for pair in span.attributes}
    assert attributes["gen_ai.evaluation.score.value"].double_value == 0.25  # type: ignore[attr-defined]
    assert span.end_time_unix_nano > 10**18


def test_an_evaluation_on_a_span_is_stored_beside_it(running: Running) -> None:
    provider = TracerProvider(resource=Resource({"service.name": "chat-api"}))
    exporter = HttpSpanExporter(endpoint=f"{running.http}/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("t").start_as_current_span("chat m") as chat:
        chat.set_attribute("gen_ai.request.model", "m")
        chat.add_event(EVENT, {"gen_ai.evaluation.score.value": 0.5})
    provider.shutdown()
    call, evaluation = stored_spans(running)
    assert (call.name, evaluation.name, evaluation.parent_span_id) == (
        "chat m",
        EVENT,
        call.span_id,
    )
    assert {pair.key for pair in evaluation.attributes} == {
        "gen_ai.evaluation.score.value", "gen_ai.request.model", "gen_ai.operation.name",
    }  # fmt: skip
