"""What the official SDK tells a Collector: two traces, a counter, a histogram, two events."""

import time

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

RESOURCE = Resource({"service.name": "chat-api", "deployment.environment.name": "tests"})
SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - name: calls
    objective: 99
    sli:
      spans:
        total: '{ resource.service.name = "chat-api" && span.gen_ai.operation.name = "chat" }'
        bad: '{ status = error }'
  - name: evaluations
    objective: 99
    sli:
      spans:
        total: '{ resource.service.name = "chat-api" && name = "gen_ai.evaluation.result" }'
        bad: '{ span.gen_ai.evaluation.score.value < 0.5 }'
  - name: requests
    objective: 99
    sli:
      metrics:
        total: 'llm_requests_total{job="chat-api"}'
        bad: 'llm_requests_total{job="chat-api",status="error"}'
  - name: slow
    objective: 90
    sli: {metrics: {histogram: 'llm_duration_seconds{job="chat-api"}', above: 2}}
"""
# Told once; (good, bad) of each SLO.
EVENTS = {"calls": (2, 1), "evaluations": (1, 1), "requests": (7, 0), "slow": (2, 1)}
# The SDK exports its points once when it is flushed, and once more when it is shut down.
MESSAGES = {"traces": 1, "metrics": 2, "logs": 1}


def say(url: str, *signals: str) -> None:
    """Send all of it, or some signals alone; returns once the Collector has taken it."""
    for signal, send in (("traces", _spans), ("metrics", _points), ("logs", _events)):
        if not signals or signal in signals:
            send(url)


def _spans(url: str) -> None:
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    tracer = provider.get_tracer("tests")
    for calls in (1, 2):
        with tracer.start_as_current_span("POST /answer", kind=SpanKind.SERVER):
            for number in range(calls):
                with tracer.start_as_current_span("chat gpt-4o", kind=SpanKind.CLIENT) as span:
                    span.set_attribute("gen_ai.operation.name", "chat")
                    span.set_attribute("gen_ai.request.model", "gpt-4o")
                    span.set_attribute("gen_ai.usage.input_tokens", 210)
                    if number == 1:
                        span.set_attribute("error.type", "RateLimitError")
                        span.set_status(Status(StatusCode.ERROR))
    assert provider.force_flush()
    provider.shutdown()


def _points(url: str) -> None:
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(f"{url}/v1/metrics"), export_interval_millis=3_600_000
    )
    provider = MeterProvider([reader], resource=RESOURCE)
    meter = provider.get_meter("tests")
    requests = meter.create_counter("llm.requests")
    requests.add(0, {"status": "error"})
    requests.add(7, {"status": "ok"})
    duration = meter.create_histogram(
        "llm.duration", unit="s", explicit_bucket_boundaries_advisory=[1, 2, 5]
    )
    for seconds in (0.5, 1.5, 9.0):
        duration.record(seconds, {"model": "gpt-4o"})
    assert provider.force_flush()
    provider.shutdown()


def _events(url: str) -> None:
    provider = LoggerProvider(resource=RESOURCE)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{url}/v1/logs")))
    logger = provider.get_logger("tests")
    for score, label in ((0.9, "pass"), (0.1, "fail")):
        now = time.time_ns()
        logger.emit(
            LogRecord(
                timestamp=now,
                observed_timestamp=now,
                severity_number=SeverityNumber.INFO,
                event_name="gen_ai.evaluation.result",
                attributes={
                    "gen_ai.evaluation.name": "relevance",
                    "gen_ai.evaluation.score.value": score,
                    "gen_ai.evaluation.score.label": label,
                },
            )
        )
    assert provider.force_flush()
    provider.shutdown()
