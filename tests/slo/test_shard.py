"""A shard over restarts, changed SLO files and hostile numbers."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from slo.burn import resolve_tiers
from slo.columns import Field
from slo.decision import SeriesKey
from slo.increments import Point
from slo.messages import Deposit, Tally
from slo.model import CalendarWindow, CounterSli, Objective, RollingWindow, Slices, SpanSli
from slo.plan import Plan
from slo.promql import parse_selector
from slo.shard import MOST_AT_ONCE, OVERFLOW
from slo.traceql import parse_filter
from slo.windows import Entries
from tests.strategies.shards import Shard

DAY = 86400
START = 1_700_000_000 // DAY * DAY
TARGET = Fraction(999, 1000)


def _objective(name="o", window=None, **fields):
    window = window or RollingWindow(30 * DAY)
    fields.setdefault(
        "sli", SpanSli(total=parse_filter("{}"), bad=parse_filter("{ status = error }"))
    )
    return Objective(
        service="s",
        name=name,
        target=TARGET,
        window=window,
        tiers=resolve_tiers(TARGET, 30 * DAY)[0],
        **fields,
    )


def _key(objective, group=()):
    return SeriesKey(objective.id, group, objective.generation)


def _deposit(objective, clock, *, bad=0, total=10, time=None, groups=((),), tallies=()):
    rows = len(groups)
    at = int(clock) if time is None else time
    return Deposit(
        shard="0",
        clock=float(clock),
        keys=tuple(_key(objective, group) for group in groups),
        entries=Entries(
            np.arange(rows), np.full(rows, at), np.array([[bad, total]] * rows, np.int64)
        ),
        tallies=tallies,
        watermarks=(float(clock), float(clock)),
    )


def _tick(clock):
    return Deposit(shard="0", clock=float(clock), watermarks=(float(clock), float(clock)))


def _plan(*objectives, **fields):
    return Plan(objectives, shards=1, **fields)


def _window(decision, seconds, row=0):
    return decision.total[row, decision.windows.index(seconds)]


@pytest.mark.parametrize("before", [True, False], ids=["removed", "added"])
def test_an_objective_with_a_window_of_its_own_comes_or_goes(before):
    month, week = _objective(), _objective("week", RollingWindow(7 * DAY))
    both, one = _plan(month, week), _plan(month)
    shard = Shard(both if before else one)
    clocks = range(START, START + 20 * DAY, 3600)
    shard.run(_deposit(month, clock) for clock in clocks)
    shard = shard.restarted(one if before else both)
    (decision,) = shard.run([_tick(clocks[-1] + 1)])
    assert _window(decision, 30 * DAY) == 10 * len(clocks)
    if not before:
        # The far edge lies inside a bucket of two hours, which is kept whole.
        assert _window(decision, 7 * DAY) == 10 * (7 * 24 + 2)


@pytest.mark.parametrize("restart", [True, False])
def test_more_events_in_a_bucket_than_32_bits_hold_leave_the_windows_again(restart):
    objective = _objective()
    shard = Shard(_plan(objective))
    shard.run([_deposit(objective, START, total=2**31 - 5)])
    shard.run([_deposit(objective, START + 1, total=5_000_000_000)])
    if restart:
        shard = shard.restarted(_plan(objective, _objective("w", RollingWindow(7 * DAY))))
    expected = 2**31 - 5 + 5_000_000_000
    decisions = shard.run(_tick(START + after) for after in range(120, 7 * 3600, 120))
    for window in (300, 1800, 3600, 7200, 21600, DAY):
        found = [_window(d, window) for d in decisions if d.clock - START <= window - 120]
        assert found == [expected] * len(found)
    last = decisions[-1]
    assert [_window(last, w) for w in (300, 1800, 3600, 7200, 21600)] == [0] * 5
    assert _window(last, 30 * DAY) == expected


def test_a_window_of_another_calendar_unit_starts_anew():
    month = _objective(window=CalendarWindow("month", "UTC"))
    shard = Shard(_plan(month))
    shard.run([_deposit(month, START)])
    day = _objective(window=CalendarWindow("day", "UTC"))
    shard = shard.restarted(_plan(day))
    (decision,) = shard.run([_deposit(day, START + DAY, total=3)])
    assert decision.period.tolist() == [[0, 3]]
    shard = shard.restarted()
    (decision,) = shard.run([_deposit(day, START + DAY + 60, total=4)])
    assert decision.period.tolist() == [[0, 7]]


def test_a_calendar_period_that_ended_while_its_objective_was_away():
    day = CalendarWindow("day", "UTC")
    away, stays = _objective("away", day), _objective("stays", day)
    shard = Shard(_plan(away, stays))
    shard.run([_deposit(away, START), _deposit(stays, START)])
    shard = shard.restarted(_plan(stays))
    shard.run([_deposit(stays, START + DAY)])
    shard = shard.restarted(_plan(away, stays))
    (decision,) = shard.run([_deposit(away, START + DAY + 60, total=3)])
    assert decision.period.tolist() == [[0, 3], [0, 10]]


def test_a_slice_that_is_half_forgotten_is_not_counted_again():
    objective = _objective(slices=Slices(60, Fraction(9, 10)))
    shard = Shard(_plan(objective))
    shard.run([_deposit(objective, START + 10)])
    shard.run([_tick(START + 120)])
    shard.run([_deposit(objective, START + 240 * 60 + 20, time=START + 20)])
    decision = shard.run([_deposit(objective, START + 240 * 60 + 30, time=START + 50)])[-1]
    assert decision.lifetime.tolist() == [[0, 1]]
    assert decision.too_late == 20


def test_explained_dimensions_may_change_between_runs():
    one = _objective(explain=(Field("span", "a"),))
    two = replace(one, explain=(Field("span", "a"), Field("span", "b")))

    def burning(objective, clock, values):
        tally = Tally(_key(objective), values, 10, 10, ("ab" * 16,))
        return _deposit(objective, clock, bad=10, tallies=(tally,))

    shard = Shard(_plan(one))
    shard.run(burning(one, START + i, ("x",)) for i in range(50))
    shard = shard.restarted(_plan(two))
    decision = shard.run([burning(two, START + 60, ("x", "y"))])[-1]
    assert decision.alerts


def test_explanations_are_kept_for_no_more_series_than_there_are():
    objective = _objective(by=(Field("span", "t"),), explain=(Field("span", "m"),))
    shard = Shard(_plan(objective, series_limit=10))
    for second in range(5):
        groups = tuple((f"{second}-{i}",) for i in range(100))
        tallies = tuple(Tally(_key(objective, g), ("x",), 1, 10, ()) for g in groups)
        deposit = _deposit(objective, START + second, groups=groups, tallies=tallies)
        shard.run([deposit])
    known = set(shard.decider.explainers)
    assert known == set(shard.intake.keys)
    assert _key(objective, (OVERFLOW,)) in known
    shard.run([_tick(START + 2 * 3600)])
    assert not shard.decider.explainers


def test_alerts_of_an_objective_that_is_gone_are_not_told_again():
    gone, stays = _objective("gone"), _objective("stays")
    shard = Shard(_plan(gone, stays))
    firing = shard.run(_deposit(gone, START + i, bad=10) for i in range(50))[-1]
    assert firing.alerts
    shard = shard.restarted(_plan(stays))
    # Within the second in which alerts are told as they were.
    (decision,) = shard.run([_deposit(stays, START + 49.5)])
    assert decision.alerts == ()


def test_bad_events_whose_total_has_not_come_yet_fire_nothing():
    objective = _objective()
    shard = Shard(_plan(objective))
    (decision,) = shard.run([_deposit(objective, START, bad=50, total=0)])
    assert decision.alerts == ()
    decision = shard.run([_deposit(objective, START + 1, bad=0, total=50)])[-1]
    assert {alert.severity for alert in decision.alerts} == {"page", "ticket", "info"}


def _counter(name="m"):
    sli = CounterSli(total=parse_selector("all_total"), bad=parse_selector("bad_total"))
    return _objective(name, sli=sli)


def _point(objective, value, stream=b"s", start=START, time=START + 10, *, cumulative=False):
    return Point(
        objective=objective.id,
        role="total",
        stream=stream * 16,
        family=b"f" * 16,
        group=(),
        start_ns=start * 10**9,
        time_ns=time * 10**9,
        cumulative=cumulative,
        value=value,
    )


def test_counters_that_jump_beyond_64_bits_are_bounded():
    objective = _counter()
    points = tuple(_point(objective, 2**63 - 1, stream) for stream in (b"1", b"2", b"3"))
    shard = Shard(_plan(objective))
    deposit = replace(_tick(START + 20), points=points)
    (decision,) = shard.run([deposit])
    assert decision.lifetime.tolist() == [[0, MOST_AT_ONCE]]


def test_a_restart_does_not_forget_which_counters_were_absent():
    first, second = _counter("first"), _counter("second")
    since = {first.id: START * 10**9, second.id: (START + 1) * 10**9}
    plan = _plan(first, second, watched_since=since)
    whole, cut = Shard(plan), Shard(plan)

    def arrival(time, *streams):
        points = tuple(
            _point(o, 5, stream, start=START - 3600, time=time, cumulative=True)
            for o, own in ((first, streams), (second, [s.upper() for s in streams]))
            for stream in own
        )
        return replace(_tick(time), points=points)

    told = [arrival(START + 10, b"a"), arrival(START + 20, b"a")]
    new = arrival(START + 30, b"a", b"b")
    whole.run(told)
    cut.run(told)
    (expected,), (found,) = whole.run([new]), cut.restarted().run([new])
    assert expected.lifetime.tolist() == [[0, 5], [0, 5]]
    assert found.lifetime.tolist() == expected.lifetime.tolist()
