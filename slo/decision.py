"""What the flow decides: the state of a shard's series at one instant, and its alerts.

A `Decision` is all that a sink gets: `/metrics`, Alertmanager, the terminal and the backtest's
report are made from it alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

# The value of every label of the series that groups beyond the limit share; OpenTelemetry's name for it.
OVERFLOW = "otel.metric.overflow"


class SeriesKey(NamedTuple):
    """One budget: an objective (`Objective.id`) and its group's values, in the order of `by`.

    `group` is None for the sum over all groups of an objective that has `by`; such a series has
    no alerts of its own. An objective without `by` has one series, with the empty group.
    `generation` names what is counted (`Objective.generation`): a change of it starts anew.
    """

    objective: str
    group: tuple[str, ...] | None
    generation: str = ""


class SliceCount(NamedTuple):
    """A value, or a pair of values, that is over-represented among an alert's bad events.

    Attributes:
        values: (dimension, value) once or twice, such as `(("span.gen_ai.request.model", "m1"),)`.
        bad: bad events with these values.
        total: all events with these values.
        lift: share among the bad divided by share among all.
    """

    values: tuple[tuple[str, str], ...]
    bad: int
    total: int
    lift: float


class Silence(NamedTuple):
    """Missing traffic of an objective, all its groups together.

    Attributes:
        since: Unix seconds since which nothing came while it was listened for.
        last: Unix seconds at which the last event was counted; 0 where there never was one.
        seconds: how long it has lasted.
    """

    since: float
    last: float
    seconds: float


class Spent(NamedTuple):
    """The figures of a cost budget; money in nanodollars.

    Attributes:
        budget: what may be spent in the period.
        spent: so far.
        calls: in the period, those without a price among them.
        unpriced: calls whose price nobody knows; they are in no sum.
        refused: calls whose price cannot be true (negative, not finite, far too high); likewise.
        since: start of the calendar period, Unix seconds; 0 for a rolling one.
        until: its end, likewise.
        forecast: what will be spent at the period's end, None where that can't be told.
    """

    budget: int
    spent: int
    calls: int
    unpriced: int
    refused: int
    since: int
    until: int
    forecast: int | None


class Spends(NamedTuple):
    """Of a decision's cost budgets what its counts do not say.

    Attributes:
        rows: `int64[n]`, their rows among the series.
        budgets: `int64[n]`, nanodollars; -1 for series without a budget: sums and overflow.
        lengths: `int64[n]`, seconds of the period, exact.
        apart: `int64[n, 2]`, (refused, unpriced) calls of the period.
        forecasts: `float64[n]`, nanodollars at the period's end; NaN for none.
    """

    rows: NDArray[np.int64]
    budgets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    apart: NDArray[np.int64]
    forecasts: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Alert:
    """A firing or ended alert. Its identity is (series, kind, severity, level): the rest may change.

    Attributes:
        kind: `burn` for burn-rate tiers; `budget` when a share of the budget is consumed; `absent`
            where no event came for as long as `Objective.absent` says; `overspend` for burn-rate tiers
            of a cost budget, `spent` when a share of it is spent.
        severity: `page` or `ticket`; `info` for `budget`.
        starts_at: Unix seconds of the decision that fired it.
        ends_at: Unix seconds of the decision that ended it, or None while it fires.
        short: seconds of the firing tier's short window (0 where there is no tier).
        long: seconds of its long window (likewise).
        burn_short: burn rate in the short window now, or at the end.
        burn_long: burn rate in the long window.
        factor: the burn rate that both windows exceeded.
        budget_remaining: signed share of the period's budget that is left.
        exhausted_in: seconds until the budget is gone at the long window's burn rate; None when never.
        consumed: for `budget` and `spent`, the level reached (0.5, 0.8 or 1.0, or as configured).
        slices: the burning slices, best first; of a cost budget the top spenders: `bad` are
            nanodollars, `total` calls, `lift` is the share of all that was spent.
        errors: (error type, count) among the bad events, most first.
        trace_ids: hex ids of a few bad events.
        silence: for `absent`, what is missing.
        spent: of cost budgets, their figures.
    """

    series: SeriesKey
    kind: Literal["burn", "budget", "absent", "overspend", "spent"]
    severity: Literal["page", "ticket", "info"]
    starts_at: float
    ends_at: float | None
    short: int
    long: int
    burn_short: float
    burn_long: float
    factor: float
    budget_remaining: float
    exhausted_in: float | None = None
    consumed: float | None = None
    slices: tuple[SliceCount, ...] = ()
    errors: tuple[tuple[str, int], ...] = ()
    trace_ids: tuple[str, ...] = ()
    silence: Silence | None = None
    spent: Spent | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The state of one shard's series at one instant.

    Attributes:
        shard: the virtual shard's key.
        clock: Unix seconds at which this was decided.
        live: False while the flow still replays what it had read before a restart; sinks that
            speak to the outside wait for True.
        windows: seconds of each rolling window, ascending; the columns of `bad` and `total`.
        series: one key a row of the arrays.
        bad: `int64[series, windows]`, bad events in each window.
        total: `int64[series, windows]`, all events in each window.
        period: `int64[series, 2]`, (bad, total) in the objective's own window (rolling or calendar).
        lifetime: `int64[series, 2]`, (bad, total) ever counted: what counters show.
        frozen: `bool[series]`, the source has gone silent: the series' alerts neither fire nor end.
        alerts: every alert that fires now.
        ended: alerts that this decision ended.
        too_late: events that came so far and were older than every window.
        watermarks: Unix seconds of the newest arrival of (traces, metrics), 0 before the first.
        points: what happened to metric points so far, see `slo.increments.Increments.counts`.
        streams: metric streams that are kept to make increments of.
        spends: of the cost budgets among the series, whose counts are (nanodollars, calls).
    """

    shard: str
    clock: float
    live: bool
    windows: tuple[int, ...]
    series: tuple[SeriesKey, ...]
    bad: NDArray[np.int64]
    total: NDArray[np.int64]
    period: NDArray[np.int64]
    lifetime: NDArray[np.int64]
    frozen: NDArray[np.bool_]
    alerts: tuple[Alert, ...]
    ended: tuple[Alert, ...]
    too_late: int = 0
    watermarks: tuple[float, float] = (0.0, 0.0)
    points: Mapping[str, int] = field(default_factory=dict)
    streams: int = 0
    spends: Spends | None = None

    @property
    def watermark(self) -> float:
        """Unix seconds of the newest arrival of either, 0 before the first."""
        return max(self.watermarks)


def budget_remaining(target: Fraction, bad: int, total: int) -> float:
    """`1 - e(W) / (1 - target)`, signed; 1 while nothing was counted (no traffic burns nothing)."""
    if total == 0:
        return 1.0
    # One division of integers rounds as a fraction's does, at a tenth of its price.
    budget = 1 - target
    whole = total * budget.numerator
    return (whole - bad * budget.denominator) / whole
