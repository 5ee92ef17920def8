"""OTLP metrics payloads to the points that monitors watch."""

from collections.abc import Sequence
from fractions import Fraction

from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint, SummaryDataPoint

from engine.columns import _metric_values as values
from engine.columns._metric_rules import watch_rules
from engine.columns.points import (
    DELTA,
    AnyPoint,
    Selected,
    SeriesReader,
    Source,
    observations,
    point_of,
    require_placed,
)
from slo.anomalies.growth import COUNTER_SCALE
from slo.anomalies.messages import EntityKey, WatchedPoint
from slo.anomalies.model import Monitor
from slo.plan import anomaly_shard_of


class PointWatcher(SeriesReader[tuple[str, WatchedPoint]]):
    """Reads (shard, point) of what monitors watch in metrics.

    Args:
        monitors: those over spans are passed over.
        shards: number of virtual shards.
    """

    def __init__(self, monitors: Sequence[Monitor], shards: int) -> None:
        self._of = {
            rule.key: (monitor, number, rule)
            for monitor in monitors
            for number, rule in watch_rules(monitor)
        }
        super().__init__(rule for _, _, rule in self._of.values())
        self._generations = {m.id: m.generation for m in monitors}
        self._shards = shards

    def __bool__(self) -> bool:
        return bool(self._of)

    def _made(
        self, point: AnyPoint, selected: Selected, source: Source
    ) -> tuple[str, WatchedPoint]:
        monitor, number, _ = self._of[selected.rule.key]
        service = monitor.service_of(selected.group)
        entity = EntityKey(monitor.id, selected.group, service, self._generations[monitor.id])
        wants_quantile = monitor.features[number].quantile is not None
        made = _watched(point, selected, source, entity, number, wants_quantile=wants_quantile)
        return anomaly_shard_of(service, self._shards), made


def _watched(
    point: AnyPoint,
    selected: Selected,
    source: Source,
    entity: EntityKey,
    feature: int,
    *,
    wants_quantile: bool,
) -> WatchedPoint:
    if isinstance(point, SummaryDataPoint):
        raise values.UnusableError("a summary, which has no buckets")
    if wants_quantile:
        if isinstance(point, NumberDataPoint):
            raise values.UnusableError("a number where a histogram is wanted")
        require_placed(point, source)
        found = point_of(point, selected, source, values.count(point))
        return WatchedPoint(entity, feature, "histogram", found, values.bins(point))
    if isinstance(point, NumberDataPoint) and source.kind in ("gauge", "updown"):
        if point.time_unix_nano == 0:
            raise values.UnusableError("no time")
        if source.temporality == DELTA:
            raise values.UnusableError("a sum that may fall, as differences")
        measured = point_of(point, selected, source, values.measurement(point))
        return WatchedPoint(entity, feature, "gauge", measured)
    require_placed(point, source)
    if isinstance(point, NumberDataPoint):
        amount = values.number(point)
    else:
        amount = observations(point, selected.rule, source)
    scaled = int(Fraction(amount) * COUNTER_SCALE)
    return WatchedPoint(entity, feature, "counter", point_of(point, selected, source, scaled))
