"""VUS-PR against a direct reading of its definition, and the area by point against scikit-learn's."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from benchmarks.detection.areas import THRESHOLDS, period, point_precision, volume
from benchmarks.detection.series import runs

LABELLED = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40).filter(
    lambda rows: any(label for label, _ in rows)
)


def _split(rows):
    return np.array([label for label, _ in rows]), np.array([float(score) for _, score in rows])


def _buffered(label, length):
    out = label.astype(float)
    for first, last in runs(label):
        for i in range(len(label)):
            away = max(first - i, i - last, 0)
            if 0 < away <= length // 2:
                out[i] += math.sqrt(1 - away / length)
    return np.minimum(out, 1)


def _by_definition(label, score, longest):
    anomalous = label.sum()
    areas = []
    for length in range(longest + 1):
        soft = _buffered(label, length)
        reach = length // 2
        touched = np.zeros(len(label), bool)
        for first, last in runs(label):
            touched[max(first - reach, 0) : last + reach + 1] = True
        # Two whose buffers meet without a reading between them stay two, unless they share one.
        stretches = []
        for first, last in runs(label):
            if stretches and first - reach <= stretches[-1][1]:
                stretches[-1][1] = last + reach
            else:
                stretches.append([first - reach, last + reach])
        area, before = 0.0, 0.0
        for rank in np.linspace(0, len(label) - 1, THRESHOLDS).astype(int):
            alarm = score >= np.sort(score)[::-1][rank]
            hits = soft[alarm].sum()
            size = (anomalous + anomalous + soft[alarm & ~label].sum()) / 2
            exist = np.mean([alarm[max(a, 0) : b + 1].any() for a, b in stretches])
            recall = min(hits / size, 1) * exist
            area += (recall - before) * hits / alarm.sum()
            before = recall
        areas.append(area)
    return np.mean(areas)


@settings(deadline=None)  # a brute-force oracle, on a machine that may be busy
@given(LABELLED, st.integers(0, 9))
def test_volume_is_as_defined(rows, longest):
    label, score = _split(rows)
    assert volume(label, score, longest) == pytest.approx(
        _by_definition(label, score, longest), abs=1e-12
    )


@given(LABELLED)
def test_precision_by_point_is_that_of_scikit_learn(rows):
    label, score = _split(rows)
    assert point_precision(label, score) == pytest.approx(
        average_precision_score(label, score), abs=1e-12
    )


def test_a_perfect_score_has_a_volume_of_one_where_there_is_no_buffer():
    label = np.zeros(600, bool)
    label[100:120] = True
    assert volume(label, label.astype(float), 0) == pytest.approx(1.0)
    assert volume(label, label.astype(float), 30) > 0.9
    assert volume(label, -label.astype(float), 30) < 0.1


def test_near_misses_count_only_with_a_buffer():
    label = np.zeros(600, bool)
    label[100:120] = True
    late = np.roll(label.astype(float), 10)
    assert volume(label, late, 30) > volume(label, late, 0)


def test_there_is_no_area_without_an_anomaly():
    nothing = np.zeros(9, bool)
    assert math.isnan(volume(nothing, np.arange(9.0), 4))
    assert math.isnan(point_precision(nothing, np.arange(9.0)))


def test_a_season_is_found():
    places = np.arange(2000)
    season = np.sin(2 * np.pi * places / 24)
    assert period(season) == 24
    assert period(np.where(np.random.default_rng(0).random(2000) < 0.1, np.nan, season)) == 24
    assert period(np.ones(500)) == 125
    assert period(np.array([1.0, 2, 3])) == 125
