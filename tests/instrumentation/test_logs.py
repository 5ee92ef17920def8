"""Lines as JSON with the trace's ids; as OTLP records a real exporter sends them."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from burnline_llm._attribution import attributed
from burnline_llm._call_logs import CallLogs
from burnline_llm._calls import Call
from burnline_llm._evaluations import _tell_once, evaluation
from burnline_llm._logs import Logs, add_trace_ids
from burnline_llm._runtime import runtime
from opentelemetry import trace
from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider


@pytest.fixture
def written(monkeypatch):
    stream = io.StringIO()
    logs = Logs("chat", stream=stream)
    monkeypatch.setattr(runtime, "observers", (CallLogs(logs),))
    monkeypatch.setattr(runtime, "ready", True)
    monkeypatch.setattr(runtime, "tracer", TracerProvider().get_tracer("t"))
    return stream


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_the_lines_of_a_call(written) -> None:
    with attributed(tenant="acme", request_id="r1"), Call("openai", "gpt-4o") as call:
        call.usage(input_tokens=1000, output_tokens=10)
        call.finish("stop")
    started, completed = lines(written)
    context = call.span.get_span_context()
    for line in (started, completed):
        assert line["trace_id"] == f"{context.trace_id:032x}"
        assert line["span_id"] == f"{context.span_id:016x}"
        assert (line["model"], line["provider"], line["service"]) == ("gpt-4o", "openai", "chat")
        assert (line["tenant"], line["request_id"]) == ("acme", "r1")
    assert started["event"] == "llm_request_started"
    assert completed["event"] == "llm_request_completed"
    assert completed["level"] == "info"
    assert (completed["input_tokens"], completed["finish_reason"]) == (1000, "stop")
    assert completed["cost_usd"] == pytest.approx(0.0026)


def test_a_failure_is_told_without_its_message(written) -> None:
    with pytest.raises(ValueError, match="the prompt"), Call("openai", "gpt-4o"):
        raise ValueError("the prompt was: my secret")
    failed = lines(written)[-1]
    assert (failed["event"], failed["level"]) == ("llm_request_failed", "error")
    assert failed["error_type"] == "ValueError"
    assert "secret" not in written.getvalue()


def test_a_stream_that_ends_elsewhere_still_names_its_span(written) -> None:
    with Call("openai", "gpt-4o") as call:
        stream = call.stream(iter([{}, {}]))
    list(stream)
    assert lines(written)[-1]["span_id"] == f"{call.span.get_span_context().span_id:016x}"


def test_an_applications_own_structlog_gets_the_ids() -> None:
    with TracerProvider().get_tracer("t").start_as_current_span("s") as span:
        line = add_trace_ids(None, "info", {"event": "x"})
    assert line["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert add_trace_ids(None, "info", {"event": "x"}) == {"event": "x"}


@pytest.fixture
def receiver():
    """An OTLP/HTTP receiver of logs, by the official protobuf."""
    records = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
                records.extend(
                    record for scope in resource.scope_logs for record in scope.log_records
                )
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    provider = LoggerProvider()
    exporter = OTLPLogExporter(endpoint=f"http://127.0.0.1:{server.server_port}/v1/logs")
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    yield provider, records
    server.shutdown()
    server.server_close()


def _attributes(record) -> dict[str, object]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in record.attributes}


def test_lines_as_records(receiver) -> None:
    provider, records = receiver
    logs = Logs("chat", written=False, otlp=provider)
    with TracerProvider().get_tracer("t").start_as_current_span("s") as span:
        logs.completed({"model": "m", "input_tokens": 3, "cost_usd": 0.5, "odd": ["x"]})
    (record,) = records
    assert record.body.string_value == "llm_request_completed"
    assert record.trace_id == span.get_span_context().trace_id.to_bytes(16, "big")
    assert record.span_id == span.get_span_context().span_id.to_bytes(8, "big")
    assert record.severity_text == "INFO"
    assert _attributes(record) == {"model": "m", "input_tokens": 3, "cost_usd": 0.5, "odd": "['x']"}


def test_an_evaluation_minutes_later(receiver) -> None:
    provider, records = receiver
    span = TracerProvider().get_tracer("t").start_span("chat m")
    span.end()
    evaluation(
        "relevance",
        0.25,
        label="fail",
        response_id="r",
        context=trace.set_span_in_context(span),
        provider=provider,
    )
    (record,) = records
    assert record.event_name == "gen_ai.evaluation.result"
    assert record.span_id == span.get_span_context().span_id.to_bytes(8, "big")
    assert _attributes(record) == {
        "gen_ai.evaluation.name": "relevance",
        "gen_ai.evaluation.score.value": 0.25,
        "gen_ai.evaluation.score.label": "fail",
        "gen_ai.response.id": "r",
    }


@pytest.mark.parametrize(("score", "label"), [(None, None), (float("nan"), None)])
def test_an_evaluation_of_nothing_is_refused(score, label) -> None:
    with pytest.raises(ValueError, match="relevance"):
        evaluation("relevance", score, label=label)


def test_an_evaluation_that_nobody_takes_is_told_once(caplog) -> None:
    _tell_once.cache_clear()
    for _ in range(2):
        evaluation("relevance", 0.5, provider=NoOpLoggerProvider())
    assert caplog.text.count("go nowhere") == 1
