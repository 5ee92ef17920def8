"""Alerts of cost budgets: what burns money too fast, and which shares of a budget are spent.

All of it is integers of nanodollars. A tier fires while both its windows have spent more than
`factor x budget x window / period`, strictly. Of the levels reached in a period the highest fires, until the
period ends. In a calendar period spending only grows, so what is reached is a function of what was
counted alone: no restart, reload or late event can say it again. In a rolling period spending can fall,
and a level is let go only once it is `RELEASE` below.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, floor
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slo.alerting import REFRESH, Explain
from slo.calendars import period_end, period_start
from slo.decision import OVERFLOW, Alert, SeriesKey, Spends, Spent
from slo.forecast import forecast_windows, projected
from slo.model import CalendarWindow, Objective, Severity
from slo.windows import Counts

NANO = 10**9
RELEASE = Fraction(95, 100)
_MOST = 2**63 - 1


class Identity(NamedTuple):
    """What makes an alert the same alert within a period; the level is 0 for burns."""

    key: SeriesKey
    kind: Literal["overspend", "spent"]
    severity: Severity
    level: float


class Begun(NamedTuple):
    """Since when an alert fires, its tier (-1 for levels), and the start of its period."""

    starts_at: float
    tier: int
    since: int


class Money(NamedTuple):
    """What a decision on cost budgets is made from; one row a series, of all objectives.

    Attributes:
        sums: `int64[rows, windows, 2]`, (nanodollars, calls) in each rolling window.
        period: `int64[rows, 2]`, the same in the budget's own period.
        apart: `int64[budgets, 2]`, (refused, unpriced) calls of the period, of the cost budgets alone.
    """

    sums: Counts
    period: Counts
    apart: Counts


@dataclass(slots=True)
class SpendState:
    """What a recovery snapshot keeps: what fires, as last told; since when each series is known."""

    firing: dict[Identity, Begun] = field(default_factory=dict)
    last: dict[Identity, Alert] = field(default_factory=dict)
    known: dict[SeriesKey, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Group:
    """The series of one objective.

    Attributes:
        rows: of all series.
        places: of all cost budgets' series.
        amounts: nanodollars; -1 for none.
        bounds: for how long a period the limits are.
        limits: `int64[n, tiers, 2]`, what the (short, long) window may spend.
        steps: `int64[n, levels, 2]`, where a level is (reached, let go).
        armed: `bool[n, tiers]`.
        reached: `bool[n, levels]`.
    """

    objective: Objective
    rows: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    amounts: list[int] = field(default_factory=list)
    bounds: tuple[int, int] = (0, 0)
    limits: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0, 2), np.int64))
    steps: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0, 2), np.int64))
    armed: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), np.bool_))
    reached: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), np.bool_))


class Spending:
    """The cost budgets of one shard.

    Args:
        objectives: by id; those without `spend` are passed over.
        columns: index of each window (seconds) among the columns of the counts.
        state: of a snapshot, or a new one.
        told: alerts that fired when the engine was last alive, which may be later than the snapshot.
    """

    def __init__(
        self,
        objectives: Mapping[str, Objective],
        columns: Mapping[int, int],
        state: SpendState | None = None,
        told: Sequence[Alert] = (),
    ) -> None:
        state = state or SpendState()
        self.columns = columns
        self._groups = {o.id: _Group(o) for o in objectives.values() if o.spend}
        self.keys: list[SeriesKey] = []
        self.rows: list[int] = []
        self._owners: dict[SeriesKey, tuple[_Group, int]] = {}
        self._known = dict(state.known)
        self._firing = dict(state.firing)
        self._last = dict(state.last)
        for alert in told:
            if alert.spent is not None:
                identity = _identity(alert)
                begun = self._firing.get(identity)
                if begun is None or begun.since != alert.spent.since:
                    self._firing[identity] = Begun(alert.starts_at, -1, alert.spent.since)
                    self._last[identity] = alert
        self._periods: dict[CalendarWindow, tuple[int, int]] = {}
        self._built_at = -REFRESH
        self._now: tuple[Alert, ...] = ()

    def state(self) -> SpendState:
        """What a snapshot keeps."""
        return SpendState(dict(self._firing), dict(self._last), dict(self._known))

    def extend(self, keys: Sequence[SeriesKey], first: int) -> None:
        """Take up new series, which are rows from `first` on; those of SLOs are passed over."""
        for row, key in enumerate(keys, first):
            group = self._groups.get(key.objective)
            if group is None or group.objective.spend is None:
                continue
            single = key.group is not None and OVERFLOW not in key.group
            self._owners[key] = (group, len(group.rows))
            group.rows.append(row)
            group.places.append(len(self.keys))
            group.amounts.append(group.objective.spend.of(key.group or ()) if single else -1)
            group.bounds = (0, 0)
            self.keys.append(key)
            self.rows.append(row)

    def decide(
        self, clock: float, money: Money, frozen: NDArray[np.bool_], explain: Explain
    ) -> tuple[Spends | None, tuple[Alert, ...], tuple[Alert, ...]]:
        """What `/metrics` shows, alerts that fire now, and those that this decision ended.

        Args:
            clock: Unix seconds.
            money: one row for every series so far.
            frozen: `bool[rows]`, the source is silent: what burns neither fires nor ends. A level of a
                calendar period does not hang on what comes now, and is judged all the same.
            explain: asked for alerts only.
        """
        if not self.keys:
            return None, (), ()
        spends = Spends(
            np.array(self.rows, np.int64),
            np.empty(len(self.keys), np.int64),
            np.empty(len(self.keys), np.int64),
            money.apart,
            np.full(len(self.keys), np.nan),
        )
        wanted: dict[Identity, tuple[int, int]] = {}
        for group in self._groups.values():
            if group.rows:
                self._judge(group, clock, money, frozen, spends, wanted)
        same = wanted.keys() == self._firing.keys() and all(
            self._firing[identity].since == self._period(identity.key, clock)[0]
            for identity in wanted
        )
        if same and self._now and 0 <= clock - self._built_at < REFRESH:
            return spends, self._now, ()
        ended = self._end(clock, wanted)
        self._now = tuple(
            self._alert(identity, row, tier, clock, money, explain)
            for identity, (row, tier) in wanted.items()
        )
        self._built_at = clock
        return spends, self._now, ended

    def _period(self, key: SeriesKey, clock: float) -> tuple[int, int]:
        return self._bounds(self._owners[key][0].objective, clock)

    def _bounds(self, objective: Objective, clock: float) -> tuple[int, int]:
        """Start and end of the calendar period; zeros where it is rolling."""
        window = objective.window
        if not isinstance(window, CalendarWindow):
            return 0, 0
        bounds = self._periods.get(window)
        if bounds is None or not bounds[0] <= clock < bounds[1]:
            now = int(clock)
            bounds = self._periods[window] = (period_start(window, now), period_end(window, now))
        return bounds

    def _judge(
        self,
        group: _Group,
        clock: float,
        money: Money,
        frozen: NDArray[np.bool_],
        spends: Spends,
        wanted: dict[Identity, tuple[int, int]],
    ) -> None:
        objective, spend = group.objective, group.objective.spend
        if spend is None:
            raise ValueError(f"{objective.id} is no cost budget")
        since, until = self._bounds(objective, clock)
        length = until - since or objective.period
        if group.bounds != (since, length):
            self._set_limits(group, since, length)
        rows = np.array(group.rows)
        sums, spent = money.sums[rows, :, 0], money.period[rows, 0]
        shorts = [self.columns[tier.short] for tier in objective.tiers]
        longs = [self.columns[tier.long] for tier in objective.tiers]
        burning = (sums[:, shorts] > group.limits[:, :, 0]) & (
            sums[:, longs] > group.limits[:, :, 1]
        )
        still = frozen[rows][:, None]
        group.armed = np.where(still, group.armed, burning)
        held = group.reached if not since else np.zeros_like(group.reached)
        reached = (spent[:, None] >= group.steps[:, :, 0]) | (
            held & (spent[:, None] >= group.steps[:, :, 1])
        )
        group.reached = reached if since else np.where(still, group.reached, reached)
        places = group.places
        spends.budgets[places] = group.amounts
        spends.lengths[places] = length
        if since:
            self._forecast(group, clock, sums, spent, until, spends)
        for number in np.flatnonzero(group.armed.any(axis=1)).tolist():
            key = self.keys[places[number]]
            for tier in np.flatnonzero(group.armed[number]).tolist():
                identity = Identity(key, "overspend", objective.tiers[tier].severity, 0.0)
                wanted.setdefault(identity, (group.rows[number], tier))
        for number in np.flatnonzero(group.reached.any(axis=1)).tolist():
            # The highest level reached says it all.
            level = int(np.flatnonzero(group.reached[number])[-1])
            severity = spend.severities[level]
            if severity is not None:
                key = self.keys[places[number]]
                identity = Identity(key, "spent", severity, float(spend.levels[level]))
                wanted[identity] = (group.rows[number], -1)

    def _set_limits(self, group: _Group, since: int, length: int) -> None:
        """Limits in whole nanodollars: what is more than a fraction is more than its floor."""
        objective, spend = group.objective, group.objective.spend
        n, tiers = len(group.rows), objective.tiers
        levels = spend.levels if spend else ()
        group.bounds = (since, length)
        # Most groups have the same amount.
        kinds = {amount: _limits(objective, amount, length) for amount in set(group.amounts)}
        limits = np.array([kinds[amount][0] for amount in group.amounts], np.int64)
        steps = np.array([kinds[amount][1] for amount in group.amounts], np.int64)
        group.limits = limits.reshape(n, len(tiers), 2)
        group.steps = steps.reshape(n, len(levels), 2)
        armed = np.zeros((n, len(tiers)), np.bool_)
        reached = np.zeros((n, len(levels)), np.bool_)
        known = len(group.armed)
        if known:
            armed[:known], reached[:known] = group.armed, group.reached
        for number in range(known, n) if self._firing else ():
            key = self.keys[group.places[number]]
            for at, tier in enumerate(tiers):
                begun = self._firing.get(Identity(key, "overspend", tier.severity, 0.0))
                armed[number, at] = begun is not None and begun.tier in (at, -1)
            for at, level in enumerate(levels):
                fires = (
                    Identity(key, "spent", s, float(level)) in self._firing
                    for s in ("page", "ticket")
                )
                reached[number, : at + 1] |= any(fires)
        group.armed, group.reached = armed, reached

    def _forecast(
        self,
        group: _Group,
        clock: float,
        sums: NDArray[np.int64],
        spent: NDArray[np.int64],
        until: int,
        spends: Spends,
    ) -> None:
        known = np.array(
            [self._known.setdefault(self.keys[place], clock) for place in group.places]
        )
        for window in forecast_windows(group.objective.period):
            enough = np.flatnonzero(clock - known >= window)
            if len(enough):
                recent = sums[enough, self.columns[window]]
                places = np.array(group.places)[enough]
                spends.forecasts[places] = spent[enough] + recent * ((until - clock) / window)

    def _end(self, clock: float, wanted: Mapping[Identity, object]) -> tuple[Alert, ...]:
        """End what is not wanted any more, or is of a period that is over."""
        over = []
        for identity, begun in list(self._firing.items()):
            if identity in wanted and begun.since == self._period(identity.key, clock)[0]:
                continue
            group = self._groups.get(identity.key.objective)
            gone = group is None or group.objective.generation != identity.key.generation
            if gone or identity.key in self._owners:
                del self._firing[identity]
                last = self._last.pop(identity, None)
                if last is not None and not gone:
                    over.append(replace(last, ends_at=clock))
            # Otherwise it was told before a restart, and what it is about is still to be read again.
        return tuple(over)

    def _alert(
        self,
        identity: Identity,
        row: int,
        tier: int,
        clock: float,
        money: Money,
        explain: Explain,
    ) -> Alert:
        group, number = self._owners[identity.key]
        objective, place = group.objective, group.places[number]
        since, until = self._bounds(objective, clock)
        length = until - since or objective.period
        budget = group.amounts[number]
        spent, calls = money.period[row].tolist()
        refused, unpriced = money.apart[place].tolist()
        begun = self._firing.get(identity, Begun(clock, tier, since))
        if tier >= 0 and (begun.tier < 0 or not group.armed[number, begun.tier]):
            # Another tier of the severity took over, or it is of before a restart; it stays the same one.
            begun = begun._replace(tier=tier)
        self._firing[identity] = begun
        forecast, rate = self._projection(
            group, identity.key, clock, money.sums[row], spent, (until - int(clock)) if until else 0
        )
        short = long = 0
        factor = burn_short = burn_long = 0.0
        if begun.tier >= 0:
            fired = objective.tiers[begun.tier]
            short, long = fired.short, fired.long
            factor = float(factors(objective, length)[begun.tier])
            in_short, in_long = (int(money.sums[row, self.columns[w], 0]) for w in (short, long))
            burn_short = burn(in_short, budget, short, length)
            burn_long = burn(in_long, budget, long, length)
            rate = Fraction(in_long, long)
        left = budget - spent
        explanation = explain(identity.key, clock)
        alert = Alert(
            series=identity.key,
            kind=identity.kind,
            severity=identity.severity,
            starts_at=begun.starts_at,
            ends_at=None,
            short=short,
            long=long,
            burn_short=burn_short,
            burn_long=burn_long,
            factor=factor,
            budget_remaining=left / budget if budget else 0.0,
            exhausted_in=float(max(0, left) / rate) if rate else None,
            consumed=identity.level or None,
            slices=explanation.slices,
            trace_ids=explanation.trace_ids,
            spent=Spent(budget, spent, calls, unpriced, refused, since, until, forecast),
        )
        self._last[identity] = alert
        return alert

    def _projection(
        self,
        group: _Group,
        key: SeriesKey,
        clock: float,
        sums: NDArray[np.int64],
        spent: int,
        left: int,
    ) -> tuple[int | None, Fraction]:
        """The forecast, and the nanodollars a second that it goes by; no forecast of a rolling period."""
        known = self._known.setdefault(key, clock)
        windows = forecast_windows(group.objective.period)
        usable = [window for window in windows if clock - known >= window]
        if not usable:
            return None, Fraction(0)
        recent = int(sums[self.columns[usable[-1]], 0])
        forecast = round(projected(spent, recent, usable[-1], left)) if left else None
        return forecast, Fraction(recent, usable[-1])


def factors(objective: Objective, length: int) -> list[Fraction]:
    """The burn rate that each tier allows in a period of so many seconds."""
    fixed = objective.spend.fixed if objective.spend else ()
    return [
        tier.factor if own else tier.share * length / tier.long
        for tier, own in zip(objective.tiers, fixed, strict=True)
    ]


def _limits(
    objective: Objective, amount: int, length: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Of an amount: what each tier's windows may spend; where each level is reached, and let go."""
    tiers, levels = objective.tiers, objective.spend.levels if objective.spend else ()
    if amount < 0:
        return [(_MOST, _MOST)] * len(tiers), [(_MOST, _MOST)] * len(levels)
    limits = [
        (
            min(_MOST, floor(factor * amount * tier.short / length)),
            min(_MOST, floor(factor * amount * tier.long / length)),
        )
        for tier, factor in zip(tiers, factors(objective, length), strict=True)
    ]
    steps = [
        (min(_MOST, ceil(level * amount)), min(_MOST, ceil(level * amount * RELEASE)))
        for level in levels
    ]
    return limits, steps


def burn(spent: int, budget: int, window: int, length: int) -> float:
    """How many times too fast a window spends: 1 uses the budget up exactly.

    >>> burn(2 * NANO, 720 * NANO, 3600, 30 * 86400)
    2.0
    """
    return spent * length / (budget * window) if budget > 0 else 0.0


def _identity(alert: Alert) -> Identity:
    kind: Literal["overspend", "spent"] = "spent" if alert.kind == "spent" else "overspend"
    severity: Severity = "page" if alert.severity == "page" else "ticket"
    return Identity(alert.series, kind, severity, alert.consumed or 0.0)
