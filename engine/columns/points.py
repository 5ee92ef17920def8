"""OTLP metrics payloads to the points that the objectives count."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from engine.columns import _metric_values as values
from engine.columns._cache import Cache
from engine.columns._metric_rules import Rule, rules
from engine.columns._metric_text import attributes_identity, identity, texts
from engine.columns._otlp_metrics import (
    MetricsRefused,
    check,
    data_of,
    kind_of,
    parse,
    temporality_of,
)
from engine.columns.prometheus_names import MetricKind, name_forms, part_forms, series_labels
from slo.increments import Point, Value
from slo.model import Objective
from slo.promql import MetricSelector

__all__ = ["MetricsRefused", "PointReader", "check"]

P = TypeVar("P")
AnyPoint = NumberDataPoint | values.HistogramPoint | SummaryDataPoint
# Entries of each cache, bytes in one and in all: a bound on memory, not on input.
_CACHED = 65_536
_LONGEST_CACHED = 4_096
_CACHED_BYTES = 64 << 20
# Characters of a value of a group or slice that are kept, of spans too: it stands in labels and snapshots.
LONGEST_VALUE = 256
# OpenTelemetry allows 255 characters in a name and 63 in a unit.
_LONGEST_NAME = 1_024
_EDGES = 1_024
_OVERFLOW = "otel.metric.overflow"
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA


@dataclass(frozen=True, slots=True)
class Source:
    """One metric of one scope and resource, as far as its points share it."""

    number: int
    name: str
    unit: str
    kind: MetricKind
    temporality: int
    family: bytes
    forms: tuple[str, ...]
    resource: dict[str, str]
    scope: dict[str, str]
    cached: bool


class Selected(NamedTuple):
    rule: Rule
    stream: bytes
    group: tuple[str, ...]


class _Series(NamedTuple):
    selected: tuple[Selected, ...]
    overflow: bool


class SeriesReader(ABC, Generic[P]):
    """Reads the points that rules select; what nobody selected costs a look-up.

    Args:
        rules: what is selected.

    Attributes:
        ignored: points that a selector means but that cannot be used, by reason; of metrics
            with too long a name, the metrics.
        overflowed: selected points that a writer had stripped of their attributes
            (`otel.metric.overflow`); they count, with empty group values.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.ignored: Counter[str] = Counter()
        self.overflowed = 0
        self._rules = tuple(rules)
        self._by_name: Cache[tuple[str, str, MetricKind], tuple[Rule, ...]] = Cache(
            _CACHED, _CACHED_BYTES
        )
        self._sources: Cache[tuple[Hashable, ...], Source] = Cache(_CACHED, _CACHED_BYTES)
        self._series: Cache[tuple[int, bytes], _Series] = Cache(_CACHED, _CACHED_BYTES)
        self._numbers = 0

    def read(self, payload: bytes) -> list[P]:
        """The selected points of one `ExportMetricsServiceRequest`, in its order.

        Raises:
            MetricsRefused: the payload is no such request.
        """
        return self.select(parse(payload))

    def select(self, request: ExportMetricsServiceRequest) -> list[P]:
        """The selected points of a request, in its order."""
        points: list[P] = []
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    kind = kind_of(metric)
                    if kind is None:
                        continue
                    meant = self._meant(metric.name, metric.unit, kind)
                    if meant:
                        source = self._source(resource.resource, scope.scope, metric, kind)
                        self._read_metric(metric, meant, source, points)
        return points

    @abstractmethod
    def _made(self, point: AnyPoint, selected: Selected, source: Source) -> P:
        """What is made of a selected point.

        Raises:
            UnusableError: it says nothing usable.
        """

    def _meant(self, name: str, unit: str, kind: MetricKind) -> tuple[Rule, ...]:
        """The rules whose selector may mean a metric of this name."""
        if len(name) + len(unit) > _LONGEST_NAME:
            self.ignored[f"a name of more than {_LONGEST_NAME} characters"] += 1
            return ()
        key = (name, unit, kind)
        meant = self._by_name.get(key)
        if meant is None:
            forms = name_forms(name, unit, kind)
            meant = tuple(rule for rule in self._rules if rule.named.matches(forms, {}))
            self._by_name.put(key, meant, len(name) + len(unit))
        return meant

    def _source(
        self, resource: Resource, scope: InstrumentationScope, metric: Metric, kind: MetricKind
    ) -> Source:
        temporality = temporality_of(metric)
        # Field by field: counts of dropped attributes, which change, are no part of the identity.
        attributes = b"".join(pair.SerializeToString() for pair in resource.attributes)
        own = scope.SerializeToString()
        key = (attributes, own, metric.name, metric.unit, kind, temporality)
        source = self._sources.get(key)
        if source is None:
            self._numbers += 1
            size = len(attributes) + len(own) + len(metric.name) + len(metric.unit)
            source = Source(
                number=self._numbers,
                name=metric.name,
                unit=metric.unit,
                kind=kind,
                temporality=temporality,
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
                cached=size <= _LONGEST_CACHED,
            )
            if source.cached:
                self._sources.put(key, source, 2 * size)
        return source

    def _read_metric(
        self, metric: Metric, meant: tuple[Rule, ...], source: Source, points: list[P]
    ) -> None:
        for point in data_of(metric).data_points:
            series = self._one_series(point, meant, source)
            self.overflowed += series.overflow
            for selected in series.selected:
                try:
                    points.append(self._made(point, selected, source))
                except values.UnusableError as reason:
                    self.ignored[str(reason)] += 1

    def _one_series(self, point: AnyPoint, meant: tuple[Rule, ...], source: Source) -> _Series:
        attributes = b"".join([pair.SerializeToString() for pair in point.attributes])
        key = (source.number, attributes)
        series = self._series.get(key)
        if series is None:
            labels = series_labels(source.resource, source.scope, texts(point.attributes))
            own = attributes_identity(point.attributes)
            selected = tuple(
                Selected(
                    rule,
                    identity(rule.key, source.family, own),
                    tuple(labels.get(name, "")[:LONGEST_VALUE] for name in rule.by),
                )
                for rule in meant
                if _selector(rule, source).matches(source.forms, labels)
            )
            overflow = bool(selected) and any(p.key == _OVERFLOW for p in point.attributes)
            series = _Series(selected, overflow)
            # A source that was not kept has another number the next time.
            if source.cached and len(attributes) <= _LONGEST_CACHED:
                groups = sum(len(value) for one in selected for value in one.group)
                self._series.put(key, series, len(attributes) + groups)
        return series


