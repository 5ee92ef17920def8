"""Cost budgets of a shard against fractions and plain lists of events."""

from collections import Counter
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slo
from slo.calendars import period_end, period_start
from slo.decision import OVERFLOW, SeriesKey
from slo.forecast import forecast_windows
from slo.messages import Deposit, Tally
from slo.model import CalendarWindow
from slo.plan import Plan, beside
from slo.rendering import render
from slo.spending import NANO, factors
from slo.windows import GRANULARITIES, Entries, level_of, reach
from tests.strategies.shards import Shard

BERLIN = ZoneInfo("Europe/Berlin")
START = int(
    datetime(2026, 3, 27, 12, tzinfo=BERLIN).timestamp()
)  # two days before its longest hour


def _budget(text="", **changes):
    yaml = f"""
apiVersion: burnline/v1
kind: CostBudget
service: s
budgets:
  - name: b
    dollars: 100
    {text}
"""
    loaded = slo.load({"f": yaml})
    assert not loaded.problems, loaded.problems
    return replace(loaded.objectives[0], **changes)


def _deposit(objective, clock, events=(), *, apart=(), tallies=(), live=True, groups=((),)):
    """Events are (time, nanodollars)."""
    keys = [SeriesKey(objective.id, group, objective.generation) for group in groups]
    keys.append(beside(keys[0]))
    rows = [(row, t, n, 1) for row in range(len(groups)) for t, n in events]
    rows += [(len(groups), t, refused, unpriced) for t, refused, unpriced in apart]
    entries = Entries.none()
    if rows:
        at, times, first, second = np.array(rows, np.int64).T
        entries = Entries(at, times, np.stack([first, second], axis=1))
    return Deposit(
        shard="0",
        clock=float(clock),
        live=live,
        keys=tuple(keys) if rows else (),
        entries=entries,
        tallies=tallies,
        watermarks=(float(clock), 0.0),
    )


def _in_window(events, clock, window):
    """What a window holds, by the rule of its level's buckets."""
    bucket = GRANULARITIES[level_of(window)]
    return sum(n for t, n in events if t // bucket > clock // bucket - reach(window, bucket))


def _expected(objective, events, clock):
    """(tier armed, level reached) by fractions."""
    spend, window = objective.spend, objective.window
    if isinstance(window, CalendarWindow):
        start, end = period_start(window, clock), period_end(window, clock)
        spent, length = sum(n for t, n in events if t >= start), end - start
    else:
        spent, length = _in_window(events, clock, window.seconds), window.seconds
    armed = [
        all(
            _in_window(events, clock, w) / (Fraction(spend.amount * w) / length) > factor
            for w in (tier.short, tier.long)
        )
        for tier, factor in zip(objective.tiers, factors(objective, length), strict=True)
    ]
    reached = [level for level in spend.levels if Fraction(spent, spend.amount) >= level]
    return spent, armed, max(reached, default=None)


BUDGETS = [
    _budget("per: month"),
    _budget("per: day\n    time_zone: Europe/Berlin"),
    _budget(
        "per: week\n    alerts: {tiers: {own: {severity: page, short: 5m, long: 1h, factor: 3}}}"
    ),
    _budget("per: hour\n    time_zone: Asia/Kathmandu"),
    _budget(
        "per: month\n    time_zone: Europe/Berlin\n    alerts: {tiers: {page-fast: {factor: 3}}}"
    ),
]
steps = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 40), st.integers(0, 4000), st.integers(0, 90_000)),
        st.lists(
            st.tuples(
                st.one_of(st.integers(0, 10), st.integers(0, 90_000)),
                st.one_of(st.integers(0, NANO), st.integers(0, 60 * NANO)),
            ),
            max_size=4,
        ),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(BUDGETS), steps, st.integers(0, 19))
def test_a_budget_says_what_fractions_say(objective, history, restart):
    plan = Plan((objective,), shards=1)
    shard, clock, events = Shard(plan), START, []
    for number, (passed, new) in enumerate(history):
        clock += max(1, passed)
        fresh = [(clock - age, amount) for age, amount in new]
        events += fresh
        (decision,) = shard.take(_deposit(objective, clock, fresh))
        if number == restart:
            shard = shard.restarted()
        if not events:
            continue
        spent, armed, level = _expected(objective, events, clock)
        assert decision.period[0, 0] == spent
        said = {(a.kind, a.severity, a.consumed) for a in decision.alerts}
        wanted = {
            ("overspend", tier.severity, None)
            for tier, on in zip(objective.tiers, armed, strict=True)
            if on
        }
        if level is not None:
            wanted.add(("spent", "page" if level >= 1 else "ticket", float(level)))
        assert said == wanted


