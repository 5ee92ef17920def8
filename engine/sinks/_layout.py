"""Which sample stands where: the series of all shards as rows of one matrix, and their labels."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.sinks._families import Builder, Family, Floats, Indices, labels_text
from engine.telemetry import metrics
from slo.decision import Decision, SeriesKey
from slo.durations import format_duration
from slo.model import Objective, RollingWindow
from slo.plan import SLOTH_WINDOWS
from slo.rendering import group_labels, sloth_labels, user_labels

# Columns of the values' matrices beside the windows: see `Layout.matrices`.
PERIOD = -1
REMAINING, CURRENT, PERIOD_BURN, BAD, GOOD, FROZEN = range(6)


class Layout(NamedTuple):
    """The rows and texts of a set of series.

    Attributes:
        series: each decision's series, to see when they change.
        empty: the objectives that are shown as having no events while they have no series.
        slots: for each decision, its series' rows.
        budgets: `float64[rows]`, the error budget of each row's objective.
        ratios: families over error ratios.
        others: families over what follows from them.
    """

    series: tuple[tuple[SeriesKey, ...], ...]
    empty: Mapping[str, Objective]
    slots: tuple[Indices, ...]
    budgets: Floats
    ratios: tuple[Family, ...]
    others: tuple[Family, ...]

    def fits(self, decisions: Sequence[Decision], empty: Mapping[str, Objective]) -> bool:
        """Whether this is still the layout of these decisions."""
        return (
            empty.keys() == self.empty.keys()
            and len(decisions) == len(self.series)
            and all(d.series is s for d, s in zip(decisions, self.series, strict=True))
        )


def lay_out(
    objectives: Mapping[str, Objective],
    decisions: Sequence[Decision],
    empty: Mapping[str, Objective],
) -> Layout:
    """Number the series and render their labels.

    A series may be in several shards (an overflow series is): it has one row, their sum.

    Args:
        objectives: by id.
        decisions: one a shard.
        empty: see `Layout`.
    """
    order = {id_: number for number, id_ in enumerate(objectives)}
    keys = {key for d in decisions for key in d.series if key.objective in objectives}
    whole = {key.objective for key in keys if not (objectives[key.objective].by and key.group)}
    # One more row, of nothing, for each objective of which nothing has come yet.
    keys |= {SeriesKey(id_, None) for id_ in empty if id_ in objectives and id_ not in whole}
    rows = sorted(keys, key=lambda key: (order[key.objective], key.group or ()))
    numbers = {key: number for number, key in enumerate(rows)}
    spare = len(rows)  # where series of objectives that are gone are added up
    slots = tuple(
        np.array([numbers.get(key, spare) for key in d.series], np.int64) for d in decisions
    )
    columns = {w: i for i, w in enumerate(decisions[0].windows)} if decisions else {}
    texts = _Texts(columns)
    for key, row in numbers.items():
        texts.add(objectives[key.objective], key, row)
    budgets = np.array([float(1 - objectives[k.objective].target) for k in rows] + [1.0])
    return Layout(
        tuple(d.series for d in decisions),
        empty,
        slots,
        budgets,
        (*(b.build() for _, b in sorted(texts.windows.items())), texts.group_ratio.build()),
        tuple(builder.build() for builder in texts.others),
    )


class _Texts:
    """The families under construction."""

    def __init__(self, columns: Mapping[int, int]) -> None:
        self.columns = columns
        self.windows: dict[int, Builder] = {}
        self.group_ratio = Builder(metrics.GROUP_ERROR_RATIO)
        self.current = Builder(metrics.CURRENT_BURN)
        self.period_burn = Builder(metrics.PERIOD_BURN)
        self.remaining = Builder(metrics.BUDGET_REMAINING)
        self.group_remaining = Builder(metrics.GROUP_BUDGET_REMAINING)
        self.events = Builder(metrics.EVENTS)
        self.frozen = Builder(metrics.FROZEN)
        self.others = (
            self.current,
            self.period_burn,
            self.remaining,
            self.group_remaining,
            self.events,
            self.frozen,
        )

    def add(self, objective: Objective, key: SeriesKey, row: int) -> None:
        """Add a series' samples: Sloth's for an objective's one series, ours for a group's."""
        ids = sloth_labels(objective)
        grouped = bool(objective.by) and key.group is not None
        if grouped:
            self._group(objective, ids | group_labels(objective, key.group), row)
        else:
            self._sloth(objective, user_labels(objective) | ids, row)
            self.frozen.add(labels_text(ids), row, FROZEN)
        if grouped or not objective.by:
            labels = ids | group_labels(objective, key.group)
            self.events.add(labels_text(labels | {"result": "bad"}), row, BAD)
            self.events.add(labels_text(labels | {"result": "good"}), row, GOOD)

    def _sloth(self, objective: Objective, labels: dict[str, str], row: int) -> None:
        for window, column in self._columns(objective):
            name = format_duration(window)
            series = metrics.error_ratio(name)
            builder = self.windows.setdefault(window, Builder(series))
            builder.add(labels_text(labels | {"sloth_window": name}), row, column)
        text = labels_text(labels)
        self.current.add(text, row, CURRENT)
        self.period_burn.add(text, row, PERIOD_BURN)
        self.remaining.add(text, row, REMAINING)

    def _group(self, objective: Objective, labels: dict[str, str], row: int) -> None:
        for window, column in self._columns(objective):
            text = labels_text(labels | {"window": format_duration(window)})
            self.group_ratio.add(text, row, column)
        self.group_remaining.add(labels_text(labels), row, REMAINING)

    def _columns(self, objective: Objective) -> list[tuple[int, int]]:
        """The windows to show of an objective, ascending, and their columns."""
        windows = {*SLOTH_WINDOWS, *(w for t in objective.tiers for w in (t.short, t.long))}
        found = {w: self.columns[w] for w in windows if w in self.columns}
        if isinstance(objective.window, RollingWindow) and objective.period in self.columns:
            found[objective.period] = self.columns[objective.period]
        else:  # a calendar's; a rolling window of the same name comes first, as alerts read it
            found.setdefault(objective.period, PERIOD)
        return sorted(found.items())


def sums(
    layout: Layout, decisions: Sequence[Decision]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """All shards' counts by row of the layout.

    Returns:
        `int64[rows, windows + 1, 2]` (bad, total), the period's last; `int64[rows, 2]` ever
        counted; `bool[rows]` frozen.
    """
    rows = len(layout.budgets)
    width = len(decisions[0].windows) if decisions else 0
    counts = np.zeros((rows, width + 1, 2), np.int64)
    lifetime = np.zeros((rows, 2), np.int64)
    frozen = np.zeros(rows, np.bool_)
    for decision, at in zip(decisions, layout.slots, strict=True):
        # A shard has a series once; only the spare row, which nobody reads, can repeat.
        counts[at, :-1, 0] += decision.bad
        counts[at, :-1, 1] += decision.total
        counts[at, -1] += decision.period
        lifetime[at] += decision.lifetime
        frozen[at] |= decision.frozen
    return counts, lifetime, frozen