class PointReader(SeriesReader[Point]):
    """Reads the points that objectives over metrics count.

    Args:
        objectives: those whose SLI is not over metrics are passed over.

    Attributes:
        edges: (objective, metric) of histograms that have no bucket edge at the objective's bound,
            with the edge used instead; at most 1,024. Worth a warning once an entry.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__(rule for objective in objectives for rule in rules(objective))
        self.edges: dict[tuple[str, str], float] = {}

    def _made(self, point: AnyPoint, selected: Selected, source: Source) -> Point:
        rule = selected.rule
        return point_of(point, selected, source, self._value(point, rule, source))

    def _value(self, point: AnyPoint, rule: Rule, source: Source) -> Value:
        if isinstance(point, SummaryDataPoint) or source.kind in _UNCOUNTABLE:
            raise values.UnusableError(_UNCOUNTABLE[source.kind])
        require_placed(point, source)
        if isinstance(point, NumberDataPoint):
            if rule.above is not None:
                raise values.UnusableError("a counter where a histogram is wanted")
            return values.number(point)
        if rule.above is None:
            return observations(point, rule, source)
        divided = values.split(point, rule.above)
        if divided.edge != rule.above and len(self.edges) < _EDGES:
            self.edges[rule.objective, source.name] = divided.edge
        return divided.total, divided.above


def require_placed(point: NumberDataPoint | values.HistogramPoint, source: Source) -> None:
    """Refuse a point of a sum or histogram of which it isn't known what it sums up, or when.

    Raises:
        UnusableError: it is one.
    """
    if source.temporality not in (CUMULATIVE, DELTA):
        raise values.UnusableError("no temporality")
    if point.time_unix_nano == 0:
        raise values.UnusableError("no time")


def point_of(point: AnyPoint, selected: Selected, source: Source, value: Value) -> Point:
    """The point with the identity of its stream."""
    return Point(
        selected.rule.objective,
        selected.rule.role,
        selected.stream,
        source.family,
        selected.group,
        point.start_time_unix_nano,
        point.time_unix_nano,
        source.temporality == CUMULATIVE,
        value,
    )


def _selector(rule: Rule, source: Source) -> MetricSelector:
    """The rule's selector; for a histogram without `le`, which is no attribute of its points."""
    histogram = source.kind in ("histogram", "exponential")
    return rule.bucket if histogram and rule.bucket is not None else rule.selector


def observations(point: values.HistogramPoint, rule: Rule, source: Source) -> int:
    """What `_count` or a `_bucket` of a histogram counts."""
    if rule.bucket is None:
        if not rule.named.matches(part_forms(source.name, source.unit, "_count"), {}):
            raise values.UnusableError("a histogram where a counter is wanted; its _count is one")
        return values.count(point)
    if not rule.named.matches(part_forms(source.name, source.unit, "_bucket"), {}):
        raise values.UnusableError("le beside a name that is not the histogram's _bucket")
    return values.up_to(point, rule.le)


_UNCOUNTABLE: dict[MetricKind, str] = {
    "gauge": "a gauge, which counts nothing",
    "summary": "a summary, which has no buckets",
    "updown": "a sum that may fall",
}
