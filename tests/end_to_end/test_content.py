"""Prompts and completions are on no disk, in no log and on no page, unless asked for."""

import json
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Status, StatusCode

from engine.columns._content_names import table
from tests.end_to_end.engines import Engine
from tests.servers import eventually

CANARY = "the canary sings"
SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - name: availability
    objective: 99
    sli:
      spans:
        total: '{ span.gen_ai.operation.name = "chat" }'
        bad: '{ status = error }'
  - name: requests
    objective: 99
    sli:
      metrics:
        total: 'llm_requests_total'
        bad: 'llm_requests_total{status="error"}'
"""
MANY = SpanLimits(
    max_span_attributes=10_000, max_event_attributes=10_000, max_link_attributes=10_000
)
NAMES = [name.replace("*", "0") for name in table().content]

pytestmark = pytest.mark.timeout(240)


class Keeping(Engine):
    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"BURNLINE_KEEP_CONTENT": "true"}


def _send_spans(exporter: Grpc | Http) -> None:
    spoken = {name: f"{CANARY}: {name}" for name in NAMES}
    many = {"gen_ai.output.messages": [CANARY, CANARY], "prompt": CANARY}
    provider = TracerProvider(
        resource=Resource({"service.name": "chat-api", **spoken}), span_limits=MANY
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("tests", attributes=many)
    with tracer.start_as_current_span("first") as first:
        link = Link(first.get_span_context(), spoken)
    with tracer.start_as_current_span("chat", links=[link], attributes=spoken | many) as span:
        span.set_attribute("gen_ai.operation.name", "chat")
        span.add_event("gen_ai.content.prompt", spoken)
        span.record_exception(ValueError(CANARY))
        span.set_status(Status(StatusCode.ERROR, CANARY))
    assert provider.force_flush()
    provider.shutdown()


def _send_metrics(engine: Engine) -> None:
    exporter = OTLPMetricExporter(
        endpoint=f"http://127.0.0.1:{engine.ports['grpc']}", insecure=True
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    meters = MeterProvider([reader], resource=Resource({"service.name": "chat-api"}))
    counter = meters.get_meter("tests").create_counter("llm.requests")
    for status, question in (("ok", CANARY), ("error", CANARY), ("ok", CANARY + "!")):
        counter.add(1, {"status": status, "question": question})
    assert meters.force_flush()
    meters.shutdown()


def _send_json(engine: Engine) -> None:
    said = {"key": "gen_ai.input.messages", "value": {"stringValue": CANARY}}
    chat = {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}
    now = str(time.time_ns())
    span = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "chat", "endTimeUnixNano": now}
    good = span | {"attributes": [said, chat]}
    _post(engine, good)
    for bad in ({"startTimeUnixNano": CANARY}, {"traceId": CANARY}):
        with pytest.raises(urllib.error.HTTPError) as refused:
            _post(engine, good | bad)
        assert refused.value.code == 400
        assert CANARY not in refused.value.read().decode()


def _post(engine: Engine, span: dict[str, Any]) -> None:
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    url = f"http://127.0.0.1:{engine.ports['http']}/v1/traces"
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=20):
        pass


def _send(engine: Engine) -> None:
    _send_spans(Grpc(endpoint=f"http://127.0.0.1:{engine.ports['grpc']}", insecure=True))
    _send_spans(Http(endpoint=f"http://127.0.0.1:{engine.ports['http']}/v1/traces"))
    _send_metrics(engine)
    _send_json(engine)


def _has_canary(engine: Engine) -> list[str]:
    """Where the canary is: files, and pages by their paths."""
    files = [*(engine.directory / "data").rglob("*"), engine.log]
    found = []
    for file in files:
        try:
            if file.is_file() and CANARY.encode() in file.read_bytes():
                found.append(file.name)
        except FileNotFoundError:
            continue  # SQLite's files come and go
    return found + [path for path in ("/metrics", "/readyz") if CANARY in engine.get(path)]


def _counted(engine: Engine) -> bool:
    counts = engine.counts()
    spans, points = (counts.get((name, "bad"), 0) for name in ("availability", "requests"))
    return (spans, counts.get(("availability", "good")), points) == (2, 1, 1)


def _snapshots(directory: Path) -> dict[str, float]:
    return {f.name: f.stat().st_mtime for f in (directory / "data" / "recovery").iterdir()}


def test_nothing_that_was_said_is_stored(tmp_path: Path) -> None:
    engine = Engine(tmp_path, SLOS)
    engine.start()
    try:
        _send(engine)
        assert _has_canary(engine) == []
        assert (tmp_path / "data" / "spool.db").exists()
        eventually(lambda: _counted(engine), 60)
        before = _snapshots(tmp_path)
        eventually(lambda: _snapshots(tmp_path) != before, 60)
        assert _has_canary(engine) == []
        lines = engine.get("/metrics").splitlines()
        redacted = [line for line in lines if line.startswith("burnline_redacted_values_total")]
        values = {line.split('"')[1]: float(line.split()[-1]) for line in redacted}
        assert values["traces"] > 2 * 4 * len(NAMES)
        assert values["metrics"] >= 3  # the SDK may send the same points again at its end
        # Read again after a crash, and moved about by SQLite at the end.
        engine.stop(signal.SIGKILL)
        engine.start()
        eventually(lambda: _counted(engine), 60)
        assert _has_canary(engine) == []
    finally:
        engine.stop()
    data = tmp_path / "data"
    assert not [f for f in data.rglob("*") if f.is_file() and CANARY.encode() in f.read_bytes()]


def test_it_is_stored_when_asked_for(tmp_path: Path) -> None:
    engine = Keeping(tmp_path, SLOS)
    engine.start()
    try:
        _send(engine)
        assert _has_canary(engine)
        eventually(lambda: _counted(engine), 60)
        assert any("--keep-content" in entry["event"] for entry in engine.logged())
    finally:
        engine.stop(signal.SIGKILL)


def test_what_an_slo_names_is_stored_and_the_log_says_so(tmp_path: Path) -> None:
    engine = Engine(
        tmp_path, SLOS.replace("status = error", 'span.message = "the canary sings: message"')
    )
    engine.start()
    try:
        _send(engine)
        kept = [e["attribute"] for e in engine.logged() if "names it" in e["event"]]
        assert kept == ["message"]
        counts = ("availability", "bad")
        eventually(lambda: engine.counts().get(counts) == 2, 60)
        assert [name for name in _has_canary(engine) if not name.startswith("spool.db")] == []
        assert _has_canary(engine)
    finally:
        engine.stop(signal.SIGKILL)
