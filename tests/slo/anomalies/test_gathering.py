"""Intervals that close: silence, gaps, late samples, too many entities; what snapshots and reloads keep."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slo.anomalies.gathering import GRACE, HOLD, TOLD_SILENCE, Gathering
from slo.anomalies.messages import (
    EntityKey,
    Part,
    ReadingKey,
    Sample,
    Sampled,
    WatchedPoint,
)
from slo.anomalies.model import Feature, Monitor
from slo.columns import Field
from slo.decision import OVERFLOW
from slo.increments import Point
from slo.promql import parse_selector
from slo.traceql import parse_filter

SERVICE = Field("resource", "service.name")
EVERY = 60
BEGIN = 1_700_000_040 // EVERY * EVERY
MONITOR = Monitor(
    service="s",
    name="m",
    spans=parse_filter("{ }"),
    features=(Feature("rate", "rate"), Feature("mean_x", "mean", of=Field("span", "x"))),
    by=(SERVICE, Field("span", "model")),
    by_names=("resource.service.name", "span.model"),
    every=EVERY,
)


class Shard:
    """A gathering, and what it emitted."""

    def __init__(self, *monitors, limit=1000, stale_after=300.0, begin=BEGIN):
        self.monitors = {m.id: m for m in monitors or (MONITOR,)}
        self.limit, self.stale_after = limit, stale_after
        self.apart = {}
        self.readings = []
        self.gathering = self._new()
        self.clock = begin
        self.mark = 0.0
        self.take()

    def _new(self):
        return Gathering(self.monitors, self.stale_after, self.limit, self._count)

    def _count(self, reason, events):
        self.apart[reason] = self.apart.get(reason, 0) + events

    def take(self, *samples, heard=None, **changes):
        if samples or heard:
            self.mark = self.clock
        sampled = Sampled("0", self.clock, samples=samples, watermarks=(self.mark, 0.0), **changes)
        new = list(self.gathering.take(sampled))
        self.readings += new
        return new

    def until(self, clock, *, heard=True, step=1):
        """Ticks up to a clock; with arrivals of other services, where the source is heard."""
        while self.clock < clock:
            self.clock = min(self.clock + step, clock)
            self.take(heard=heard)

    def again(self, *monitors):
        """After a restart, perhaps with other monitors."""
        state = pickle.loads(pickle.dumps(self.gathering.state()))  # noqa: S301 - ours
        if monitors:
            self.monitors = {m.id: m for m in monitors}
        self.gathering = self._new()
        self.gathering.restore(state)


def _entity(name="a", monitor=MONITOR, service="x"):
    return EntityKey(monitor.id, (service, name), service, monitor.generation)


def _sample(end, events=1, name="a", total=0.0, service="x"):
    known = 1 if total else 0
    return Sample(_entity(name, service=service), end, events, (Part(events), Part(known, total)))


def _values(readings):
    return {
        key.entity.group[1] + "." + key.feature: value
        for key, value in zip(readings.keys, readings.values.tolist(), strict=True)
    }


def test_an_interval_closes_when_the_grace_is_over_and_each_is_told_once_ascending():
    shard = Shard()
    shard.until(BEGIN + 90)
    shard.take(_sample(BEGIN + 120, 30, total=7.0))
    shard.until(BEGIN + 120 + HOLD - 1)
    assert not shard.readings
    shard.until(BEGIN + 120 + HOLD)
    (one,) = shard.readings
    assert (one.at, one.every, one.clock) == (BEGIN + 120, 60, BEGIN + 120 + HOLD)
    assert _values(one) == {"a.rate": 0.5, "a.mean_x": 7.0}
    assert one.counts.tolist() == [30, 1]
    shard.until(BEGIN + 400)
    assert [r.at for r in shard.readings] == list(range(BEGIN + 120, BEGIN + 400 - HOLD, 60))
    rest = shard.readings[1:]
    assert all(r.values[0] == 0 and math.isnan(r.values[1]) for r in rest)
    assert not any(r.frozen for r in shard.readings)


def test_the_interval_in_which_it_began_is_not_judged():
    shard = Shard(begin=BEGIN + 10)
    shard.take(_sample(BEGIN + 60, 5))
    assert shard.apart == {"before_start": 5}
    shard.take(_sample(BEGIN + 120, 5))
    shard.until(BEGIN + 180)
    assert [r.at for r in shard.readings] == [BEGIN + 120]


def test_what_comes_after_its_interval_was_closed_is_counted_apart():
    shard = Shard()
    shard.take(_sample(BEGIN + 60))
    shard.until(BEGIN + 60 + HOLD)
    shard.take(_sample(BEGIN + 60, 4))
    assert shard.apart == {"late": 4}
    assert shard.readings[0].counts.tolist() == [1]


def test_a_jump_of_the_clock_closes_all_that_was_due():
    """As in a backtest: between two arrivals there may be hours."""
    shard = Shard()
    shard.take(_sample(BEGIN + 60, 6), exact=True)
    shard.clock += 200
    found = shard.take(heard=True, exact=True)
    assert [r.at for r in found] == [BEGIN + 60, BEGIN + 120, BEGIN + 180]
    assert [r.values[0] for r in found] == [0.1, 0.0, 0.0]
    assert not any(r.frozen for r in found)


def test_a_silent_source_freezes_and_is_told_of_for_a_day():
    shard = Shard()
    shard.take(_sample(BEGIN + 60))
    heard = shard.mark
    shard.until(BEGIN + 3600, heard=False, step=20)
    frozen = [r for r in shard.readings if r.frozen]
    assert frozen[0].at == BEGIN + 300
    assert frozen[0].at + HOLD - heard > 300 >= frozen[0].at - 60 + HOLD - heard
    assert all(np.isnan(r.values).all() and not r.counts.any() for r in frozen)
    assert all(not r.frozen for r in shard.readings[:4])
    # Years of silence are no years of readings.
    shard.clock += 10 * 365 * 86_400
    found = shard.take(heard=True, exact=True)
    assert found[-1].at <= heard + 300 + TOLD_SILENCE
    assert len(found) <= TOLD_SILENCE / 60 + 5
    end = (shard.clock // 60 + 1) * 60
    shard.take(_sample(end, 60))
    shard.until(end + HOLD)
    assert shard.readings[-1].at == end
    assert _values(shard.readings[-1])["a.rate"] == 1.0


def test_time_in_which_nobody_listened_is_frozen():
    shard = Shard()
    shard.take(_sample(BEGIN + 60))
    shard.until(BEGIN + 70)
    shard.clock = BEGIN + 400  # the engine was off
    found = shard.take(heard=True)
    assert [(r.at - BEGIN, r.frozen) for r in found] == [
        (60, True), (120, True), (180, True), (240, True), (300, True), (360, True),
    ]  # fmt: skip
    shard.until(BEGIN + 560)
    assert [(r.at - BEGIN, r.frozen) for r in shard.readings[6:]] == [
        (420, True), (480, False), (540, False),
    ]  # fmt: skip


def test_a_short_pause_is_covered_by_the_grace_and_one_of_a_restart_is_not():
    """Senders try again for some seconds; what they give up then is no drop in traffic."""
    for pause, frozen in ((19, False), (21, True)):
        shard = Shard()
        shard.take(_sample(BEGIN + 60))
        shard.until(BEGIN + 30)
        shard.clock += pause
        shard.take(heard=True)
        shard.until(BEGIN + 60 + HOLD)
        assert [r.frozen for r in shard.readings] == [frozen]


POINT = Point("m", "total", b"s", b"f", (), 0, (BEGIN + 30) * 10**9, cumulative=False, value=7)
DEPTH = Monitor(
    service="s",
    name="depth",
    spans=None,
    features=(Feature("depth", "metric", selector=parse_selector("depth")),),
    every=EVERY,
)


def test_a_source_that_is_silent_alone_leaves_the_others_readings():
    shard = Shard(MONITOR, DEPTH)
    entity = EntityKey(DEPTH.id, (), "s", DEPTH.generation)
    point = WatchedPoint(entity, 0, "gauge", POINT)
    shard.until(BEGIN + 30)
    shard.take(_sample(BEGIN + 60, 6), points=(point,))
    for clock in range(BEGIN + 40, BEGIN + 800, 10):
        marks = (BEGIN + 30.0, float(clock))
        shard.readings += shard.gathering.take(Sampled("0", clock, watermarks=marks))
    first, last = shard.readings[0], shard.readings[-1]
    assert [k.feature for k in first.keys] == ["rate", "depth"]
    assert first.values.tolist() == [0.1, 7.0]
    assert shard.readings[1].values[0] == 0.0
    assert not last.frozen
    assert np.isnan(last.values).all()


def test_points_are_placed_by_the_engines_clock():
    """It is ahead of the senders' after a step back of the wall clock."""
    shard = Shard(DEPTH)
    entity = EntityKey(DEPTH.id, (), "s", DEPTH.generation)
    shard.until(BEGIN + 130)
    point = WatchedPoint(entity, 0, "gauge", POINT)
    shard.take(points=(point,), ahead_ns=95 * 10**9)
    shard.mark = 0.0
    for clock in range(BEGIN + 140, BEGIN + 260, 10):
        marks = (0.0, float(clock))
        shard.readings += shard.gathering.take(Sampled("0", clock, watermarks=marks))
    found = {r.at - BEGIN: r.values.tolist() for r in shard.readings}
    assert found[180] == [7.0]


