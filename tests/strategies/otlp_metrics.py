"""Metric writers as they behave: what an application records, exports, repeats and restarts."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.sdk.metrics import Counter as SdkCounter
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

Step = (
    tuple[Literal["call"], str, str, float] | tuple[Literal["export", "again", "flush", "restart"]]
)

STATUSES = ("ok", "error", "timeout")
TENANTS = ("a", "b")
# On and around the edges of the SDK's default buckets, and a bound between two of them.
SECONDS = (0.0, 0.5, 4.99, 5.0, 5.01, 7.5, 10.0, 10.1, 60.0, 12_000.0)

calls = st.tuples(
    st.just("call"),
    st.sampled_from(STATUSES),
    st.sampled_from(TENANTS),
    st.sampled_from(SECONDS) | st.floats(min_value=0, max_value=1e6),
)
steps = st.lists(
    calls | st.tuples(st.sampled_from(["export", "again", "flush", "restart"])), max_size=25
)


@dataclass
class Application:
    """A process with the official SDK that counts its calls; `payloads` is what it exported."""

    cumulative: bool
    exponential: bool = False
    payloads: list[bytes] = field(default_factory=list)
    recorded: list[tuple[str, str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._start()

    def run(self, step: Step) -> None:
        match step:
            case ("call", status, tenant, seconds):
                attributes = {"status": status, "tenant.id": tenant}
                self._calls.add(1, attributes)
                if status == "ok":
                    self._answered.add(1, attributes)
                self._seconds.record(seconds, attributes)
                self.recorded.append((status, tenant, seconds))
            case ("export",):
                self._export()
            case ("again",):
                self.payloads += self.payloads[-1:]
            case ("flush",):
                self._export()
                self._export()
            case ("restart",):
                self.stop()
                self._start()

    def stop(self) -> None:
        self._export()
        self._provider.shutdown()

    def bad_by_tenant(self) -> Counter[str]:
        return Counter(tenant for status, tenant, _ in self.recorded if status != "ok")

    def total_by_tenant(self) -> Counter[str]:
        return Counter(tenant for _, tenant, _ in self.recorded)

    def _start(self) -> None:
        temporality = (
            AggregationTemporality.CUMULATIVE if self.cumulative else AggregationTemporality.DELTA
        )
        aggregation: dict[type, Any] = {}
        views = []
        if self.exponential:
            views = [
                View(instrument_type=Histogram, aggregation=ExponentialBucketHistogramAggregation())
            ]
        self._reader = InMemoryMetricReader(
            preferred_temporality={SdkCounter: temporality, Histogram: temporality},
            preferred_aggregation=aggregation,
        )
        resource = Resource({"service.name": "chat-api", "service.namespace": "llm"})
        self._provider = MeterProvider([self._reader], resource, views=views)
        meter = self._provider.get_meter("app", "1.0")
        self._calls = meter.create_counter("llm.requests", "{request}")
        self._answered = meter.create_counter("llm.answers", "1")
        self._seconds = meter.create_histogram("gen_ai.client.operation.duration", "s")

    def _export(self) -> None:
        data = self._reader.get_metrics_data()
        if data is not None and data.resource_metrics:
            self.payloads.append(encode_metrics(data).SerializeToString())


_texts = st.text(max_size=8)
_numbers = st.one_of(
    st.sampled_from([0, 1, 2**63, 2**64 - 1]), st.integers(min_value=0, max_value=2**64 - 1)
)
_values = st.recursive(
    st.one_of(
        st.just(AnyValue()),
        st.builds(AnyValue, string_value=_texts),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=st.integers(min_value=-(2**63), max_value=2**63 - 1)),
        st.builds(AnyValue, double_value=st.floats()),
        st.builds(AnyValue, bytes_value=st.binary(max_size=4)),
    ),
    lambda inner: st.lists(inner, max_size=3).map(
        lambda items: AnyValue(array_value=ArrayValue(values=items))
    ),
    max_leaves=4,
)
attributes = st.lists(
    st.builds(
        KeyValue,
        key=st.sampled_from(["status", "a.b", "a_b", "otel.metric.overflow", ""]) | _texts,
        value=_values,
    ),
    max_size=4,
)


@st.composite
def requests(draw: st.DrawFn) -> ExportMetricsServiceRequest:
    """Any request whose metrics are named `m`, with whatever a message can hold."""
    request = ExportMetricsServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        resource = request.resource_metrics.add()
        resource.resource.attributes.extend(draw(attributes))
        scope = resource.scope_metrics.add()
        scope.scope.name = draw(_texts)
        for _ in range(draw(st.integers(0, 3))):
            _draw_metric(draw, scope.metrics.add())
    return request


def _draw_metric(draw: st.DrawFn, metric: Any) -> None:
    metric.name = "m"
    metric.unit = draw(st.sampled_from(["", "s", "1", "By/s", "{x}"]) | _texts)
    kind = draw(
        st.sampled_from(
            ["", "gauge", "sum", "sum", "histogram", "exponential_histogram", "summary"]
        )
    )
    if not kind:
        return
    data = getattr(metric, kind)
    data.SetInParent()
    if kind in ("sum", "histogram", "exponential_histogram"):
        data.aggregation_temporality = draw(st.integers(0, 3))
    if kind == "sum":
        data.is_monotonic = draw(st.booleans())
    for _ in range(draw(st.integers(0, 3))):
        point = data.data_points.add()
        point.attributes.extend(draw(attributes))
        point.start_time_unix_nano = draw(_numbers)
        point.time_unix_nano = draw(_numbers)
        point.flags = draw(st.integers(0, 3))
        if kind in ("gauge", "sum"):
            match draw(st.integers(0, 2)):
                case 0:
                    point.as_int = draw(st.integers(-(2**63), 2**63 - 1))
                case 1:
                    point.as_double = draw(st.floats())
        else:
            point.count = draw(_numbers)
        if kind == "histogram":
            point.explicit_bounds.extend(draw(st.lists(st.floats(), max_size=4)))
            point.bucket_counts.extend(draw(st.lists(_numbers, max_size=5)))
        if kind == "exponential_histogram":
            point.scale = draw(st.integers(-(2**31), 2**31 - 1) | st.integers(-10, 20))
            point.zero_count = draw(_numbers)
            point.positive.offset = draw(st.integers(-(2**31), 2**31 - 1))
            point.positive.bucket_counts.extend(draw(st.lists(_numbers, max_size=4)))
