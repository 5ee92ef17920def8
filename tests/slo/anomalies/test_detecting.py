"""Readings to verdicts: rows belong to series, whatever places they come in."""

import math
import pickle
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import Bank, Verdict
from slo.anomalies.decider import AnomalyDecider
from slo.anomalies.detecting import TOGETHER, Detecting, Judged
from slo.anomalies.messages import ReadingKey
from slo.anomalies.model import Detection, Monitor
from tests.strategies.readings import (
    ERRORS,
    MODELS,
    NOW,
    P95,
    RATE,
    SERVICES,
    entity,
    key,
    monitor,
    readings,
)

MONITORS = {each.id: each for each in (MODELS, SERVICES)}
NAN = math.nan
A, B, C, D = key(RATE, "a"), key(ERRORS, "a"), key(RATE, "b"), key(P95)


def wave(seed: int, moments: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(10.0, 1.0, moments)


def columns(judged: Judged) -> dict[ReadingKey, tuple]:
    return {each: tuple(judged.verdicts.of(row)) for row, each in enumerate(judged.keys)}


def same(left: Mapping[ReadingKey, tuple], right: Mapping[ReadingKey, tuple]) -> None:
    assert left.keys() == right.keys()
    for each in left:
        np.testing.assert_array_equal(left[each], right[each])


def test_each_series_is_judged_as_if_it_were_alone() -> None:
    detecting = Detecting(MONITORS)
    alone = {each: Detecting(MONITORS) for each in (A, B, C, D)}
    bank = Bank(60.0, MODELS.false_alarms)
    bank.grow(1)
    waves = {each: wave(seed, 60) for seed, each in enumerate(alone)} | {B: wave(9, 60) / 100}
    for moment in range(60):
        at = NOW + 60 * moment
        known = (A, B) if moment < 20 else (D, C, A, B) if moment < 40 else (A, B, C, D)
        judged = detecting.judge(readings(at, {each: waves[each][moment] for each in known}))
        found = columns(judged)
        assert judged.keys == known
        assert [judged.places[each] for each in known] == list(range(len(known)))
        for each in known:
            one = alone[each].judge(readings(at, {each: waves[each][moment]}))
            np.testing.assert_array_equal(found[each], one.verdicts.of(0))
        # A rate is judged as it is, by the bank alone.
        want = bank.observe(at, np.array([waves[A][moment]])).of(0)
        np.testing.assert_array_equal(found[A], want)


def test_series_that_are_gone_free_their_rows_and_begin_anew() -> None:
    detecting = Detecting(MONITORS)
    for moment in range(40):
        detecting.judge(readings(NOW + 60 * moment, {A: 5.0, B: 5.0}))
    fresh = detecting.judge(readings(NOW + 60 * 40, {A: 5.0, C: 5.0}))
    assert fresh.verdicts.learning.tolist() == [False, True]
    [rows] = detecting.state()[60].banks.values()
    assert rows.bank.rows == 2
    back = detecting.judge(readings(NOW + 60 * 41, {A: 5.0, B: 5.0}))
    assert back.verdicts.learning.tolist() == [False, True]


def test_a_place_whose_series_has_gone_is_another_s_only_when_that_is_told() -> None:
    detecting = Detecting(MONITORS)
    for moment in range(40):
        detecting.judge(readings(NOW + 60 * moment, {A: 5.0, B: 5.0}))
    gone = detecting.judge(readings(NOW + 2400, {A: NAN, B: 5.0}, gone=(A,)))
    assert gone.keys == (B,)
    kept = pickle.loads(pickle.dumps(detecting.state()))  # noqa: S301  just pickled
    detecting = Detecting(MONITORS, kept)
    assert detecting.judge(readings(NOW + 2460, {A: NAN, B: 5.0})).keys == (B,), "told once"
    # The entity is back, in its old place and in none that it had before.
    back = detecting.judge(readings(NOW + 2520, {A: 5.0, B: 5.0}, reset=(0,)))
    assert back.keys == (A, B)
    assert back.verdicts.learning.tolist() == [True, False]
    other = detecting.judge(readings(NOW + 2580, {A: NAN, B: 5.0}, gone=(A,)))
    assert other.keys == (B,)
    assert detecting.judge(readings(NOW + 2640, {C: 5.0, B: 5.0}, reset=(0,))).keys == (C, B)


def test_an_interval_that_is_measured_no_more_is_forgotten() -> None:
    slow = monitor("slow", every=300)
    mine = key(RATE, "a", of=slow)
    detecting = Detecting({**MONITORS, slow.id: slow})
    detecting.judge(readings(NOW, {mine: NAN}, every=300, gone=(mine,)))
    detecting = Detecting(MONITORS, detecting.state())
    detecting = Detecting({**MONITORS, slow.id: slow}, detecting.state())
    assert detecting.judge(readings(NOW + 300, {mine: 1.0}, every=300)).keys == (mine,)


def test_each_budget_has_a_bank_and_each_interval_its_own() -> None:
    strict = monitor("strict", false_alarms=1e-9)
    slow = monitor("slow", every=300)
    detecting = Detecting({**MONITORS, strict.id: strict, slow.id: slow})
    detecting.judge(readings(NOW, {A: 1.0, key(RATE, "a", of=strict): 1.0}))
    detecting.judge(readings(NOW, {key(RATE, "a", of=slow): 1.0}, every=300))
    state = detecting.state()
    assert {every: sorted(lane.banks) for every, lane in state.items()} == {
        60: sorted([1e-9, MODELS.false_alarms]),
        300: [MODELS.false_alarms],
    }
    assert state[300].banks[MODELS.false_alarms].bank.every == 300.0


def test_what_no_monitor_measures_is_passed_over() -> None:
    stranger = ReadingKey(entity(monitor("gone")), "rate")
    former = ReadingKey(entity(MODELS, "a", generation="before"), "rate")
    judged = Detecting(MONITORS).judge(readings(NOW, {stranger: 1.0, A: 2.0, former: 3.0}))
    assert judged.keys == (A,)
    assert judged.values.tolist() == [2.0]


def test_no_series_at_all() -> None:
    judged = Detecting(MONITORS).judge(readings(NOW, {}))
    assert (judged.keys, len(judged.verdicts)) == ((), 0)


def test_a_moment_is_judged_once() -> None:
    detecting = Detecting(MONITORS)
    assert detecting.judge(readings(NOW, {A: 1.0}))
    assert detecting.judge(readings(NOW, {A: 9.0})) is None
    assert detecting.judge(readings(NOW - 60, {A: 9.0})) is None
    assert detecting.judge(readings(NOW, {A: 9.0}, every=300)), "another interval's"
    decider = AnomalyDecider(MONITORS)
    assert decider.take(readings(NOW, {A: 1.0})) is not None
    assert decider.take(readings(NOW, {A: 1.0})) is None


def test_frozen_readings_are_not_learned_from() -> None:
    heard, spared = Detecting(MONITORS), Detecting(MONITORS)
    for moment, value in enumerate(wave(1, 60)):
        at = NOW + 60 * moment
        if 35 <= moment < 45:
            judged = heard.judge(readings(at, {A: 1e9}, frozen=True))
            assert not judged.verdicts.alert.any()
            assert np.isnan(judged.verdicts.expected).all()
            continue
        same(
            columns(heard.judge(readings(at, {A: value}))),
            columns(spared.judge(readings(at, {A: value}))),
        )


def test_what_was_strange_stays_so_while_frozen() -> None:
    detecting = Detecting(MONITORS)
    for moment, value in enumerate(wave(1, 40)):
        detecting.judge(readings(NOW + 60 * moment, {A: value, B: value}))
    assert detecting.judge(readings(NOW + 2400, {A: 1e6, B: 10.0})).verdicts.alert.tolist() == [
        True,
        False,
    ]
    for moment in range(3):
        judged = detecting.judge(readings(NOW + 2460 + 60 * moment, {B: NAN, A: NAN}, frozen=True))
        assert judged.verdicts.alert.tolist() == [False, True]


class Summing:
    """A detector that can be named: strange from a sum of features on."""

    def __init__(self, monitor: Monitor) -> None:
        self.limit = monitor.detection.parameters["limit"]
        self.seen: list[dict[str, float]] = []

    def observe(self, at: float, features: dict[str, float]) -> Verdict:
        del at
        self.seen.append(features)
        over = sum(features.values()) > self.limit
        return Verdict(0.9, 1e-9 if over else 0.5, NAN, NAN, NAN, alert=over, learning=False)


def test_a_named_detector_takes_the_place_of_the_default_for_each_series() -> None:
    named = monitor("named", detection=Detection("river.X", {"limit": 10.0}))
    mine = key(RATE, "a", of=named)
    detecting = Detecting({**MONITORS, named.id: named}, make=Summing)
    judged = detecting.judge(readings(NOW, {A: 1.0, mine: 20.0}))
    assert judged.keys == (A, mine)
    assert judged.verdicts.alert.tolist() == [False, True]
    assert judged.verdicts.learning.tolist() == [True, False]


def test_features_are_judged_together_beside_each_by_itself() -> None:
    both = monitor("both", detection=Detection("river.X", {"limit": 10.0}, together=True))
    rate, errors, other = (
        key(RATE, "a", of=both),
        key(ERRORS, "a", of=both),
        key(RATE, "b", of=both),
    )
    detecting = Detecting({both.id: both}, make=Summing)
    judged = detecting.judge(readings(NOW, {rate: 6.0, other: 6.0, errors: 6.0}))
    entities = [ReadingKey(each.entity, TOGETHER) for each in (rate, other)]
    assert judged.keys == (rate, other, errors, *entities)
    assert judged.verdicts.alert.tolist() == [False, False, False, True, False]
    assert judged.verdicts.learning.tolist() == [True, True, True, False, False]
    assert np.isnan(judged.values[3:]).all()
    detecting.judge(readings(NOW + 60, {rate: NAN, other: NAN, errors: math.inf}))
    detecting.judge(readings(NOW + 120, {rate: NAN, other: 1.0, errors: 2.0}))
    named = detecting.state()[60].named
    assert [d.seen for _, d in named.values()] == [
        [{"rate": 6.0, "errors": 6.0}, {}, {"errors": 2.0}],
        [{"rate": 6.0}, {}, {"rate": 1.0}],
    ]


def test_river_s_detectors_judge_features_together_and_survive_a_snapshot() -> None:
    trees = Detection("river.anomaly.HalfSpaceTrees", {"n_trees": 5, "seed": 1}, together=True)
    both = monitor("both", detection=trees, false_alarms=1 / 86_400)
    rate, p95 = key(RATE, "a", of=both), key(P95, "a", of=both)
    random = np.random.default_rng(3)

    detecting, other = Detecting({both.id: both}), None
    for moment, (left, right) in enumerate(random.uniform(0.4, 0.6, (650, 2))):
        if moment == 600:
            kept = pickle.loads(pickle.dumps(detecting.state()))  # noqa: S301  just pickled
            other = Detecting({both.id: both}, kept)
        found = readings(NOW + 60 * moment, {rate: left, p95: right})
        judged = columns(detecting.judge(found))
        if other is not None:
            same(judged, columns(other.judge(found)))
    together = judged[ReadingKey(rate.entity, TOGETHER)]
    assert not together[-1], "it has learnt"
    assert 0 <= together[0] <= 1


def test_a_named_detector_that_changes_begins_anew() -> None:
    one = monitor("named", detection=Detection("river.X", {"limit": 10.0}))
    two = replace(one, detection=Detection("river.X", {"limit": 30.0}))
    mine = key(RATE, "a", of=one)
    before = Detecting({one.id: one}, make=Summing)
    before.judge(readings(NOW, {mine: 20.0}))
    kept = pickle.loads(pickle.dumps(before.state()))  # noqa: S301  just pickled
    same_ = Detecting({one.id: one}, kept, make=Summing)
    same_.judge(readings(NOW + 60, {mine: 20.0}))
    assert [len(d.seen) for _, d in same_.state()[60].named.values()] == [2]
    changed = Detecting({two.id: two}, kept, make=Summing)
    judged = changed.judge(readings(NOW + 120, {mine: 20.0}))
    assert not judged.verdicts.alert.any()


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 49),
    st.permutations([A, B, C, D]),
    st.lists(st.sampled_from([1.0, 2.0, 50.0, NAN, math.inf, 0.0]), min_size=50, max_size=50),
)
def test_a_snapshot_at_any_moment_and_other_places_change_nothing(at, order, values) -> None:
    plain, other = Detecting(MONITORS), Detecting(MONITORS)
    for moment, value in enumerate(values):
        given_ = {A: value, B: -value, C: 1.0, D: value * 3}
        if moment == at:
            kept = pickle.loads(pickle.dumps(other.state()))  # noqa: S301  just pickled
            other = Detecting(MONITORS, kept)
        shuffled = {each: given_[each] for each in (order if moment >= at else given_)}
        time = NOW + 60 * moment
        left, right = (d.judge(readings(time, v)) for d, v in ((plain, given_), (other, shuffled)))
        same(columns(left), columns(right))
