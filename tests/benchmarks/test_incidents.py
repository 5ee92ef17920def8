"""Alarms, incidents and the budget: by hand, and against counting them anew at every threshold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.detection.alarms import Outcome
from benchmarks.detection.halves import carried, left_out
from benchmarks.detection.incidents import at, outcomes, within
from benchmarks.detection.series import Series, runs

DAY = 86_400.0


def _series(labels, days=1.0):
    count = len(labels)
    at = np.linspace(0, days * DAY, count)
    return Series("made/up", at, np.zeros(count), runs(np.array(labels, bool)))


def _counts(outcome):
    return outcome.found, outcome.true, outcome.false, outcome.outside


def test_an_alarm_in_a_window_is_true_and_one_outside_is_false():
    one = _series([0, 0, 1, 1, 0, 0, 0, 0])
    score = np.array([9.0, 0, 0, 5, 0, 0, 0, 7])
    found = list(outcomes([one], [score], gap=2))
    assert [_counts(o) for o in found] == [(0, 0, 1, 1), (0, 0, 2, 2), (1, 1, 2, 2)]
    assert [o.threshold for o in found] == [9, 7, 5]
    assert (found[-1].recall, found[-1].precision, found[-1].rate) == (1.0, 1 / 3, 2.0)


def test_runs_that_are_near_are_one_alarm():
    one = _series([0] * 40)
    score = np.zeros(40)
    score[[5, 14, 24]] = 1.0  # 9 apart: one; 10 apart: another
    assert _counts(at([one], [score], 1.0)) == (0, 0, 2, 3)


def test_an_alarm_that_reaches_into_a_window_is_true_as_a_whole():
    one = _series([0, 0, 0, 1, 1, 0, 0, 0])
    assert _counts(at([one], [np.array([1.0, 1, 1, 1, 1, 1, 1, 1])], 1.0)) == (1, 1, 0, 6)


def test_a_window_in_the_gap_of_an_alarm_is_not_found():
    one = _series([0, 0, 0, 1, 0, 0, 0])
    assert _counts(at([one], [np.array([0, 1.0, 0, 0, 0, 1, 0])], 1.0)) == (0, 0, 1, 2)


def test_alarms_at_the_edges_of_two_series_are_two():
    series = [_series([0, 0, 0]), _series([0, 0, 0])]
    assert at(series, [np.array([0, 0, 1.0]), np.array([1.0, 0, 0])], 1.0).false == 2


def test_what_begins_just_behind_a_window_can_be_neither():
    one = _series([1] + [0] * 30)
    for start, false in ((5, 0), (6, 1)):
        score = np.zeros(31)
        score[start] = 1.0
        assert at([one], [score], 1.0, tolerance=5).false == false
        assert at([one], [score], 1.0).false == 1


def test_the_budget_ends_at_the_first_threshold_that_breaks_it():
    """Lower ones would keep to it again, where everything is one long alarm that is true."""
    one = _series([0, 0, 0, 0, 0, 1, 0, 0, 0, 0])
    score = np.array([4.0, 1, 3, 1, 1, 1, 1, 1, 1, 1])
    assert within([one], [score], budget=1, gap=2).threshold == 4
    assert within([one], [score], budget=2, gap=2).recall == 1
    assert within([one], [score], budget=0.5, gap=2) == Outcome(np.inf, 0, 1, 0, 0, 1.0, 0, 9)


def test_a_score_of_zero_never_alarms():
    one = _series([0, 1, 0])
    assert within([one], [np.zeros(3)]).found == 0
    assert at([one], [np.zeros(3)], 0.5).found == 0


def test_precision_without_alarms_and_recall_without_incidents():
    nothing = within([_series([0, 0])], [np.zeros(2)])
    assert nothing.precision == 1
    assert np.isnan(nothing.recall)


@pytest.mark.parametrize("score", [np.array([0.0, np.nan]), np.array([np.inf, 0]), np.zeros(3)])
def test_scores_that_do_not_fit_are_refused(score):
    with pytest.raises(ValueError, match="made/up: a finite score"):
        list(outcomes([_series([0, 0])], [score]))


def _by_hand(label, score, threshold, gap, tolerance):
    """Alarms one after another, as the definition says."""
    places = [i for i, s in enumerate(score) if s >= threshold]
    alarms = []
    for place in places:
        if alarms and place - alarms[-1][-1] < gap:
            alarms[-1].append(place)
        else:
            alarms.append([place])
    true = sum(any(label[i] for i in alarm) for alarm in alarms)
    false = 0
    for alarm in alarms:
        before = [alarm[0] - i for i in range(alarm[0]) if label[i]]
        if not any(label[i] for i in alarm) and (not before or min(before) > tolerance):
            false += 1
    found = sum(any(score[i] >= threshold for i in range(a, b + 1)) for a, b in runs(label))
    return found, true, false, sum(not label[i] for i in places)


@given(
    st.lists(
        st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=25),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 5),
    st.integers(0, 3),
)
def test_every_threshold_is_as_counted_by_hand(rows, gap, tolerance):
    labels = [np.array([label for label, _ in row]) for row in rows]
    scores = [np.array([float(score) for _, score in row]) for row in rows]
    series = [_series(label) for label in labels]
    found = list(outcomes(series, scores, gap=gap, tolerance=tolerance))
    assert [o.threshold for o in found] == sorted(set(np.concatenate(scores)) - {0}, reverse=True)
    for outcome in found:
        counts = [
            _by_hand(label, score, outcome.threshold, gap, tolerance)
            for label, score in zip(labels, scores, strict=True)
        ]
        assert _counts(outcome) == tuple(np.sum(counts, 0))
        assert _counts(at(series, scores, outcome.threshold, gap=gap, tolerance=tolerance)) == (
            _counts(outcome)
        )


def test_a_threshold_is_carried_over_to_series_that_it_was_not_chosen_on():
    window, burst = _series([0] * 50 + [1] * 10 + [0] * 40), np.zeros(100)
    burst[[20, 55]] = 1.0, 2.0
    same = carried([window] * 6, [[burst] * 6], budget=0.5)
    assert (same.recall, same.precision, same.rate) == (1, 1, 0)
    # Half of the series have scores a thousand times as high: a threshold fits the one kind only.
    mixed = carried([window] * 6, [[burst, burst * 1000] * 3], budget=0.5)
    assert mixed.recall < 1
    assert mixed.rate > 0
    # With both to choose from, the one whose scores compare across series is taken.
    both = carried([window] * 6, [[burst] * 6, [burst, burst * 1000] * 3], budget=0.5)
    assert both == same


def test_alarms_that_stay_on_are_told_from_those_that_find():
    """Always on, every incident is found by alarms that are all true; only their length gives it away."""
    one = _series([0] * 500 + [1] * 10 + [0] * 490)
    always = at([one], [np.ones(1000)], 1.0)
    assert (always.recall, always.precision, always.rate) == (1, 1, 0)
    assert always.stays_on
    assert not at([one], [one.label.astype(float)], 1.0).stays_on


def test_a_gap_can_be_each_series_own():
    series = [_series([0] * 40), _series([0] * 40)]
    score = np.zeros(40)
    score[[5, 14]] = 1.0
    assert at(series, [score, score], 1.0, gap=[10, 9]).false == 1 + 2


def test_a_group_is_judged_by_the_threshold_of_the_others():
    label = [0] * 50 + [1] * 10 + [0] * 40
    strange = np.zeros(100)
    strange[[20, 55]] = 1.0, 2.0
    series = [_series(label), replace(_series(label), name="other/one")]
    found = left_out(series, [strange, strange * 10])
    assert (found["made"].recall, found["made"].false) == (0, 0)  # nothing of it reaches 20
    assert (found["other"].recall, found["other"].false) == (1, 1)  # its 10 is above 2 as well
    assert left_out(series[:1], [strange]) == {}


def test_neighbours_are_one_alarm_from_a_gap_of_two_on():
    one, score = _series([0] * 6), np.array([0, 1.0, 1, 0, 1, 0])
    assert [at([one], [score], 1.0, gap=gap).false for gap in (1, 2, 3)] == [3, 2, 1]
