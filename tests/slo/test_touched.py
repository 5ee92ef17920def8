"""Looking only at the rows that changed decides what looking at all of them does."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slo import load
from slo.decision import SeriesKey
from slo.messages import Deposit
from slo.plan import Plan, beside
from slo.touched import FEW, MOST, distinct
from slo.windows import Entries
from tests.strategies.shards import Shard, ages, steps

START = 1_700_000_000 // 86400 * 86400

SLOS = """\
apiVersion: burnline/v1
service: chat
slos:
  - name: rolling
    objective: 99
    sli: {spans: {total: '{}', bad: '{ status = error }'}}
    by: [span.tenant.id]
  - name: calendar
    objective: 95
    window: {calendar: quarter, time_zone: Europe/Berlin}
    sli: {spans: {total: '{}', bad: '{ status = error }'}}
    by: [span.tenant.id]
  - name: slices
    objective: 90
    evidence: none
    sli: {spans: {total: '{}', bad: '{ status = error }'}, slices: {length: 1m, target: 90}}
  - name: gone
    objective: 99
    sli: {spans: {total: '{}', bad: '{ status = error }'}}
    by: [span.tenant.id]
---
apiVersion: burnline/v1
kind: CostBudget
service: chat
budgets:
  - name: money
    dollars: 5
    per: day
    by: [span.tenant.id]
