"""What a test sees of burnline_llm: its spans and its series, without any other test's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from burnline_llm import _guard
from burnline_llm._attribution import AttributionProcessor
from burnline_llm._metrics import PrometheusMetrics
from burnline_llm._otel_metrics import OtelMetrics
from burnline_llm._runtime import SCOPE, runtime
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest


class Seen:
    """What was told so far."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(AttributionProcessor())
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.registry = CollectorRegistry()

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    @property
    def span(self) -> ReadableSpan:
        (only,) = self.spans
        return only

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def page(self) -> str:
        return generate_latest(self.registry).decode()

    def points(self, name: str) -> list[Any]:
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@contextmanager
def seen(thresholds: tuple[float, ...] = ()) -> Iterator[Seen]:
    """A runtime of its own, put back afterwards."""
    before = dict(vars(runtime))
    count = _guard.count
    made = Seen()
    otel = OtelMetrics(thresholds, made.meters.get_meter(SCOPE))
    runtime.tracer = made.provider.get_tracer(SCOPE)
    runtime.observers = (PrometheusMetrics(made.registry, thresholds), otel)
    runtime.step_ended = otel.step_ended
    runtime.capture = None
    runtime.ready = True
    try:
        yield made
    finally:
        vars(runtime).update(before)
        _guard.count = count
