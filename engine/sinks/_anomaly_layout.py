"""Which sample of the anomalies stands where: the series of all shards as rows of one matrix."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from engine.sinks._families import Builder, Family, Floats, Indices, labels_text
from engine.telemetry import metrics
from slo.anomalies.decision import AnomalyDecision
from slo.anomalies.messages import ReadingKey
from slo.anomalies.model import Monitor


class AnomalyLayout(NamedTuple):
    """The rows and texts of a set of series.

    Attributes:
        monitors: under which they are shown.
        keys: each decision's series, to see when they change.
        rows: for each decision, its elements that are shown.
        families: over the matrix that `anomaly_matrix` makes.
    """

    monitors: Mapping[str, Monitor]
    keys: tuple[tuple[ReadingKey, ...], ...]
    rows: tuple[Indices, ...]
    families: tuple[Family, ...]

    def fits(self, monitors: Mapping[str, Monitor], decisions: Sequence[AnomalyDecision]) -> bool:
        """Whether this is still the layout of these decisions."""
        return (
            monitors is self.monitors
            and len(decisions) == len(self.keys)
            and all(d.keys is k for d, k in zip(decisions, self.keys, strict=True))
        )


def lay_out_anomalies(
    monitors: Mapping[str, Monitor], decisions: Sequence[AnomalyDecision]
) -> AnomalyLayout:
    """Number the series and render their labels; those that are not measured any more are left out."""
    builders = [Builder(series) for series in metrics.ANOMALY_SERIES]
    rows: list[Indices] = []
    number = 0
    for decision in decisions:
        shown = []
        for place, key in enumerate(decision.keys):
            monitor = monitors.get(key.entity.monitor)
            if monitor is None or not monitor.measures(key.entity.generation):
                continue
            shown.append(place)
            text = labels_text(series_labels(monitor, key))
            for column, builder in enumerate(builders):
                builder.add(text, number, column)
            number += 1
        rows.append(np.array(shown, np.int64))
    families = tuple(builder.build() for builder in builders)
    return AnomalyLayout(monitors, tuple(d.keys for d in decisions), tuple(rows), families)


def series_labels(monitor: Monitor, key: ReadingKey) -> dict[str, str]:
    """The labels of a series; empty values are left out, as an empty label is none."""
    group = zip(monitor.group_labels, key.entity.group, strict=False)
    labels = {name: value for name, value in group if value}
    labels |= {"monitor": monitor.id, "service": key.entity.service, "feature": key.feature}
    return {name: value for name, value in labels.items() if value}


def anomaly_matrix(layout: AnomalyLayout, decisions: Sequence[AnomalyDecision]) -> Floats:
    """`float64[rows, families]`: the values, NaN where there is none.

    What is frozen, and what has no expectation yet, has no score: 0 would mean that it was looked at.
    """
    parts = []
    for decision, rows in zip(decisions, layout.rows, strict=True):
        said = decision.verdicts
        judged = ~said.learning & (not decision.frozen)
        columns = (
            decision.values,
            said.expected,
            said.lower,
            said.upper,
            np.where(judged, said.score, np.nan),
            said.alert,
        )
        parts.append(np.column_stack([column[rows] for column in columns]))
    return np.concatenate(parts) if parts else np.empty((0, len(layout.families)))
