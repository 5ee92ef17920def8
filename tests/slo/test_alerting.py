"""When alerts start, stay and end: evidence, freezing, budgets, groups, calendars, slices."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from slo.decision import SeriesKey, budget_remaining
from slo.evidence import evident, exceeds
from slo.messages import Deposit
from slo.model import CalendarWindow, Objective, RollingWindow, Slices, SpanSli, Tier
from slo.plan import Plan
from slo.shard import OVERFLOW
from slo.traceql import parse_filter
from slo.windows import Entries
from tests.strategies.shards import Shard

START = 1_700_000_000 // 86400 * 86400
FAST = Tier(
    "page", 300, 3600, Fraction(2, 100), Fraction(72, 5), Fraction(72, 5) * Fraction(1, 1000)
)
OBJECTIVE = Objective(
    service="chat",
    name="availability",
    target=Fraction(999, 1000),
    window=RollingWindow(30 * 86400),
    sli=SpanSli(total=parse_filter("{}"), bad=parse_filter("{ status = error }")),
    tiers=(FAST,),
    evidence=None,
)


class Stream:
    """Deposits for one objective, in the order of the clock."""

    def __init__(self, objective, **settings):
        self.objective = objective
        self.shard = Shard(Plan((objective,), shards=1, **settings))

    def send(self, clock, bad=0, total=0, group=(), age=0):
        key = SeriesKey(self.objective.id, group, self.objective.generation)
        entries = Entries(np.zeros(1, np.int64), np.array([clock - age]), np.array([[bad, total]]))
        deposit = Deposit(
            shard="0",
            clock=float(clock),
            keys=(key,),
            entries=entries,
            watermarks=(float(clock), 0.0),
        )
        return self.shard.run([deposit])[-1]

    def tick(self, clock):
        return self.shard.run([Deposit(shard="0", clock=float(clock))])[-1]


def _burns(decision):
    return [a for a in decision.alerts if a.kind == "burn"]


def test_one_failed_request_does_not_page_with_evidence_and_does_without():
    plain, careful = Stream(OBJECTIVE), Stream(replace(OBJECTIVE, evidence=0.95))
    # One failure among forty: burn 25, above the factor of 14.4, and no proof of anything.
    assert _burns(plain.send(START, 1, 40))
    assert not _burns(careful.send(START, 1, 40))
    assert _burns(careful.send(START + 1, 5, 40))


def _second(objective, *batches, live=False):
    """What one second's batches become where they are read again: one deposit, with the newest's clock."""
    key = SeriesKey(objective.id, (), objective.generation)
    return Deposit(
        shard="0",
        clock=batches[-1][0],
        live=live,
        keys=(key,),
        entries=Entries(
            np.zeros(len(batches), np.int64),
            np.array([int(clock) for clock, _, _ in batches]),
            np.array([counts for _, *counts in batches]),
        ),
        watermarks=(batches[-1][0], 0.0),
    )


@pytest.mark.parametrize("told", [True, False])
def test_a_page_that_was_told_after_the_last_snapshot_needs_no_evidence_to_go_on(told):
    """Live it had the evidence of a first batch; read again with the rest of its second, it has none."""
    objective = replace(OBJECTIVE, evidence=0.95)
    stream = Stream(objective)
    stream.send(START, 0, 10)
    kept = stream.shard.restarted()
    first, second = (START + 1.1, 2, 2), (START + 1.9, 0, 60)
    (page,) = _burns(stream.shard.run([_second(objective, first, live=True)])[-1])
    (goes_on,) = _burns(stream.shard.run([_second(objective, second, live=True)])[-1])
    assert goes_on.starts_at == page.starts_at == START + 1.1
    plan = replace(stream.shard.plan, told=lambda: (goes_on,) if told else ())
    again = kept.restarted(plan)
    again.run([_second(objective, first, second)])
    found = [_burns(again.run([_tick(START + 2 + n)])[-1]) for n in range(6)]
    if told:
        assert [[alert.starts_at for alert in alerts] for alerts in found] == [[START + 1.1]] * 6
    else:
        assert found == [[]] * 6
    # What was told is no licence: once it is over it needs evidence again.
    again.run([_second(objective, (START + 400.0, 0, 10_000), live=True)])
    over = again.run([_second(objective, (START + 4001.0, 1, 60), live=True)])[-1]
    assert not _burns(over)


def test_a_budget_event_that_was_told_goes_on_just_under_its_level():
    objective = replace(OBJECTIVE, tiers=())
    stream = Stream(objective)
    kept = stream.shard.restarted()
    first, second = (START + 1.1, 6, 10_000), (START + 2.9, 0, 2_200)
    (told,) = stream.shard.run([_second(objective, first, live=True)])[-1].alerts
    (goes_on,) = stream.shard.run([_second(objective, second, live=True)])[-1].alerts
    assert told.consumed == goes_on.consumed == 0.5
    again = kept.restarted(replace(stream.shard.plan, told=lambda: (goes_on,)))
    again.run([_second(objective, first, second)])
    for n in range(6):
        (alert,) = again.run([_tick(START + 3 + n)])[-1].alerts
        assert (alert.consumed, alert.starts_at) == (0.5, told.starts_at)


def _tick(clock):
    return Deposit(shard="0", clock=float(clock), watermarks=(float(clock), 0.0))


def test_an_alert_keeps_its_start_while_it_fires_and_says_when_it_ended():
    stream = Stream(OBJECTIVE)
    (first,) = _burns(stream.send(START, 50, 100))
    (later,) = _burns(stream.send(START + 60, 50, 100))
    assert first.starts_at == later.starts_at == START
    assert first.burn_short == pytest.approx(500)
    decision = stream.send(START + 400, 0, 1000)
    assert not _burns(decision)
    (ended,) = [a for a in decision.ended if a.kind == "burn"]
    assert (ended.starts_at, ended.ends_at) == (START, START + 400)


def test_no_traffic_burns_nothing_and_an_alert_ends_while_its_source_is_alive():
    stream = Stream(OBJECTIVE)
    stream.send(START, 50, 100)
    assert _burns(stream.send(START + 200, 0, 0))
    assert not _burns(stream.send(START + 310, 0, 0))


def test_a_silent_source_freezes_its_alerts_and_thaws_with_data():
    stream = Stream(OBJECTIVE, stale_after=120)
    (before,) = _burns(stream.send(START, 50, 100))
    for clock in (START + 121, START + 3600, START + 86400):
        decision = stream.tick(clock)
        assert decision.frozen.all()
        (still,) = _burns(decision)
        assert still.starts_at == before.starts_at
        assert not decision.ended
    decision = stream.send(START + 86401, 0, 10)
    assert not decision.frozen.any()
    assert not _burns(decision)


def test_a_silent_source_does_not_fire_either():
    # The errors are too few for the hour until the good events have left it.
    for stale_after, fires in ((60, False), (300, True)):
        stream = Stream(OBJECTIVE, stale_after=stale_after)
        stream.send(START, 0, 10_000)
        assert not _burns(stream.send(START + 3500, 50, 100))
        assert bool(_burns(stream.tick(START + 3650))) == fires


def test_a_threshold_that_is_met_exactly_does_not_fire():
    stream = Stream(OBJECTIVE)
    assert not _burns(stream.send(START, 144, 10_000))
    assert _burns(stream.send(START + 1, 1, 1))


def test_budget_levels_start_one_after_the_other_and_hold_until_well_below():
    stream = Stream(replace(OBJECTIVE, tiers=()))

    def levels(decision):
        return [a.consumed for a in decision.alerts], [a.consumed for a in decision.ended]

    assert levels(stream.send(START, 49, 100_000)) == ([], [])
    assert levels(stream.send(START + 10, 2, 0)) == ([0.5], [])
    assert levels(stream.send(START + 20, 30, 0)) == ([0.8], [0.5])
    decision = stream.send(START + 30, 20, 0)
    assert levels(decision) == ([1.0], [0.8])
    (alert,) = decision.alerts
    assert (alert.severity, alert.starts_at) == ("info", START + 30)
    assert alert.budget_remaining == pytest.approx(-0.01)
    # Falling below a level by less than the release keeps it.
    assert levels(stream.send(START + 40, 0, 2_000)) == ([1.0], [])
    assert levels(stream.send(START + 50, 0, 10_000)) == ([0.8], [1.0])


def test_the_sum_over_groups_has_counts_and_no_alerts():
    stream = Stream(OBJECTIVE)
    decision = stream.send(START, 50, 100, group=None)
    assert decision.period.tolist() == [[50, 100]]
    assert not decision.alerts


def test_groups_beyond_the_limit_share_an_overflow_series():
    stream = Stream(OBJECTIVE, series_limit=1)
    for n in range(50):
        decision = stream.send(START + n, 0, 1, group=(f"model-{n}",))
    limit = stream.shard.plan.shard_limit
    assert len(decision.series) == limit + 1
    row = decision.series.index(SeriesKey(OBJECTIVE.id, (OVERFLOW,), OBJECTIVE.generation))
    assert decision.lifetime[row].tolist() == [0, 50 - limit]
    assert decision.lifetime[:, 1].sum() == 50


def test_events_older_than_every_window_are_counted_apart():
    stream = Stream(OBJECTIVE)
    stream.send(START, 0, 1)
    decision = stream.send(START + 1, 7, 7, age=31 * 86400)
    assert decision.total.max() == 1
    assert stream.shard.intake.too_late == 7


def test_calendar_month_starts_anew_in_its_time_zone():
    objective = replace(OBJECTIVE, window=CalendarWindow("month", "Europe/Berlin"), tiers=())
    stream = Stream(objective)
    november = 1_761_951_600  # 2025-11-01 00:00 in Berlin
    before = stream.send(november - 10, 5, 100)
    assert before.period.tolist() == [[5, 100]]
    # Late events of October are no business of November's budget.
    after = stream.send(november + 5, 1, 10)
    assert after.period.tolist() == [[1, 10]]
    late = stream.send(november + 6, 9, 9, age=60)
    assert late.period.tolist() == [[1, 10]]
    assert late.total[0].max() == 119


def test_slices_count_as_one_event_each_and_late_events_correct_them():
    slices = Slices(60, Fraction(95, 100))
    stream = Stream(replace(OBJECTIVE, slices=slices, tiers=()))
    stream.send(START, 1, 10)
    assert stream.send(START + 30, 0, 5).period.tolist() == [[0, 0]]
    # 14 of 15 good are under 95 %.
    assert stream.send(START + 61, 0, 5).period.tolist() == [[1, 1]]
    # Five more good events of the first minute make it 19 of 20.
    assert stream.send(START + 62, 0, 5, age=10).period.tolist() == [[0, 1]]
    # The second minute is good; the third had no traffic and is no event.
    assert stream.send(START + 200, 0, 0).period.tolist() == [[0, 2]]


@given(st.integers(0, 500), st.integers(0, 5000), st.floats(0.0001, 0.99))
def test_evidence_is_the_jeffreys_bound(bad, good, threshold):
    bound = beta.ppf(0.05, bad + 0.5, good + 0.5)
    if abs(bound - threshold) < 1e-9:
        return
    found = evident(
        np.array([bad]), np.array([bad + good]), np.array([threshold]), np.array([0.95])
    )
    assert found[0] == (bound > threshold)


@given(
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.fractions(min_value=Fraction(1, 10**6), max_value=1, max_denominator=10**6),
    st.booleans(),
)
def test_comparison_is_exact(bad, total, threshold, on_the_line):
    if on_the_line:
        bad = int(threshold * total)
    found = exceeds(
        np.array([[bad]]), np.array([[total]]), np.array([[float(threshold)]]), [[threshold]]
    )
    assert found[0, 0] == ((total > 0 and bad > threshold * total) or (total == 0 and bad > 0))


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 99999))
def test_budget_against_exact_fractions(bad, good, target):
    target = Fraction(target, 100_000)
    total = bad + good
    expected = 1 - Fraction(bad, total) / (1 - target) if total else 1
    assert budget_remaining(target, bad, total) == float(expected)
