"""The simulation of a cluster does what its parts say, before anything is believed of large ones."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scale import reproduction, throughput, wire
from benchmarks.scale.parts import Marks, Parts
from benchmarks.scale.restarts import run
from benchmarks.scale.series import Steps, plan_of
from benchmarks.scale.simulation import Cluster, Costs, Distinct, simulate

FREE = Costs(
    span=1e-6,
    arrival=0.0,
    entry=0.0,
    locked=0.0,
    deposit=0.0,
    counted=0.0,
    row=0.0,
    tick=0.0,
    told=0.0,
    told_entry=0.0,
    saved=0.0,
)


def test_one_worker_does_what_its_costs_allow():
    cluster, costs = Cluster(series=160), replace(FREE, arrival=0.004)
    assert simulate(cluster, costs, 20).throughput == pytest.approx(96_000 / 0.1, rel=0.01)


@pytest.mark.parametrize(("locked", "threads"), [(0.0, 2.0), (0.8, 1.25), (1.0, 1.0)])
def test_threads_share_the_lock_and_processes_do_not(locked, threads):
    """Two threads are as quick as two processes while the lock is free when they want it."""
    costs = replace(FREE, locked=locked)
    one = simulate(Cluster(1, 1), costs, 30).throughput
    assert simulate(Cluster(1, 2), costs, 30).throughput / one == pytest.approx(threads, rel=0.02)
    assert simulate(Cluster(2, 1), costs, 30).throughput / one == pytest.approx(2.0, rel=0.02)


def test_what_crosses_processes_is_paid_on_both_sides():
    costs = replace(FREE, told=0.01)
    away = 8  # of 16 shards' deposits half go to the other process, and as many come
    expected = 2 * 96_000 / (0.096 + 2 * away * 0.01)
    assert simulate(Cluster(2, 1), costs, 60).throughput == pytest.approx(expected, rel=0.02)


def test_bytes_leave_only_what_leaves_the_process():
    assert simulate(Cluster(1, 2), FREE, 10).exchanged == 0
    out = simulate(Cluster(2, 1), FREE, 10)
    each = 8 * FREE.told_bytes + Distinct(303).among(96_000) / 2 * FREE.told_entry_bytes
    assert out.exchanged == pytest.approx(out.throughput / 2 / 96_000 * each, rel=0.01)


@pytest.mark.parametrize(("rate", "holds"), [(0.5e6, True), (0.9e6, True), (2e6, False)])
def test_what_is_too_much_is_seen(rate, holds):
    out = simulate(Cluster(rate=rate), FREE, 60)
    assert (out.throughput == pytest.approx(rate, rel=0.02)) is holds
    assert (out.waited[0] < 1.0) is holds


def test_snapshots_stop_a_worker_and_nobody_runs_ahead():
    cluster = Cluster(2, 1, series=1_000_000, epoch=10)
    out = simulate(cluster, replace(FREE, saved=4e-6), 100)
    assert out.stall == pytest.approx(2.0)
    assert out.throughput == pytest.approx(2e6 * 0.8, rel=0.05)


@settings(max_examples=60, deadline=None)
@given(series=st.integers(2, 10**7), spans=st.floats(1, 1e6), more=st.floats(1, 10))
def test_distinct_series_are_never_more_than_there_are(series, spans, more):
    distinct = Distinct(series)
    few, many = distinct.among(spans), distinct.among(spans * more)
    assert 0 < few <= many * (1 + 1e-9)
    assert many <= min(series, spans * more) * (1 + 1e-9)


def test_distinct_series_are_as_many_as_when_they_are_drawn():
    rng, distinct = np.random.default_rng(3), Distinct(5_120)
    each = np.repeat(distinct.shares / 10, 10)
    drawn = [len(np.unique(rng.choice(5_120, 2_000, p=each))) for _ in range(20)]
    assert distinct.among(2_000) == pytest.approx(np.mean(drawn), rel=0.03)


def test_restarts_come_with_processes():
    few, many = (run(n, lives=1e6, down=60, used=0.5, seconds=1e8) for n in (1, 10))
    assert few.between / many.between == pytest.approx(10, rel=0.3)
    # Down for a minute and catching up for another.
    assert many.late == pytest.approx(120 / 1e5, rel=0.3)


def test_a_busy_cluster_is_late_for_longer():
    idle, busy = (run(100, 1e6, 60, used, 1e8) for used in (0.2, 0.9))
    assert busy.late > 4 * idle.late
    assert busy.worst >= idle.worst


def test_parts_are_read_to_their_ends_with_their_origins():
    source = Parts([b"a", b"b", b"c"], 2, 2, 1000.0, 10, marks := Marks())
    part = source.build_part("arrivals", "traces/1", None)
    first, second = part.next_batch()[0], part.next_batch()[0]
    assert [first.traces, second.traces] == [(b"a", b"b"), (b"c",)]
    assert first.origin == ("traces/1", 2)
    assert (first.tick, second.tick, marks.spans, part.snapshot()) == (True, False, 30, 3)
    with pytest.raises(StopIteration):
        part.next_batch()
    again = source.build_part("arrivals", "traces/1", 2)
    assert again.next_batch()[0].traces == (b"c",)


def test_a_shard_with_a_made_up_month_is_a_sound_one():
    """What was filled in is what would be there had it been counted."""
    shard = Steps(plan_of(), 40, 1_800_000_000.0)
    for level in (shard.intake.intake.level, *(step.coarse.level for step in shard.coarse)):
        buckets = [
            level.ring[(level.head - back) % level.length, :40].astype(np.int64)
            for back in range(level.length)
        ]
        if level.windows:
            np.testing.assert_array_equal(level.sums[:40, -1], sum(buckets))
    (decision,) = shard.take(shard.events(1_800_000_001.0, 1.0))
    assert (decision.total >= decision.bad).all()


def test_costs_that_are_calibrated_give_the_rates_that_they_came_from():
    rates = dict(zip(throughput.LOADS, (571e3, 368e3), strict=False))
    costs = reproduction.calibrated(rates, 0.05, wire.Exchange(352, 98, 40e-6, 3.3e-6))
    measured = {
        (load.name, way.name): [throughput.Outcome(rate, 1e6 / rate)]
        for load, rate in rates.items()
        for way in throughput.WAYS
    }
    found = reproduction.compared(measured, costs)
    for one in found:
        if one.way == throughput.WAYS[0].name:
            assert one.foretold == pytest.approx(one.spent, rel=0.03)
        else:
            assert 1.0 < one.foretold / one.waited < 2.1