def _told(shard, deposits):
    """(what, level, period start) of warnings in order, as a board would tell them."""
    told, firing = [], {}
    for deposit in deposits:
        for decision in shard.take(deposit):
            now = {(a.consumed, a.spent.since) for a in decision.alerts if a.kind == "spent"}
            told += [("fired", *each) for each in sorted(now - set(firing))]
            told += [("ended", *each) for each in sorted(set(firing) - now)]
            firing = dict.fromkeys(now)
    return told


def test_each_level_is_told_once_a_period_and_a_jump_tells_the_highest():
    objective = _budget("per: hour")
    shard = Shard(Plan((objective,), shards=1))
    hour = START // 3600 * 3600
    end = hour + 3600
    deposits = [
        _deposit(objective, hour + 5, [(hour + 5, 79 * NANO)]),
        _deposit(objective, hour + 10, [(hour + 9, NANO)]),
        _deposit(objective, hour + 15),
        _deposit(objective, hour + 20, [(hour + 1, 25 * NANO)]),  # late, and past two levels
        _deposit(objective, hour + 25, [(hour - 30, 500 * NANO)]),  # of the hour before
        _deposit(objective, end),
        _deposit(objective, end + 1, [(end - 1, 500 * NANO)]),  # late, of an hour that is over
        _deposit(objective, end + 2, [(end + 1, 100 * NANO)]),
    ]
    assert _told(shard, deposits) == [
        ("fired", 0.8, hour),
        ("fired", 1.0, hour),
        ("ended", 0.8, hour),
        ("ended", 1.0, hour),
        ("fired", 1.0, end),
    ]


def test_a_period_that_begins_over_a_level_is_another_alert():
    objective = _budget("per: hour")
    shard = Shard(Plan((objective,), shards=1))
    hour = START // 3600 * 3600
    (first,) = shard.take(_deposit(objective, hour + 5, [(hour + 5, 100 * NANO)]))
    (second,) = shard.take(_deposit(objective, hour + 3601, [(hour + 3600, 100 * NANO)]))
    (alert,), (over,), (fresh,) = first.alerts, second.ended, second.alerts
    assert (over.starts_at, over.ends_at) == (alert.starts_at, hour + 3601)
    assert fresh.starts_at == hour + 3601
    labels = [render(one, objective).labels for one in (alert, over, fresh)]
    assert labels[0] == labels[1] != labels[2]
    assert labels[2]["period_start"] == datetime.fromtimestamp(
        hour + 3600, ZoneInfo("UTC")
    ).strftime("%Y-%m-%dT%H:%M%z")


def test_another_amount_keeps_what_was_counted():
    objective = _budget("per: hour")
    hour = START // 3600 * 3600
    shard = Shard(Plan((objective,), shards=1))
    (decision,) = shard.take(_deposit(objective, hour + 5, [(hour, 100 * NANO)]))
    assert [a.consumed for a in decision.alerts] == [1.0]
    raised = replace(objective, spend=replace(objective.spend, amount=200 * NANO))
    shard = shard.restarted(Plan((raised,), shards=1))
    (decision,) = shard.take(_deposit(raised, hour + 6))
    assert (decision.period[0, 0], decision.alerts) == (100 * NANO, ())
    assert decision.spends.budgets.tolist() == [200 * NANO]
    (decision,) = shard.take(_deposit(raised, hour + 7, [(hour, 60 * NANO)]))
    assert [a.consumed for a in decision.alerts] == [0.8]


@pytest.mark.parametrize(("zone", "hours"), [("Europe/Berlin", 23), ("UTC", 24)])
def test_burn_and_forecast_go_by_the_exact_length_of_a_day(zone, hours):
    objective = _budget(f"per: day\n    time_zone: {zone}")
    midnight = int(datetime(2026, 3, 29, tzinfo=ZoneInfo(zone)).timestamp())
    shard = Shard(Plan((objective,), shards=1))
    # A dollar an hour; the first call of all makes the series known.
    for hour in range(-1, 12):
        clock = midnight + hour * 3600 + 1800
        (decision,) = shard.take(_deposit(objective, clock, [(clock, NANO)]))
    spends = decision.spends
    assert spends.lengths.tolist() == [hours * 3600]
    rate = decision.bad[0, decision.windows.index(21600)] / 21600
    left = midnight + hours * 3600 - clock
    assert spends.forecasts[0] == pytest.approx(12 * NANO + rate * left)


