"""Which sample of the cost budgets stands where: the series of all shards as rows of one matrix."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from engine.sinks._families import Builder, Family, Floats, Indices, labels_text
from engine.telemetry import metrics
from slo.decision import Decision, SeriesKey
from slo.durations import format_duration
from slo.model import Objective
from slo.plan import SLOTH_WINDOWS
from slo.rendering import budget_labels, group_labels, user_labels

# Columns of the values' matrix; after them come the windows.
BUDGET, SPENT, REMAINING, FORECAST, CALLS, UNPRICED, REFUSED, BURN = range(8)
NANO = 1e9


class CostLayout(NamedTuple):
    """The rows and texts of a set of series.

    Attributes:
        series: each decision's series, to see when they change.
        slots: for each decision with cost budgets its index, and the layout's rows of its budgets.
        rows: of the matrix.
        families: over the matrix that `cost_matrix` makes.
    """

    series: tuple[tuple[SeriesKey, ...], ...]
    slots: tuple[tuple[int, Indices], ...]
    rows: int
    families: tuple[Family, ...]

    def fits(self, decisions: Sequence[Decision]) -> bool:
        """Whether this is still the layout of these decisions."""
        return len(decisions) == len(self.series) and all(
            d.series is s for d, s in zip(decisions, self.series, strict=True)
        )


def lay_out_costs(objectives: Mapping[str, Objective], decisions: Sequence[Decision]) -> CostLayout:
    """Number the series and render their labels; an overflow series may be in several shards."""
    order = {id_: number for number, id_ in enumerate(objectives)}
    keys = {
        d.series[row]
        for d in decisions
        if d.spends is not None
        for row in d.spends.rows.tolist()
        if d.series[row].objective in objectives
    }
    ordered = sorted(keys, key=lambda key: (order[key.objective], key.group or ()))
    numbers = {key: number for number, key in enumerate(ordered)}
    spare = len(ordered)
    slots = tuple(
        (at, np.array([numbers.get(d.series[r], spare) for r in d.spends.rows.tolist()], np.int64))
        for at, d in enumerate(decisions)
        if d.spends is not None
    )
    columns = {w: i for i, w in enumerate(decisions[0].windows)} if decisions else {}
    builders = [Builder(series) for series in metrics.COST_SERIES]
    for key, row in numbers.items():
        objective = objectives[key.objective]
        if objective.by and key.group is None:
            continue  # the sum over all groups: whoever wants it adds them up
        labels = budget_labels(objective) | group_labels(objective, key.group)
        labels = user_labels(objective) | labels
        text = labels_text(labels)
        for column, builder in enumerate(builders[:BURN]):
            builder.add(text, row, column)
        windows = {*SLOTH_WINDOWS, *(w for t in objective.tiers for w in (t.short, t.long))}
        for window in sorted(windows & columns.keys()):
            named = labels_text(labels | {"window": format_duration(window)})
            builders[BURN].add(named, row, BURN + columns[window])
    families = tuple(builder.build() for builder in builders)
    return CostLayout(tuple(d.series for d in decisions), slots, spare, families)


def cost_matrix(layout: CostLayout, decisions: Sequence[Decision]) -> Floats:
    """`float64[rows + 1, 7 + windows]`, NaN where there is no value; the last row is of nothing."""
    width = len(decisions[0].windows) if decisions else 0
    counts = np.zeros((layout.rows + 1, width), np.int64)
    period = np.zeros((layout.rows + 1, 2), np.int64)
    apart = np.zeros((layout.rows + 1, 2), np.int64)
    budgets, forecasts, lengths = np.full((3, layout.rows + 1), np.nan)
    for at, slots in layout.slots:
        decision = decisions[at]
        spends = decision.spends
        if spends is None or len(spends.rows) != len(slots):
            continue
        counts[slots] += decision.bad[spends.rows]
        period[slots] += decision.period[spends.rows]
        apart[slots] += spends.apart
        budgets[slots] = np.where(spends.budgets >= 0, spends.budgets, np.nan)
        lengths[slots] = spends.lengths
        forecasts[slots] = spends.forecasts
    windows = np.array(decisions[0].windows if decisions else (), np.float64)
    spent = period[:, 0].astype(np.float64)
    burns = counts * lengths[:, None] / (budgets[:, None] * windows)
    return np.column_stack(
        [
            budgets / NANO,
            spent / NANO,
            1 - spent / budgets,
            forecasts / NANO,
            period[:, 1],
            apart[:, 1],
            apart[:, 0],
            burns,
        ]
    )
