"""OTLP metrics payloads to the points that the objectives count."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
    Summary,
    SummaryDataPoint,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from engine import _metric_values as values
from engine._cache import Cache
from engine._metric_rules import Rule, rules
from engine._metric_text import attributes_identity, identity, texts
from engine.prometheus_names import MetricKind, count_forms, name_forms, series_labels
from engine.spans import Refused
from slo.increments import Point, Value
from slo.model import Objective

AnyData = Gauge | Sum | Histogram | ExponentialHistogram | Summary
AnyPoint = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint | SummaryDataPoint
# Entries of each cache, and the attributes that one may hold: a bound on memory, not on input.
_CACHED = 65_536
_LONGEST_CACHED = 4_096
_EDGES = 1_024
_OVERFLOW = "otel.metric.overflow"
_CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
_DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA


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
        len(_data(metric).data_points)
        for resource in _parse(payload).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.WhichOneof("data")
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """One metric of one scope and resource, as far as its points share it."""

    number: int
    family: bytes
    forms: tuple[str, ...]
    resource: dict[str, str]
    scope: dict[str, str]


class _Selected(NamedTuple):
    rule: Rule
    stream: bytes
    group: tuple[str, ...]


class PointReader:
    """Reads the points that objectives over metrics count; what nobody selected costs a look-up.

    Args:
        objectives: those whose SLI is not over metrics are passed over.

    Attributes:
        ignored: points that a selector means but that cannot be counted, by reason.
        edges: (objective, metric) of histograms that have no bucket edge at the objective's bound,
            with the edge used instead; at most 1,024. Worth a warning once an entry.
        overflowed: selected points that a writer had stripped of their attributes
            (`otel.metric.overflow`); they count, with empty group values.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.ignored: Counter[str] = Counter()
        self.edges: dict[tuple[str, str], float] = {}
        self.overflowed = 0
        self._rules = tuple(rule for objective in objectives for rule in rules(objective))
        self._by_name: Cache[tuple[str, str, MetricKind], tuple[Rule, ...]] = Cache(_CACHED)
        self._sources: Cache[tuple[Hashable, ...], _Source] = Cache(_CACHED)
        self._series: Cache[tuple[int, bytes], tuple[_Selected, ...]] = Cache(_CACHED)
        self._numbers = 0

    def read(self, payload: bytes) -> list[Point]:
        """The selected points of one `ExportMetricsServiceRequest`, in its order.

        Raises:
            MetricsRefused: the payload is no such request.
        """
        points: list[Point] = []
        for resource in _parse(payload).resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    kind = _kind(metric)
                    if kind is None:
                        continue
                    meant = self._meant(metric.name, metric.unit, kind)
                    if meant:
                        source = self._source(resource.resource, scope.scope, metric, kind)
                        self._read_metric(metric, kind, meant, source, points)
        return points

    def _meant(self, name: str, unit: str, kind: MetricKind) -> tuple[Rule, ...]:
        """The rules whose selector may mean a metric of this name."""
        key = (name, unit, kind)
        meant = self._by_name.get(key)
        if meant is None:
            forms = name_forms(name, unit, kind)
            meant = tuple(rule for rule in self._rules if rule.named.matches(forms, {}))
            self._by_name.put(key, meant)
        return meant

    def _source(
        self, resource: Resource, scope: InstrumentationScope, metric: Metric, kind: MetricKind
    ) -> _Source:
        temporality = _temporality(metric)
        # Field by field: counts of dropped attributes, which change, are no part of the identity.
        attributes = b"".join(pair.SerializeToString() for pair in resource.attributes)
        key = (attributes, scope.SerializeToString(), metric.name, metric.unit, kind, temporality)
        source = self._sources.get(key)
        if source is None:
            self._numbers += 1
            source = _Source(
                number=self._numbers,
                family=identity(
                    attributes_identity(resource.attributes),
                    scope.name.encode(),
                    scope.version.encode(),
                    attributes_identity(scope.attributes),
                    f"{metric.name}\0{metric.unit}\0{kind}\0{temporality}".encode(),
                ),
                forms=name_forms(metric.name, metric.unit, kind),
                resource=texts(resource.attributes),
                scope=texts(scope.attributes) | {"name": scope.name, "version": scope.version},
            )
            self._sources.put(key, source)
        return source

    def _read_metric(
        self,
        metric: Metric,
        kind: MetricKind,
        meant: tuple[Rule, ...],
        source: _Source,
        points: list[Point],
    ) -> None:
        temporality = _temporality(metric)
        for point in _data(metric).data_points:
            for rule, stream, group in self._selected(point, meant, source):
                try:
                    value = self._value(point, kind, rule, metric)
                except values.UnusableError as reason:
                    self.ignored[str(reason)] += 1
                    continue
                points.append(
                    Point(
                        rule.objective,
                        rule.role,
                        stream,
                        source.family,
                        group,
                        point.start_time_unix_nano,
                        point.time_unix_nano,
                        temporality == _CUMULATIVE,
                        value,
                    )
                )

    def _selected(
        self, point: AnyPoint, meant: tuple[Rule, ...], source: _Source
    ) -> tuple[_Selected, ...]:
        attributes = b"".join([pair.SerializeToString() for pair in point.attributes])
        key = (source.number, attributes)
        selected = self._series.get(key)
        if selected is None:
            own = texts(point.attributes)
            labels = series_labels(source.resource, source.scope, own)
            series = attributes_identity(point.attributes)
            selected = tuple(
                _Selected(
                    rule,
                    identity(rule.key, source.family, series),
                    tuple(labels.get(name, "") for name in rule.by),
                )
                for rule in meant
                if rule.selector.matches(source.forms, labels)
            )
            if len(attributes) <= _LONGEST_CACHED:
                self._series.put(key, selected)
        if selected and any(pair.key == _OVERFLOW for pair in point.attributes):
            self.overflowed += 1
        return selected

    def _value(self, point: AnyPoint, kind: MetricKind, rule: Rule, metric: Metric) -> Value:
        if point.time_unix_nano == 0:
            raise values.UnusableError("no time")
        if isinstance(point, SummaryDataPoint) or kind in _UNCOUNTABLE:
            raise values.UnusableError(_UNCOUNTABLE[kind])
        if _temporality(metric) not in (_CUMULATIVE, _DELTA):
            raise values.UnusableError("no temporality")
        if isinstance(point, NumberDataPoint):
            if rule.above is not None:
                raise values.UnusableError("a counter where a histogram is wanted")
            return values.number(point)
        if rule.above is None:
            if not rule.named.matches(count_forms(metric.name, metric.unit), {}):
                raise values.UnusableError(
                    "a histogram where a counter is wanted; its _count is one"
                )
            return values.count(point)
        if isinstance(point, HistogramDataPoint):
            divided = values.split(point, rule.above)
        else:
            divided = values.split_exponential(point, rule.above)
        if divided.edge != rule.above and len(self.edges) < _EDGES:
            self.edges[rule.objective, metric.name] = divided.edge
        return divided.total, divided.above


_UNCOUNTABLE: dict[MetricKind, str] = {
    "gauge": "a gauge, which counts nothing",
    "summary": "a summary, which has no buckets",
    "updown": "a sum that may fall",
}
_KINDS: dict[str, MetricKind] = {
    "gauge": "gauge",
    "histogram": "histogram",
    "exponential_histogram": "exponential",
    "summary": "summary",
}


def _parse(payload: bytes) -> ExportMetricsServiceRequest:
    try:
        return ExportMetricsServiceRequest.FromString(payload)
    except DecodeError as error:
        raise MetricsRefused(str(error)) from None


def _kind(metric: Metric) -> MetricKind | None:
    data = metric.WhichOneof("data")
    if data == "sum":
        return "counter" if metric.sum.is_monotonic else "updown"
    return None if data is None else _KINDS[data]


def _data(metric: Metric) -> AnyData:
    data: AnyData = getattr(metric, metric.WhichOneof("data") or "gauge")
    return data


def _temporality(metric: Metric) -> int:
    data = _data(metric)
    return 0 if isinstance(data, Gauge | Summary) else data.aggregation_temporality
