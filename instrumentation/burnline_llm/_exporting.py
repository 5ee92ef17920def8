"""Exporters of traces and metrics by OTLP, that are quiet when nobody takes what they send."""

import logging
import os
import threading
import time

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_SECONDS_BETWEEN_WARNINGS = 60.0
_NOISY = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.metrics._internal.export",
    "opentelemetry.exporter.http.transport",
)


class OnceAMinute(logging.Filter):
    """Lets one record a minute through, whatever it says: an exporter that is down fails at every batch."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - any record
        """Whether to log the record."""
        now = time.monotonic()
        with self._lock:
            if now < self._next:
                return False
            self._next = now + _SECONDS_BETWEEN_WARNINGS
            return True


_filter = OnceAMinute()


def quiet() -> None:
    """Have the exporters' loggers say so once a minute, not at every batch."""
    for name in _NOISY:
        logging.getLogger(name).addFilter(_filter)


def wanted(signal: str, endpoint: str | None) -> bool:
    """Whether a signal (`TRACES`, `METRICS`, `LOGS`) is to be exported, by the argument or OTEL_…."""
    chosen = os.environ.get(f"OTEL_{signal}_EXPORTER")
    if chosen is not None and "otlp" not in chosen.split(","):
        return False
    return bool(
        endpoint
        or chosen
        or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        or os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    )


def url(endpoint: str | None, path: str) -> str | None:
    """Where to send a signal to; None where the environment says it."""
    return None if endpoint is None else f"{endpoint.rstrip('/')}/v1/{path}"


def span_processor(endpoint: str | None) -> SpanProcessor:
    """Exports spans in batches, in a thread."""
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=url(endpoint, "traces")))


def metric_reader(endpoint: str | None) -> MetricReader:
    """Exports metrics periodically, in a thread."""
    return PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=url(endpoint, "metrics")))


def log_processor(endpoint: str | None) -> LogRecordProcessor:
    """Exports log records in batches, in a thread."""
    return BatchLogRecordProcessor(OTLPLogExporter(endpoint=url(endpoint, "logs")))
