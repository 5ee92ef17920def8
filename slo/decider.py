"""Puts a shard's levels together again and decides on its alerts.

Every update of the intake may have led to updates of the coarser levels; they carry its number.
A decision is made only from an update whose consequences have all arrived, in order, so that the same
arrivals give the same decisions however the steps between were scheduled.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from slo._pickled import completed
from slo.absence import Absence, AbsenceState
from slo.alerting import Alerting, AlertState, Counted
from slo.decision import Alert, Decision, SeriesKey, budget_remaining
from slo.explain import COMBINATIONS_PER_SHARD, SLOT_SECONDS, Explainer, Explanation
from slo.messages import Head, Tally, Update
from slo.model import CalendarWindow, Objective
from slo.plan import main_of, whole
from slo.spending import Money, Spending, SpendState
from slo.touched import Rows, distinct
from slo.windows import Counts

EXPLAIN_EVERY = 5.0


@dataclass(slots=True)
class DeciderState:
    """What a recovery snapshot keeps of a decider.

    Attributes:
        alerts: what is armed and fires.
        explainers: the last hour's combinations, by series.
        dimensions: what the combinations are made of, by objective.
        absence: whose traffic is missing.
        spending: of cost budgets.
    """

    alerts: AlertState = field(default_factory=AlertState)
    explainers: dict[SeriesKey, Explainer] = field(default_factory=dict)
    dimensions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    absence: AbsenceState = field(default_factory=AbsenceState)
    spending: SpendState = field(default_factory=SpendState)


class _Before(NamedTuple):
    """What the decision before was made from.

    Attributes:
        counted: of the rows decided on; not to be changed, as that decision shows it.
        rows: how many there were in all.
        stale: which signals had gone silent.
    """

    counted: Counted
    rows: int
    stale: list[bool]


class Decider:
    """Decides for one shard.

    Args:
        objectives: by id.
        windows: seconds of the windows of each level.
        stale_after: seconds without arrivals of a signal after which its alerts freeze.
        state: of a snapshot, or None to begin.
        told: alerts that fire as they were last told outside; see `slo.plan.Plan`.
    """

    def __init__(
        self,
        objectives: Mapping[str, Objective],
        windows: Sequence[tuple[int, ...]],
        stale_after: float,
        state: DeciderState | None = None,
        told: Sequence[Alert] = (),
    ) -> None:
        state = DeciderState() if state is None else completed(state)
        self.objectives = objectives
        self.generations = {o.id: o.generation for o in objectives.values()}
        self.wholes = {o.id: whole(o) for o in objectives.values()}
        self.windows = tuple(w for level in windows for w in level)
        self.columns = {w: i for i, w in enumerate(self.windows)}
        self.widths = [len(level) for level in windows]
        self.stale_after = stale_after
        self.dimensions = {o.id: tuple(map(str, o.explain)) for o in objectives.values()}
        # The newest update of every coarse level; after a restart each tells its sums anew.
        self.current: dict[int, Update] = {}
        self.alerting = Alerting(objectives, self.columns, state.alerts, told)
        self.absence = Absence(objectives, state.absence, told)
        self.spending = Spending(objectives, self.columns, state.spending, told)
        # Rows, among all, of calls that were counted apart, by the series that they belong to.
        self.besides: dict[SeriesKey, int] = {}
        # Rows, among those decided on, that hold all events of an objective.
        self.homes: dict[SeriesKey, int] = {}
        # Combinations of other dimensions can't be read as those of today's.
        self.explainers = {
            key: explainer
            for key, explainer in state.explainers.items()
            if self.generations.get(key.objective) == key.generation
            and state.dimensions.get(key.objective) == self.dimensions[key.objective]
        }
        self.tidied = 0.0
        self.combinations = 0
        self.explained: dict[SeriesKey, tuple[float, Explanation]] = {}
        self.queues: list[deque[Update]] = [deque() for _ in windows]
        # What the coarse levels have, of every row.
        self.closed = np.zeros((0, len(self.windows), 2), np.int64)
        self.before: _Before | None = None
        # Rows of coarse levels that changed since then; None where any may have.
        self.stirred: list[Rows] | None = None
        self.seen = 0
        self.alive = np.empty(0, np.int64)
        self.keys: tuple[SeriesKey, ...] = ()
        self.signals = np.empty(0, np.int64)
        self.period_column = np.empty(0, np.int64)

    def state(self) -> DeciderState:
        """What a snapshot keeps; taken between epochs, when no update waits for another."""
        return DeciderState(
            self.alerting.state(),
            dict(self.explainers),
            dict(self.dimensions),
            self.absence.state(),
            self.spending.state(),
        )

    def take(self, update: Update) -> list[Decision]:
        """Take a level's update; decides on all that are complete by it."""
        self.queues[update.level].append(update)
        decisions = []
        while (first := self._complete()) is not None:
            decisions.append(self._decide(first))
        return decisions

    def _complete(self) -> Update | None:
        """The next intake update all of whose consequences are here; those are made current."""
        chain: list[Update] = []
        for queue in self.queues:
            if not queue:
                return None
            chain.append(queue[0])
            if queue[0].onward is None:
                break
        for update in chain:
            self.queues[update.level].popleft()
            if update.level:
                self.current[update.level] = replace(update, onward=None)
                if update.touched is None:
                    self.stirred = None
                elif self.stirred is not None:
                    self.stirred.append(update.touched)
        return chain[0]

    def _decide(self, update: Update) -> Decision:
        head = update.head
        if head is None:
            raise ValueError("the intake's updates carry a head")
        self._extend(head.keys[self.seen : len(update.sums)])
        self._tidy(update.clock)
        self._note(update.clock, head.tallies)
        lifetime = head.lifetime
        if len(self.alive) < len(lifetime):
            lifetime = lifetime[self.alive]
        stale = [update.clock - mark > self.stale_after for mark in head.watermarks]
        touched = self._touched(update, stale)
        counted = self._counted(update, head, touched)
        sums, apart = counted.sums, self._apart(update, head)
        frozen = np.asarray(np.array(stale)[self.signals])
        self.before = _Before(counted, len(update.sums), stale)
        self.stirred = []
        alerts, ended = self.alerting.decide(
            update.clock, counted, frozen, self._explain, live=update.live, touched=touched
        )
        spends, dear, cheap = self.spending.decide(
            update.clock, Money(*counted, apart), frozen, self._explain
        )
        absent, heard = self.absence.decide(
            update.clock,
            head.newest,
            lambda key: self._remaining(key, counted),
            exact=head.exact,
        )
        return Decision(
            shard=head.shard,
            clock=update.clock,
            live=update.live,
            windows=self.windows,
            series=self.keys,
            bad=sums[:, :, 0],
            total=sums[:, :, 1],
            period=counted.period,
            lifetime=lifetime,
            frozen=frozen,
            alerts=alerts + absent + dear,
            ended=ended + heard + cheap,
            too_late=head.too_late,
            watermarks=head.watermarks,
            points=head.points,
            streams=head.streams,
            spends=spends,
        )

    def _extend(self, keys: Sequence[SeriesKey]) -> None:
        """Take up new rows; those of an objective that is gone, or counted otherwise now, are passed over."""
        if not keys:
            return
        rows = [
            (self.seen + i, key)
            for i, key in enumerate(keys)
            if self.generations.get(key.objective) == key.generation
        ]
        for row, key in enumerate(keys, self.seen):
            main = main_of(key)
            if main is not None:
                self.besides[main] = row
        self.seen += len(keys)
        for number, (_, key) in enumerate(rows, len(self.keys)):
            if key == self.wholes[key.objective]:
                self.homes[key] = number
        fresh = [key for _, key in rows]
        self.spending.extend(fresh, len(self.keys))
        self.alerting.extend(fresh)
        self.alive = np.concatenate([self.alive, np.array([row for row, _ in rows], np.int64)])
        self.keys += tuple(fresh)
        objectives = [self.objectives[key.objective] for key in fresh]
        signals = np.array([int(o.signal == "metrics") for o in objectives], np.int64)
        self.signals = np.concatenate([self.signals, signals])
        columns = [
            -1 if isinstance(o.window, CalendarWindow) else self.columns[o.window.seconds]
            for o in objectives
        ]
        self.period_column = np.concatenate([self.period_column, np.array(columns, np.int64)])

    def _touched(self, update: Update, stale: list[bool]) -> Rows | None:
        """The rows, among those decided on, whose counts may differ from those of the decision before.

        None where any may, or another thing that is judged for all; and where so many may that it is
        no dearer to look at all.
        """
        before = self.before
        if (
            before is None
            or self.stirred is None
            or update.touched is None
            or before.rows != len(update.sums)
            or before.stale != stale
        ):
            return None
        touched: Rows | None = update.touched
        if self.stirred:
            touched = distinct(np.concatenate([update.touched, *self.stirred]), len(update.sums))
        if touched is None or len(self.alive) == len(update.sums):
            return touched
        places = np.searchsorted(self.alive, touched)
        places[places == len(self.alive)] = 0
        return np.asarray(places[self.alive[places] == touched]) if len(self.alive) else None

    def _counted(self, update: Update, head: Head, touched: Rows | None) -> Counted:
        """The counts of the rows decided on: of a few of them anew, or of all."""
        self._close(len(update.sums))
        if touched is None or self.before is None:
            sums = self._sums(update, slice(None))
            if len(self.alive) < len(sums):
                sums = sums[self.alive]
            return Counted(sums, self._period(sums, head, self.alive, self.period_column))
        sums, period = (part.copy() for part in self.before.counted)
        if len(touched):
            rows, columns = self.alive[touched], self.period_column[touched]
            sums[touched] = anew = self._sums(update, rows)
            period[touched] = self._period(anew, head, rows, columns)
        return Counted(sums, period)

    def _sums(self, update: Update, rows: Rows | slice) -> Counts:
        """`int64[rows, windows, 2]`: closed buckets of each window's level and all open carries."""
        first = self.widths[0]
        sums = self.closed[rows].copy()
        sums[:, :first] = update.sums[rows]
        sums[:, first:] += update.carry[rows][:, None]
        return sums

    def _close(self, rows: int) -> None:
        """Bring what the coarse levels have up to date; it stays until one of them is updated."""
        if self.stirred is None or len(self.closed) != rows:
            self.closed = self._closed(np.arange(rows))
        elif self.stirred:
            stirred = np.unique(np.concatenate(self.stirred))
            self.closed[stirred] = self._closed(stirred)

    def _closed(self, rows: Rows) -> Counts:
        closed = np.zeros((len(rows), len(self.windows), 2), np.int64)
        open_rest = np.zeros((len(rows), 2), np.int64)
        column = self.widths[0]
        for level in range(1, len(self.widths)):
            coarse = self.current[level]
            known = np.flatnonzero(rows < len(coarse.sums))
            width = self.widths[level]
            closed[known, column : column + width] = coarse.sums[rows[known]]
            closed[:, column : column + width] += open_rest[:, None]
            open_rest[known] += coarse.carry[rows[known]]
            column += width
        return closed

    def _period(self, sums: Counts, head: Head, rows: Rows, columns: Rows) -> Counts:
        rolling = columns >= 0
        if rolling.all():
            return sums[np.arange(len(sums)), columns]
        period = head.period[rows]
        at = np.flatnonzero(rolling)
        period[at] = sums[at, columns[at]]
        return period

    def _apart(self, update: Update, head: Head) -> Counts:
        """`int64[budgets, 2]`: calls of each cost budget's period that were counted apart."""
        apart = np.zeros((len(self.spending.keys), 2), np.int64)
        found = [
            (number, row)
            for number, key in enumerate(self.spending.keys)
            if (row := self.besides.get(key)) is not None
        ]
        if found:
            numbers, rows = np.array(found).T
            columns = self.period_column[np.array(self.spending.rows)[numbers]]
            apart[numbers] = self._period(self._sums(update, rows), head, rows, columns)
        return apart

    def _remaining(self, key: SeriesKey, counted: Counted) -> float:
        bad, total = counted.period[self.homes[key]].tolist()
        return budget_remaining(self.objectives[key.objective].target, bad, total)

    def _note(self, clock: float, tallies: Sequence[Tally]) -> None:
        """Add tallies to the explanations, as long as there is room for more combinations."""
        for key, values, bad, total, trace_ids in tallies:
            if key.group is None:
                continue
            explainer = self.explainers.get(key)
            if explainer is None:
                explainer = self.explainers[key] = Explainer()
            room = COMBINATIONS_PER_SHARD - self.combinations
            self.combinations += explainer.add(clock, values, bad, total, trace_ids, room)

    def _tidy(self, clock: float) -> None:
        """Forget the combinations of series that had no events for an hour."""
        if clock - self.tidied >= SLOT_SECONDS:
            self.tidied = clock
            for key in [key for key, known in self.explainers.items() if known.is_over(clock)]:
                del self.explainers[key]
                self.explained.pop(key, None)
            self.combinations = sum(map(len, self.explainers.values()))

    def _explain(self, key: SeriesKey, clock: float) -> Explanation:
        explainer = self.explainers.get(key)
        if explainer is None:
            return Explanation()
        at, explanation = self.explained.get(key, (-EXPLAIN_EVERY, Explanation()))
        if clock - at >= EXPLAIN_EVERY or clock < at:
            explanation = explainer.explain(
                clock,
                self.dimensions[key.objective],
                money=self.objectives[key.objective].spend is not None,
            )
            self.explained[key] = (clock, explanation)
        return explanation