def test_an_entity_that_is_silent_for_a_day_goes_and_its_place_is_anothers():
    shard = Shard()
    shard.take(_sample(BEGIN + 60, total=1.0), _sample(BEGIN + 60, name="b"))
    for minute in range(2, 1600):
        shard.until(BEGIN + 60 * minute, step=20)
        shard.take(_sample(BEGIN + 60 * minute + 60, name="b"))
    (last,) = [r for r in shard.readings if r.gone]
    assert last.gone == (
        ReadingKey(_entity("a"), "rate"),
        ReadingKey(_entity("a"), "mean_x"),
    )
    assert last.at == BEGIN + 60 + 1441 * 60
    assert np.isnan(last.values[:2]).all()
    assert len(last.keys) == 3
    end = shard.clock + 120
    shard.take(_sample(end, name="c", total=2.0))
    shard.until(end + HOLD)
    renewed = shard.readings[-1]
    assert sorted(renewed.reset) == [0, 1]
    assert len(renewed.keys) == 3
    assert {k.entity.group[1] for k in renewed.keys} == {"b", "c"}
    assert not any(r.reset for r in shard.readings[:-1])


def test_an_entity_that_comes_back_at_the_last_moment_stays():
    """Its events are in an interval that is open while the one closes after which it would have gone."""
    shard = Shard()
    shard.take(_sample(BEGIN + 60), _sample(BEGIN + 60, name="b"))
    last = BEGIN + 60 + 1441 * 60
    shard.until(last + HOLD - 1, step=20)
    shard.take(_sample(last + 60, 60))
    shard.until(last + 60 + HOLD)
    assert [key.entity.group[1] for r in shard.readings for key in r.gone] == ["b"]
    assert shard.readings[-1].values[0] == 1.0


