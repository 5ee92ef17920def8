"""OTLP metrics messages: parsed by the official library, and what kind of metric each is."""

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogram,
    Gauge,
    Histogram,
    Metric,
    Sum,
    Summary,
)

from engine.columns.prometheus_names import MetricKind
from engine.columns.spans import Refused

AnyData = Gauge | Sum | Histogram | ExponentialHistogram | Summary
_KINDS: dict[str, MetricKind] = {
    "gauge": "gauge",
    "histogram": "histogram",
    "exponential_histogram": "exponential",
    "summary": "summary",
}


class MetricsRefused(Refused):
    """A payload that is no OTLP metrics request.

    Attributes:
        reason: what the official parser says.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(0, reason)

    def __str__(self) -> str:
        return f"the payload is no ExportMetricsServiceRequest: {self.reason}"


def check(payload: bytes) -> int:
    """How many data points a payload has, of whatever kind.

    Raises:
        MetricsRefused: it is no OTLP metrics request.
    """
    return sum(
        len(data_of(metric).data_points)
        for resource in parse(payload).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.WhichOneof("data")
    )


def parse(payload: bytes) -> ExportMetricsServiceRequest:
    """The request.

    Raises:
        MetricsRefused: the payload is no such request.
    """
    try:
        return ExportMetricsServiceRequest.FromString(payload)
    except DecodeError as error:
        raise MetricsRefused(str(error)) from None


def kind_of(metric: Metric) -> MetricKind | None:
    """What the metric is, or None where it has no data of a kind known here."""
    data = metric.WhichOneof("data")
    if data == "sum":
        return "counter" if metric.sum.is_monotonic else "updown"
    return None if data is None else _KINDS[data]


def data_of(metric: Metric) -> AnyData:
    """The metric's data; an empty gauge where it has none."""
    data: AnyData = getattr(metric, metric.WhichOneof("data") or "gauge")
    return data


def temporality_of(metric: Metric) -> int:
    """The `AggregationTemporality`; 0 for kinds that have none."""
    data = data_of(metric)
    return 0 if isinstance(data, Gauge | Summary) else data.aggregation_temporality