"""


def _objectives():
    loaded = load({"slos.yaml": SLOS})
    assert not loaded.problems, loaded.problems
    return loaded.objectives


OBJECTIVES = _objectives()

# (objective, group, age, bad, good) of an event; the last group of the budget is of calls counted apart.
events = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), ages, st.integers(0, 9), st.integers(0, 90)),
    max_size=5,
)
histories = st.lists(
    st.tuples(
        steps, events, st.sampled_from(["", "", "", "silent", "replay", "restart", "reload"])
    ),
    min_size=2,
    max_size=25,
)


def _key(objective, group):
    values = (f"t{group}",) if objective.by else ()
    key = SeriesKey(objective.id, values, objective.generation)
    return beside(key) if objective.spend and group == 3 else key


def _deposit(clock, happened, *, silent, live):
    keys = tuple(_key(OBJECTIVES[which], group) for which, group, *_ in happened)
    times = [int(clock) - age for _, _, age, _, _ in happened]
    scale = [10**8 if OBJECTIVES[which].spend else 1 for which, *_ in happened]
    counts = [(bad * s, bad + good) for (*_, bad, good), s in zip(happened, scale, strict=True)]
    return Deposit(
        shard="0",
        clock=float(clock),
        live=live,
        keys=keys,
        entries=Entries(
            np.arange(len(keys)),
            np.array(times, np.int64),
            np.array(counts, np.int64).reshape(-1, 2),
        ),
        watermarks=(0.0, 0.0) if silent else (float(clock), 0.0),
    )


class _Whole(Shard):
    """Looks at all rows each time."""

    def take(self, deposit):
        take_intake, coarse = self.intake.take, list(self.coarse)
        self.intake.take = lambda d: (replace(u, touched=None) for u in take_intake(d))
        self.coarse = [_Untold(one) for one in coarse]
        try:
            yield from super().take(deposit)
        finally:
            del self.intake.take
            self.coarse = coarse


class _Untold:
    def __init__(self, coarse):
        self.coarse = coarse

    def take(self, update):
        return replace(self.coarse.take(update), touched=None)


def _same(one, other):
    """All fields of two decisions; of arrays every element and the type."""
    for name in one.__slots__:
        mine, theirs = getattr(one, name), getattr(other, name)
        if name == "spends" and mine is not None:
            for a, b in zip(mine, theirs, strict=True):
                np.testing.assert_array_equal(a, b)
        elif isinstance(mine, np.ndarray):
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
            assert mine.dtype == theirs.dtype
        else:
            assert mine == theirs, name


def _restarted(shard, kind, plan):
    """The shard as after a restart with these objectives, told of what fired before."""
    fresh = shard.restarted(plan)
    again = _Whole(plan) if kind is _Whole else Shard(plan)
    again.intake, again.coarse, again.decider = fresh.intake, fresh.coarse, fresh.decider
    return again


@settings(max_examples=120, deadline=None)
@given(history=histories)
def test_decides_as_if_all_rows_were_looked_at(history):
    with patch.multiple("slo.touched", FEW=0, MOST=float("inf")):
        plan = Plan(OBJECTIVES, shards=1)
        few, whole = Shard(plan), _Whole(plan)
        clock, told = START, ()
        for step, happened, what in history:
            clock += step
            if what in ("restart", "reload"):
                objectives = tuple(o for o in OBJECTIVES if what != "reload" or o.name != "gone")
                plan = Plan(objectives, shards=1, told=lambda told=told: told)
                few, whole = _restarted(few, Shard, plan), _restarted(whole, _Whole, plan)
            counted = [one for one in happened if OBJECTIVES[one[0]].id in plan.by_id]
            deposit = _deposit(clock, counted, silent=what == "silent", live=what != "replay")
            mine, theirs = list(few.take(deposit)), list(whole.take(deposit))
            assert len(mine) == len(theirs) == 1
            _same(mine[0], theirs[0])
            # As it may be where a snapshot is older than what was told last.
            told = tuple(replace(alert, starts_at=alert.starts_at + 2) for alert in mine[0].alerts)


def test_a_decision_is_not_changed_by_the_next():
    with patch.multiple("slo.touched", FEW=0, MOST=float("inf")):
        shard = Shard(Plan(OBJECTIVES, shards=1))
        event = (0, 1, 0, 1, 9)
        shard.run([_deposit(START, [event], silent=False, live=True)])
        (first,) = shard.take(_deposit(START + 1, [event], silent=False, live=True))
        before = first.total.copy(), first.period.copy(), first.lifetime.copy()
        shard.run([_deposit(START + 2, [event] * 3, silent=False, live=True)])
        after = first.total, first.period, first.lifetime
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("rows", [FEW, 4 * FEW])
def test_a_few_of_many_are_told_apart(rows):
    assert distinct(np.array([3, 1, 3]), rows).tolist() == [1, 3]
    assert distinct(np.arange(int(MOST * rows) + 1), rows) is None
    assert distinct(np.array([0]), FEW - 1) is None


def test_few_rows_of_a_large_shard_are_all_that_is_looked_at():
    objective = OBJECTIVES[0]
    keys = tuple(SeriesKey(objective.id, (str(n),), objective.generation) for n in range(2 * FEW))
    everywhere = Entries(
        np.arange(len(keys)), np.full(len(keys), START), np.tile([0, 1], (len(keys), 1))
    )
    shard = Shard(Plan((objective,), shards=1))
    marks = (float(START), 0.0)
    shard.run([Deposit("0", float(START), keys=keys, entries=everywhere, watermarks=marks)])
    (update,) = shard.intake.take(
        Deposit(
            "0",
            START + 1.0,
            keys=keys[7:8],
            entries=Entries(np.array([0]), np.array([START]), np.array([[1, 1]])),
            watermarks=marks,
        )
    )
    assert update.touched.tolist() == [7]
    (update,) = shard.intake.take(Deposit("0", START + 2.0, watermarks=marks))
    assert update.touched.tolist() == []
    (update,) = shard.intake.take(Deposit("0", START + 6.0, watermarks=marks))
    assert update.touched is None  # windows have moved on


def _pages(decision):
    return [alert for alert in decision.alerts if alert.severity == "page"]


def test_what_was_told_is_armed_again_by_the_clock_alone():
    """One bad event of six is no evidence, but the page was told, and began a second from now."""
    with patch.multiple("slo.touched", FEW=0, MOST=float("inf")):
        burning = Shard(Plan(OBJECTIVES[:1], shards=1))
        (decision,) = burning.take(_deposit(START, [(0, 1, 0, 9, 0)], silent=False, live=True))
        told = tuple(replace(alert, starts_at=START + 1.0) for alert in decision.alerts)
        assert told
        shard = Shard(Plan(OBJECTIVES[:1], shards=1, told=lambda: told))
        (decision,) = shard.take(_deposit(START, [(0, 1, 0, 1, 5)], silent=False, live=False))
        assert not _pages(decision)
        (decision,) = shard.take(_deposit(START + 1, [], silent=False, live=False))
        assert _pages(decision)


def test_alerts_go_on_when_their_source_is_heard_again_whatever_row_it_touches():
    with patch.multiple("slo.touched", FEW=0, MOST=float("inf")):
        shard = Shard(Plan(OBJECTIVES[:1], shards=1))
        quiet, burning = (0, 2, 0, 0, 9), (0, 1, 0, 90, 0)
        shard.run([_deposit(START + 2, [quiet, burning], silent=False, live=True)])
        late = START + 40 * 86400
        (decision,) = shard.take(_deposit(late, [], silent=True, live=True))
        assert decision.frozen.all()
        assert decision.alerts
        (decision,) = shard.take(_deposit(late + 1, [quiet], silent=False, live=True))
        assert not decision.alerts
        assert decision.ended


def test_a_budget_that_is_consumed_within_a_bucket_is_told_before_the_bucket_ends():
    with patch.multiple("slo.touched", FEW=0, MOST=float("inf")):
        shard = Shard(Plan(OBJECTIVES[:1], shards=1))
        quiet, bad = (0, 1, 0, 0, 90), (0, 1, 0, 20, 0)
        (decision,) = shard.take(_deposit(START, [quiet], silent=False, live=True))
        assert not decision.alerts
        (decision,) = shard.take(_deposit(START + 2, [bad], silent=False, live=True))
        assert {"info"} <= {alert.severity for alert in decision.alerts}
