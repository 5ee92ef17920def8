"""Windows against a brute-force list of events: exact integers, any order."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dataflows.steps import CoarseStep, DecideStep, IntakeStep
from engine.telemetry.watch import Watch
from slo.decision import SeriesKey
from slo.messages import Deposit
from slo.model import Objective, RollingWindow, SpanSli
from slo.plan import Plan
from slo.traceql import parse_filter
from slo.windows import GRANULARITIES, Entries, build_levels, level_of, reach
from tests.strategies.shards import Shard, histories

START = 1_700_000_003
OBJECTIVE = Objective(
    service="s",
    name="o",
    target=Fraction(999, 1000),
    window=RollingWindow(30 * 86400),
    sli=SpanSli(total=parse_filter("{}"), bad=parse_filter("{ status = error }")),
)
PLAN = Plan((OBJECTIVE,), shards=1)


def _key(row: int) -> SeriesKey:
    return SeriesKey(OBJECTIVE.id, (str(row),), OBJECTIVE.generation)


def _deposits(history, *, exact=False):
    clock = START
    for step, events in history:
        clock += step
        entries = Entries(
            np.array([row for row, *_ in events], np.int64),
            np.array([clock - age for _, age, _, _ in events], np.int64),
            np.array([(min(b, t), t) for _, _, b, t in events], np.int64).reshape(-1, 2),
        )
        yield Deposit(
            shard="0",
            clock=float(clock),
            exact=exact,
            keys=tuple(_key(row) for row in range(3)),
            entries=entries,
            watermarks=(float(clock), 0.0),
        )


def _expected(history, clock, row, window):
    """Bad and total by going through every event that has arrived by the clock."""
    granularity = GRANULARITIES[level_of(window)]
    edge = (clock // granularity - reach(window, granularity) + 1) * granularity
    bad = total = 0
    arrival = START
    for step, events in history:
        arrival += step
        if arrival > clock:
            break
        for event_row, age, b, t in events:
            time = arrival - age
            # What was older than every window when it came is counted nowhere.
            if event_row == row and time >= edge and age < PLAN.horizon:
                bad += min(b, t)
                total += t
    return bad, total


@settings(max_examples=150, deadline=None)
@given(histories)
# Just behind an edge of the fourth level, inside a bucket of the third.
@example([(126, [(0, 0, 0, 1)]), (1, []), (86370, [])])
def test_windows_equal_the_list_of_events(history):
    decisions = Shard(PLAN).run(_deposits(history))
    assert len(decisions) == len(history)
    clocks = np.cumsum([step for step, _ in history]) + START
    for position, (decision, clock) in enumerate(zip(decisions, clocks, strict=True)):
        assert decision.clock == clock
        so_far = history[: position + 1]
        for at, key in enumerate(decision.series):
            for column, window in enumerate(decision.windows):
                expected = _expected(so_far, int(clock), int(key.group[0]), window)
                found = (decision.bad[at, column], decision.total[at, column])
                assert found == expected, (window, key)


@settings(max_examples=60, deadline=None)
@given(histories)
def test_deciding_between_arrivals_leaves_the_same_windows(history):
    plain = Shard(PLAN).run(_deposits(history))[-1]
    exact = Shard(PLAN).run(_deposits(history, exact=True))[-1]
    assert plain.series == exact.series
    np.testing.assert_array_equal(plain.bad, exact.bad)
    np.testing.assert_array_equal(plain.total, exact.total)
    np.testing.assert_array_equal(plain.lifetime, exact.lifetime)


@settings(max_examples=60, deadline=None)
@given(histories, st.data())
def test_snapshot_and_restore_change_nothing(history, data):
    cut = data.draw(st.integers(0, len(history)))
    deposits = list(_deposits(history))
    whole = Shard(PLAN).run(deposits)
    first = Shard(PLAN)
    before = first.run(deposits[:cut])
    second = Shard(PLAN)
    intake = IntakeStep(PLAN, Watch(), None)
    intake.intake = first.intake
    second.intake = IntakeStep(PLAN, Watch(), intake.snapshot()).intake
    for n, coarse in enumerate(first.coarse):
        step = CoarseStep(PLAN, Watch(), n + 1, None)
        step.coarse = coarse
        second.coarse[n] = CoarseStep(PLAN, Watch(), n + 1, step.snapshot()).coarse
    decide = DecideStep(PLAN, Watch(), None)
    decide.decider = first.decider
    second.decider = DecideStep(PLAN, Watch(), decide.snapshot()).decider
    after = second.run(deposits[cut:])
    for left, right in zip(whole, before + after, strict=True):
        assert (left.series, left.alerts, left.ended) == (
            right.series,
            right.alerts,
            right.ended,
        )
        np.testing.assert_array_equal(left.bad, right.bad)
        np.testing.assert_array_equal(left.total, right.total)
        np.testing.assert_array_equal(left.period, right.period)


def test_each_granularity_divides_the_next():
    pairs = itertools.pairwise(GRANULARITIES)
    assert all(coarse % fine == 0 for fine, coarse in pairs)


def test_a_level_fitted_to_other_windows_keeps_its_history():
    level = build_levels({300, 600})[0]
    level.advance(START)
    rng = np.random.default_rng(1)
    for clock in range(START, START + 900, 7):
        level.advance(clock)
        level.deposit(Entries(np.zeros(1, np.int64), np.array([clock]), rng.integers(0, 9, (1, 2))))
    wider = level.fitted((300, 450, 900), level.parent)
    assert wider.sums[0, 0].tolist() == level.sums[0, 0].tolist()
    again = wider.fitted((300, 600), level.parent)
    np.testing.assert_array_equal(again.sums[:1], level.sums[:1])
    for clock in range(START + 900, START + 1200, 7):
        for ring in (level, again):
            ring.advance(clock)
            one = np.ones((1, 2), np.int64)
            ring.deposit(Entries(np.zeros(1, np.int64), np.array([clock]), one))
    np.testing.assert_array_equal(again.sums[:1], level.sums[:1])


def test_windows_are_at_least_five_minutes():
    with pytest.raises(ValueError, match="5 minutes"):
        build_levels({60})


def test_every_window_has_at_least_sixty_buckets():
    for window in (300, 1800, 3600, 7200, 21600, 86400, 259200, 7 * 86400, 30 * 86400):
        assert window / GRANULARITIES[level_of(window)] >= 60


def test_state_a_series_stays_under_16_kib_for_30_days():
    size = 0
    for n in range(len(GRANULARITIES)):
        level = PLAN.level(n)
        level.grow(1000)
        trimmed = level.trimmed()
        size += trimmed.ring.nbytes + trimmed.sums.nbytes + trimmed.carry.nbytes
    assert size / 1000 < 16 * 1024


def test_a_clock_that_goes_back_moves_nothing():
    shard = Shard(PLAN)
    (first,) = shard.run(_deposits([(100, [(0, 0, 1, 2)])]))
    again = shard.run(
        [Deposit(shard="0", clock=first.clock - 3600, watermarks=(first.clock - 3600, 0.0))]
    )
    assert again[0].clock == first.clock
    np.testing.assert_array_equal(again[0].total, first.total)