def test_forecasts_of_a_steady_rate_are_right_and_wait_for_data():
    objective = _budget("per: day")
    midnight = START // 86400 * 86400
    shard = Shard(Plan((objective,), shards=1))
    said = []
    for minute in range(0, 1440, 10):
        clock = midnight + minute * 60
        (decision,) = shard.take(_deposit(objective, clock, [(clock, NANO // 10)]))
        said.append(decision.spends.forecasts[0] / NANO)
    assert np.isnan(said[:3]).all()  # under half an hour of a day says nothing
    assert np.isnan(said).sum() == 3
    assert np.abs(np.array(said[6:]) - 14.4).max() < 2.5
    assert abs(said[-1] - 14.4) < 0.2
    assert forecast_windows(30 * 86400) == (86400, 259200, 604800)


def test_what_has_no_price_is_counted_beside_and_told():
    objective = _budget("by: [span.tenant.id]\n    per: day")
    at = START
    tallies = tuple(
        Tally(
            SeriesKey(objective.id, ("acme",), objective.generation),
            (model, "", "", "", "", "", ""),
            nano,
            1,
            (trace,),
        )
        for model, nano, trace in (("m1", 70 * NANO, "aa"), ("m2", 15 * NANO, "bb"))
    )
    shard = Shard(Plan((objective,), shards=1))
    deposit = _deposit(
        objective, at, [(at, 85 * NANO)], apart=[(at, 2, 3)], groups=(("acme",),), tallies=tallies
    )
    (decision,) = shard.take(deposit)
    assert len(decision.series) == 1
    assert decision.spends.apart.tolist() == [[2, 3]]
    (ticket,) = (a for a in decision.alerts if a.kind == "spent")
    labels, annotations = (getattr(render(ticket, objective), n) for n in ("labels", "annotations"))
    assert labels == {
        "alertname": "SBCostBudget",
        "burnline_id": "s-b",
        "service": "s",
        "budget": "b",
        "period": "day",
        "period_start": "2026-03-27",
        "tenant_id": "acme",
        "severity": "ticket",
        "consumed": "80%",
    }
    assert annotations["spent"] == "$85.00"
    assert annotations["budget"] == "$100.00"
    assert annotations["unpriced_calls"] == "3"
    assert annotations["slice"].startswith(
        "span.gen_ai.request.model=m1: $70.00 (82.35 %) in 1 calls"
    )
    assert annotations["trace_ids"].startswith("aa")
    assert (
        "3 calls without a price, 2 with a cost that cannot be true" in annotations["description"]
    )
    assert shard.restarted().run([_deposit(objective, at + 1)])[0].spends.apart.tolist() == [[2, 3]]


def test_groups_beyond_the_limit_share_a_series_without_a_budget():
    objective = _budget("by: [span.tenant.id]\n    per: day\n    overrides: {t1: 1000}")
    shard = Shard(Plan((objective,), shards=1, series_limit=1))
    groups = tuple((f"t{n}",) for n in range(40))
    (decision,) = shard.take(_deposit(objective, START, [(START, 100 * NANO)], groups=groups))
    budgets = Counter(decision.spends.budgets.tolist())
    overflow = SeriesKey(objective.id, (OVERFLOW,), objective.generation)
    row = decision.series.index(overflow)
    assert budgets[-1] == 1
    assert budgets[1000 * NANO] == 1
    assert decision.spends.budgets[list(decision.spends.rows).index(row)] == -1
    assert overflow not in {a.series for a in decision.alerts}
    assert decision.period[row, 0] == (40 - len(decision.series) + 1) * 100 * NANO


def test_a_silent_source_keeps_what_burns_and_ends_what_a_period_held():
    objective = _budget("per: week")
    shard = Shard(Plan((objective,), shards=1, stale_after=300))
    end = period_end(objective.window, START)
    at = end - 200
    (decision,) = shard.take(_deposit(objective, at, [(at, 100 * NANO)]))
    kinds = {a.kind for a in decision.alerts}
    assert kinds == {"overspend", "spent"}
    silent = replace(_deposit(objective, end + 7 * 3600), watermarks=(float(at), 0.0))
    (decision,) = shard.take(silent)
    assert {a.kind for a in decision.alerts} == {"overspend"}
    assert decision.spends.budgets.tolist() == [100 * NANO]
