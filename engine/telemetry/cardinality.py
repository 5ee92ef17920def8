"""How many series each SLO has, and which have come to their limit: for `/metrics` and the log."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping

from engine.telemetry.log import log
from engine.telemetry.metrics import EngineMetrics
from slo.decision import OVERFLOW, Decision, SeriesKey
from slo.model import Objective
from slo.rendering import sloth_labels

Limit = Callable[[Objective], int]
Series = tuple[SeriesKey, ...]


class Cardinality:
    """Follows decisions; may be told from any thread.

    Args:
        metrics: where it shows.
        objectives: what is decided on, by id; asked anew, as a reload changes it.
        limit: series that an objective may have.
    """

    def __init__(
        self,
        metrics: EngineMetrics,
        objectives: Callable[[], Mapping[str, Objective]],
        limit: Limit,
    ) -> None:
        self._gauges = (metrics.slo_series, metrics.slo_series_limit, metrics.slo_overflowing)
        self._objectives = objectives
        self._limit = limit
        self._lock = threading.Lock()
        self._series: dict[str, Series] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._overflowing: dict[str, set[str]] = {}
        self._shown: dict[str, Objective] = {}
        self._told: set[tuple[str, str]] = set()

    def take(self, decision: Decision) -> None:
        """Note the series of a shard."""
        if decision.live and self._series.get(decision.shard) is not decision.series:
            with self._lock:
                self._count(decision.shard, decision.series)
                self._show()

    def _count(self, shard: str, series: Series) -> None:
        before = self._series.get(shard, ())
        grown = len(series) >= len(before) and series[: len(before)] == before
        if not grown:  # the flow was started anew, perhaps with other objectives
            self._counts.pop(shard, None)
            self._overflowing.pop(shard, None)
            before = ()
        counts = self._counts.setdefault(shard, Counter())
        overflowing = self._overflowing.setdefault(shard, set())
        for key in series[len(before) :]:
            if key.group is None:
                continue
            if _shared(key.group):
                overflowing.add(key.objective)
            else:
                counts[key.objective] += 1
        self._series[shard] = series

    def _show(self) -> None:
        objectives = self._objectives()
        for gone in self._shown.keys() - objectives.keys():
            for gauge in self._gauges:
                gauge.remove(*sloth_labels(self._shown[gone]).values())
        self._shown = dict(objectives)
        overflowing = set().union(*self._overflowing.values())
        series, limits, over = self._gauges
        for objective in objectives.values():
            labels = tuple(sloth_labels(objective).values())
            count = sum(counts[objective.id] for counts in self._counts.values())
            series.labels(*labels).set(count)
            limits.labels(*labels).set(self._limit(objective))
            over.labels(*labels).set(objective.id in overflowing)
            if objective.id in overflowing:
                self._tell(objective, count)

    def _tell(self, objective: Objective, count: int) -> None:
        if (objective.id, objective.generation) in self._told:
            return
        self._told.add((objective.id, objective.generation))
        groups = [
            key.group
            for series in self._series.values()
            for key in series
            if key.objective == objective.id and key.group and not _shared(key.group)
        ]
        values = [len(set(column)) for column in zip(*groups, strict=True)]
        most = max(range(len(values)), key=values.__getitem__)
        log.warning(
            "an SLO has come to its limit of series: further groups share one (its labels are "
            f"{OVERFLOW}), and count in the total as before; take the field with the most values "
            "out of by:, or raise --series-limit",
            slo=objective.id,
            series=count,
            limit=self._limit(objective),
            most_values=objective.by_names[most],
            values=dict(zip(objective.by_names, values, strict=True)),
        )


def _shared(group: tuple[str, ...]) -> bool:
    return bool(group) and all(value == OVERFLOW for value in group)
