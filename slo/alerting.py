"""Burn-rate and budget alerts of many series at once.

A tier is *armed* from the moment that both its windows exceed the threshold, with evidence, until
either no longer does; evidence is asked for the start alone, so that an alert does not flap while
its bound hovers. A severity fires while any of its tiers is armed. Rows that are frozen (their
source has gone silent) keep what they have.

After a restart what was told after the last snapshot is read again, in coarser steps than it was decided on
then. So an alert that was told needs no evidence to be armed again, nor a budget to be over its level,
until decisions are of now.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slo._pickled import completed
from slo.decision import Alert, SeriesKey, budget_remaining
from slo.evidence import evident, exceeds
from slo.explain import Explanation
from slo.model import Objective, Tier
from slo.windows import Counts

BUDGET_LEVELS = (0.5, 0.8, 1.0)
# A budget alert ends once consumption is this far below its level, so that it does not flap there.
BUDGET_RELEASE = 0.95

Severity = Literal["page", "ticket", "info"]
# What an alert says of its burn is brought up to date so often (seconds) while nothing starts or ends.
REFRESH = 1.0

Explain = Callable[[SeriesKey, float], Explanation]
_ONE = Fraction(1)


class Identity(NamedTuple):
    """What makes an alert the same alert: its series, its severity and, for budgets, the level (else 0)."""

    key: SeriesKey
    severity: Severity
    level: float


class Counted(NamedTuple):
    """The counts that a decision is made from; one row a series.

    Attributes:
        sums: `int64[rows, windows, 2]`, (bad, total) in each rolling window, contiguous.
        period: `int64[rows, 2]`, (bad, total) in the budget's own window.
    """

    sums: Counts
    period: Counts


@dataclass(slots=True)
class AlertState:
    """What a recovery snapshot keeps: armed conditions by name, what fires since when, as last told."""

    armed: Mapping[SeriesKey, frozenset[tuple[str, int, int]]] = field(default_factory=dict)
    firing: dict[Identity, tuple[float, int]] = field(default_factory=dict)
    now: tuple[Alert, ...] = ()
    built_at: float = -REFRESH


class _Conditions(NamedTuple):
    """What all series of an objective are judged by.

    Attributes:
        columns: of each tier the threshold, the confidence that is asked for, the places of its short and its
            long window's counts within a row, and whether there is such a tier; and the budget.
        exact: the thresholds as fractions.
    """

    columns: tuple[Any, ...]
    exact: list[Fraction]


class Alerting:
    """The alert conditions of a growing table of series.

    Args:
        objectives: by id.
        columns: index of each window (seconds) among the columns of the counts.
        state: of a snapshot, or a new one.
        told: alerts that fired when the engine was last alive, which may be later than the snapshot.
    """

    def __init__(
        self,
        objectives: Mapping[str, Objective],
        columns: Mapping[int, int],
        state: AlertState | None = None,
        told: Sequence[Alert] = (),
    ) -> None:
        self.objectives = objectives
        self.columns = columns
        self.keys: list[SeriesKey] = []
        self._restored = state or AlertState()
        self.firing = dict(self._restored.firing)
        most = max((len(o.tiers) for o in objectives.values() if not o.spend), default=0)
        self._threshold = np.empty((0, most))
        self._confidence = np.empty((0, most))
        self._short = np.empty((0, most), np.int64)
        self._long = np.empty((0, most), np.int64)
        self._valid = np.empty((0, most), np.bool_)
        self.armed = np.empty((0, most), np.bool_)
        self.consumed = np.empty((0, len(BUDGET_LEVELS)), np.bool_)
        # When what was told began, Unix seconds; infinite for nothing.
        self._told_armed = np.empty((0, most))
        self._told_consumed = np.empty((0, len(BUDGET_LEVELS)))
        self._told = {
            Identity(alert.series, alert.severity, alert.consumed or 0.0): alert
            for alert in told
            if alert.kind in ("burn", "budget")
        }
        self._live_since: float | None = None
        self._budget = np.empty(0)
        self._exact: list[list[Fraction]] = []
        generations = {o.id: o.generation for o in objectives.values()}
        # Those of objectives that are gone, or counted otherwise now, are no longer told.
        self._now = tuple(
            completed(alert)
            for alert in self._restored.now
            if generations.get(alert.series.objective) == alert.series.generation
        )
        self._built_at = self._restored.built_at
        # Rows whose counts changed since budgets were looked at last; None where any may have.
        self._unseen: list[NDArray[np.int64]] | None = None

    def extend(self, keys: Sequence[SeriesKey]) -> None:
        """Append series; the sum over groups (group None) and cost budgets get no alerts here."""
        if not keys:
            return
        self._unseen = None
        # Nearly all series share what follows from their objective.
        numbers: dict[tuple[str, bool], int] = {}
        kinds = np.array(
            [numbers.setdefault((k.objective, k.group is not None), len(numbers)) for k in keys]
        )
        found = [self._conditions(self.objectives[id_], grouped=g) for id_, g in numbers]
        threshold, confidence, short, long, valid, budget = (
            np.array(column)[kinds] for column in zip(*(one.columns for one in found), strict=True)
        )
        # Positions of the windows' counts among all sums as one flat array.
        starts = 2 * len(self.columns) * (len(self.keys) + np.arange(len(keys)))[:, None]
        self._threshold = np.vstack([self._threshold, threshold])
        self._confidence = np.vstack([self._confidence, confidence])
        self._short = np.vstack([self._short, np.where(valid, starts + short, 0)])
        self._long = np.vstack([self._long, np.where(valid, starts + long, 0)])
        self._valid = np.vstack([self._valid, valid])
        self._budget = np.concatenate([self._budget, budget])
        self._exact.extend(found[kind].exact for kind in kinds.tolist())
        self._extend_state(keys)
        self._extend_told(keys)
        self.keys.extend(keys)

    def _conditions(self, objective: Objective, *, grouped: bool) -> "_Conditions":
        judged = grouped and objective.spend is None
        tiers = objective.tiers if judged else ()
        most = self._threshold.shape[1]
        spare = most - len(tiers)
        columns = (
            np.array([float(t.threshold) for t in tiers] + [1.0] * spare),
            np.full(most, objective.evidence or 0.0),
            np.array([2 * self.columns[t.short] for t in tiers] + [0] * spare, np.int64),
            np.array([2 * self.columns[t.long] for t in tiers] + [0] * spare, np.int64),
            np.arange(most) < len(tiers),
            float(1 - objective.target) if judged else np.inf,
        )
        return _Conditions(columns, [t.threshold for t in tiers] + [_ONE] * spare)

    def _extend_state(self, keys: Sequence[SeriesKey]) -> None:
        """What is armed and consumed according to the snapshot; that is little."""
        armed = np.zeros((len(keys), self._threshold.shape[1]), np.bool_)
        consumed = np.zeros((len(keys), len(BUDGET_LEVELS)), np.bool_)
        before = self._restored.armed
        for row, key in enumerate(keys if before else ()):
            on = before.get(key, ())
            objective = self.objectives[key.objective]
            if on and key.group is not None and objective.spend is None:
                tiers = objective.tiers
                armed[row, : len(tiers)] = [(t.severity, t.short, t.long) in on for t in tiers]
        reached: dict[SeriesKey, float] = {}
        for key, severity, level in self.firing:
            if severity == "info":
                reached[key] = max(level, reached.get(key, 0.0))
        for row, key in enumerate(keys if reached else ()):
            if key in reached:
                consumed[row] = np.array(BUDGET_LEVELS) <= reached[key]
        self.armed = np.vstack([self.armed, armed])
        self.consumed = np.vstack([self.consumed, consumed])

    def _extend_told(self, keys: Sequence[SeriesKey]) -> None:
        most, levels = self._told_armed.shape[1], len(BUDGET_LEVELS)
        armed, consumed = np.full((len(keys), most), np.inf), np.full((len(keys), levels), np.inf)
        for row, key in enumerate(keys if self._told else ()):
            for column, tier in enumerate(self.objectives[key.objective].tiers):
                alert = self._told.get(Identity(key, tier.severity, 0.0))
                if alert and (alert.short, alert.long) == (tier.short, tier.long):
                    armed[row, column] = alert.starts_at
            for level, reached in enumerate(BUDGET_LEVELS):
                alert = self._told.get(Identity(key, "info", reached))
                if alert:
                    consumed[row, : level + 1] = alert.starts_at
        self._told_armed = np.vstack([self._told_armed, armed])
        self._told_consumed = np.vstack([self._told_consumed, consumed])

    def _forget_told(self, clock: float) -> None:
        """What fires by now needs it no more."""
        if self._live_since is None:
            self._live_since = clock
        elif self._told and clock - self._live_since > 2 * REFRESH:
            self._told = {}
            self._told_armed[:] = np.inf
            self._told_consumed[:] = np.inf

    def state(self) -> AlertState:
        """What a snapshot keeps."""
        armed = {
            self.keys[row]: frozenset(
                (t.severity, t.short, t.long)
                for t, on in zip(self._tiers(row), self.armed[row], strict=False)
                if on
            )
            for row in np.flatnonzero(self.armed.any(axis=1)).tolist()
        }
        return AlertState(armed, dict(self.firing), self._now, self._built_at)

    def _tiers(self, row: int) -> tuple[Tier, ...]:
        return self.objectives[self.keys[row].objective].tiers

    def decide(
        self,
        clock: float,
        counted: Counted,
        frozen: NDArray[np.bool_],
        explain: Explain,
        *,
        live: bool = True,
        touched: NDArray[np.int64] | None = None,
    ) -> tuple[tuple[Alert, ...], tuple[Alert, ...]]:
        """Alerts that fire now, and those that this decision ended.

        Whether a condition is armed hangs on a row's counts and on whether it was armed before, so a row that
        was looked at once is as it was until its counts change.

        Args:
            clock: Unix seconds.
            counted: one row for every series so far.
            frozen: `bool[rows]`.
            explain: asked for alerts only.
            live: not a replay.
            touched: distinct rows whose counts may differ from those of the decision before; None where any
                may, or where other rows are frozen.
        """
        if live:
            self._forget_told(clock)
        if self._told:
            touched = None  # what was told is armed by the clock
        same = self._burn(clock, counted, frozen, touched)
        recent = 0 <= clock - self._built_at < REFRESH
        self._note(touched)
        if not recent:
            self._consume(clock, counted, frozen)
        if recent and same:
            return self._now, ()
        wanted: dict[Identity, tuple[int, int]] = {}
        for row in np.flatnonzero(self.armed.any(axis=1)).tolist():
            tiers = self._tiers(row)
            for tier in np.flatnonzero(self.armed[row]).tolist():
                identity = Identity(self.keys[row], tiers[tier].severity, 0.0)
                wanted.setdefault(identity, (row, tier))
        for row in np.flatnonzero(self.consumed.any(axis=1)).tolist():
            # The highest level reached says it all.
            level = int(np.flatnonzero(self.consumed[row])[-1])
            wanted[Identity(self.keys[row], "info", BUDGET_LEVELS[level])] = (row, -1)
        self._now, ended = self._alerts(clock, counted, wanted, explain)
        self._built_at = clock
        return self._now, ended

    def _note(self, touched: NDArray[np.int64] | None) -> None:
        """Note whose budgets are to be looked at."""
        if touched is None:
            self._unseen = None
        elif self._unseen is not None and len(touched):
            self._unseen.append(touched)
            if sum(map(len, self._unseen)) > len(self.keys):
                self._unseen = None

    def _burn(
        self,
        clock: float,
        counted: Counted,
        frozen: NDArray[np.bool_],
        touched: NDArray[np.int64] | None,
    ) -> bool:
        """Arm and disarm tiers; whether all are as before."""
        if touched is not None and not len(touched):
            return True
        rows = slice(None) if touched is None else touched
        exact = self._exact if touched is None else [self._exact[row] for row in touched.tolist()]
        flat = counted.sums.reshape(-1)
        threshold, long, before = self._threshold[rows], self._long[rows], self.armed[rows]
        bad_long, total_long = flat.take(long), flat.take(long + 1)
        burning = self._valid[rows] & exceeds(bad_long, total_long, threshold, exact)
        # Bad events without any in all are halves of a count whose other half is still on its way.
        burning &= total_long > 0
        if burning.any():
            short = self._short[rows]
            bad_short, total_short = flat.take(short), flat.take(short + 1)
            burning &= exceeds(bad_short, total_short, threshold, exact)
            burning &= total_short > 0
        fresh = burning & ~before
        if fresh.any():
            at = np.nonzero(fresh)
            fresh[at] = (self._told_armed[rows][at] <= clock) | evident(
                bad_long[at], total_long[at], threshold[at], self._confidence[rows][at]
            )
        armed = np.where(frozen[rows][:, None], before, burning & (before | fresh))
        if np.array_equal(armed, before):
            return True
        self.armed = self.armed.copy()
        self.armed[rows] = armed
        return False

    def _consume(self, clock: float, counted: Counted, frozen: NDArray[np.bool_]) -> None:
        """Tell which shares of the budgets are consumed, where counts have changed since the last time."""
        unseen, self._unseen = self._unseen, []
        if unseen is not None and not unseen:
            return
        at_rows = slice(None) if unseen is None else np.unique(np.concatenate(unseen))
        bad, total = counted.period[at_rows].T
        budget, before = self._budget[at_rows], self.consumed[at_rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(total > 0, bad / (budget * total), 0.0)
        levels = np.array(BUDGET_LEVELS)
        reached = share[:, None] >= levels
        fresh = reached & ~before
        if fresh.any():
            rows, at = np.nonzero(fresh)
            confidence = self._confidence[at_rows]
            # Consumption of exactly a level is no proof of more; ask for evidence of just under it.
            fresh[rows, at] = evident(
                bad[rows],
                total[rows],
                budget[rows] * levels[at] * BUDGET_RELEASE,
                confidence[rows, 0] if confidence.shape[1] else np.zeros(len(rows)),
            )
        held = before | (self._told_consumed[at_rows] <= clock)
        kept = held & (share[:, None] >= levels * BUDGET_RELEASE)
        self.consumed[at_rows] = np.where(frozen[at_rows][:, None], before, kept | fresh)

    def _alerts(
        self,
        clock: float,
        counted: Counted,
        wanted: Mapping[Identity, tuple[int, int]],
        explain: Explain,
    ) -> tuple[tuple[Alert, ...], tuple[Alert, ...]]:
        ended = [identity for identity in self.firing if identity not in wanted]
        over = []
        rows = {key: row for row, key in enumerate(self.keys)} if ended else {}
        for identity in ended:
            starts_at, tier = self.firing.pop(identity)
            row = rows.get(identity.key)
            if row is not None:  # otherwise its series is gone from the SLO files
                alert = self._alert(identity, row, tier, starts_at, counted, explain, clock)
                over.append(replace(alert, ends_at=clock))
        now = []
        for identity, (row, tier) in wanted.items():
            told = self._told.get(identity)
            begun = min(clock, told.starts_at) if told else clock
            starts_at, fired_by = self.firing.setdefault(identity, (begun, tier))
            if fired_by >= len(self._tiers(row)) or (
                fired_by >= 0 and not self.armed[row, fired_by]
            ):
                # Another tier of the severity took over; the alert stays the same one.
                fired_by = tier
                self.firing[identity] = (starts_at, tier)
            now.append(self._alert(identity, row, fired_by, starts_at, counted, explain, clock))
        return tuple(now), tuple(over)

    def _alert(
        self,
        identity: Identity,
        row: int,
        tier: int,
        starts_at: float,
        counted: Counted,
        explain: Explain,
        clock: float,
    ) -> Alert:
        objective = self.objectives[identity.key.objective]
        budget = 1 - objective.target
        bad, total = counted.period[row].tolist()
        remaining = budget_remaining(objective.target, bad, total)
        explanation = explain(identity.key, clock)
        short = long = 0
        burn_short = burn_long = _burn(bad, total, budget)
        factor = 0.0
        if 0 <= tier < len(objective.tiers):
            fired = objective.tiers[tier]
            short, long, factor = fired.short, fired.long, float(fired.factor)
            burn_short = self._burn_rate(counted, row, short, budget)
            burn_long = self._burn_rate(counted, row, long, budget)
        exhausted = max(0.0, remaining) * objective.period / burn_long if burn_long > 0 else None
        return Alert(
            series=identity.key,
            kind="budget" if identity.severity == "info" else "burn",
            severity=identity.severity,
            starts_at=starts_at,
            ends_at=None,
            short=short,
            long=long,
            burn_short=burn_short,
            burn_long=burn_long,
            factor=factor,
            budget_remaining=remaining,
            exhausted_in=exhausted,
            consumed=identity.level or None,
            slices=explanation.slices,
            errors=explanation.errors,
            trace_ids=explanation.trace_ids,
        )

    def _burn_rate(self, counted: Counted, row: int, window: int, budget: Fraction) -> float:
        column = self.columns[window]
        bad, total = counted.sums[row, column].tolist()
        return _burn(bad, total, budget)


def _burn(bad: int, total: int, budget: Fraction) -> float:
    """`bad / total / budget`, rounded once."""
    return bad * budget.denominator / (total * budget.numerator) if total else 0.0