def test_entities_beyond_the_limit_share_one_and_nothing_is_lost():
    shard = Shard(limit=2)
    for name in "abcdb":
        shard.take(_sample(BEGIN + 60, 6, name=name))
    shard.until(BEGIN + 100)
    (one,) = shard.readings
    rates = {key.entity.group: v for key, v in zip(one.keys, one.values.tolist(), strict=True)}
    assert rates == {("x", "a"): 0.1, ("x", "b"): 0.2, (OVERFLOW, OVERFLOW): 0.2}
    assert {k.entity.service for k in one.keys} == {"x", OVERFLOW}


def test_a_reload_keeps_what_did_not_change_and_begins_anew_what_did():
    other = replace(MONITOR, name="other")
    shard = Shard(MONITOR, other)
    theirs = Sample(_entity(monitor=other), BEGIN + 60, 3, (Part(3), Part(0)))
    shard.take(_sample(BEGIN + 60, 6), theirs)
    changed = replace(other, features=other.features[:1])
    again = replace(MONITOR, severity="page", labels={"a": "b"})
    shard.again(again, changed, replace(MONITOR, name="fast", every=10))
    shard.until(BEGIN + 60 + HOLD)
    one = next(r for r in shard.readings if r.every == 60)
    assert _values(one)["a.rate"] == 0.1
    # It had no value yet, so nobody was told of it.
    assert not one.gone
    assert {k.entity.monitor for k in one.keys} == {MONITOR.id}
    shard.again(changed)
    shard.until(BEGIN + 120 + HOLD)
    assert shard.readings[-1].gone == (ReadingKey(_entity(), "rate"),)
    assert np.isnan(shard.readings[-1].values).all()


SAMPLES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 100), st.sampled_from("abcd"), st.integers(0, 9)),
    max_size=40,
)


@settings(deadline=None)
@given(steps=SAMPLES, restarts=st.sets(st.integers(0, 40)))
def test_a_restart_anywhere_changes_nothing(steps, restarts):
    spared, restarted = Shard(limit=3), Shard(limit=3)
    for number, (passed, ago, name, amount) in enumerate(steps):
        for shard in (spared, restarted):
            shard.clock += passed
            end = ((shard.clock - ago) // 60 + 1) * 60
            shard.take(_sample(end, amount, name, float(amount)))
        if number in restarts:
            restarted.again()
    for shard in (spared, restarted):
        shard.until(shard.clock + 200, heard=False, step=20)
    assert len(spared.readings) == len(restarted.readings)
    for one, other in zip(spared.readings, restarted.readings, strict=True):
        assert one.keys == other.keys
        np.testing.assert_array_equal(one.values, other.values)
        assert one.counts.tolist() == other.counts.tolist()
        assert (one.at, one.frozen, one.gone, one.reset) == (
            other.at, other.frozen, other.gone, other.reset,
        )  # fmt: skip
    assert spared.apart == restarted.apart


def test_a_snapshot_of_ten_thousand_series_is_small():
    shard = Shard(limit=100_000)
    shard.take(*[_sample(BEGIN + 60, name=f"model-{n}", total=1.0) for n in range(5000)])
    shard.until(BEGIN + 60 + HOLD)
    assert len(shard.readings[0].keys) == 10_000
    size = len(pickle.dumps(shard.gathering.state(), pickle.HIGHEST_PROTOCOL))
    assert size < 1_000_000, size


@pytest.mark.parametrize("grace", [GRACE])
def test_lateness_is_that_of_the_arrival_and_not_of_the_workers(grace):
    """A deposit that another worker's tick overtook still counts while the interval waits."""
    shard = Shard()
    shard.until(BEGIN + 60 + HOLD - 1)
    late = Sampled("0", BEGIN + 60.0 + grace - 1, samples=(_sample(BEGIN + 60, 60),))
    shard.readings += list(shard.gathering.take(late))
    shard.until(BEGIN + 60 + HOLD)
    assert shard.readings[0].values[0] == 1.0
