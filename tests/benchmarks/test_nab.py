"""NAB's score by hand, against a direct reading of the paper, and against NAB's own scorer where it is."""

import csv
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.detection import nab_scorer
from benchmarks.detection.halves import split_halves
from benchmarks.detection.nab import (
    PROFILES,
    STANDARD,
    Profile,
    detections,
    probation,
    sweep,
)
from benchmarks.detection.series import DATA, Series, numenta, operational

NAB = os.environ.get("NAB")


def _series(count, *windows, name="made/up.csv"):
    stamps = tuple(f"2026-01-01 00:{i // 60:02}:{i % 60:02}" for i in range(count))
    return Series(name, np.arange(count) * 300.0, np.zeros(count), windows, stamps)


def _best(series, *places):
    score = np.zeros(len(series.values))
    score[list(places)] = 1.0
    found = sweep([series], [score])
    return found.score(1)


def test_the_first_reading_of_a_window_is_worth_most():
    series = _series(1000, (500, 599))
    assert _best(series, 500) == pytest.approx(100)
    assert _best(series, 500, 510) == pytest.approx(100)
    # The middle: 2 / (1 + exp(-2.5)) - 1 over 2 / (1 + exp(-5)) - 1, of 1, on top of a miss's 1.
    middle = (2 / (1 + math.exp(-2.5)) - 1) / (2 / (1 + math.exp(-5)) - 1)
    assert _best(series, 550) == pytest.approx(50 * (1 + middle))


def test_a_false_positive_costs_by_its_place():
    series = _series(1000, (500, 599))
    far = _best(series, 500, 300)
    assert far == pytest.approx(100 - 50 * 0.11)
    near = 0.11 * (2 / (1 + math.exp(5 * 1 / 99)) - 1)
    assert _best(series, 500, 600) == pytest.approx(100 + 50 * near)
    assert _best(series, 500, 950) == pytest.approx(far)  # more than three widths behind


def test_the_probation_is_not_scored():
    assert [probation(n) for n in (0, 7, 1000, 5000, 9999)] == [0, 1, 150, 750, 750]
    series = _series(1000, (500, 599))
    assert _best(series, 500, 149) == pytest.approx(100)
    assert _best(series, 500, 150) < 100


def test_a_window_that_cannot_be_found_counts_as_perfect_does():
    """As NAB: what is perfect counts every window, and the baseline only those that are scored."""
    series = _series(1000, (10, 20), (500, 599))
    found = sweep([series], [np.eye(1, 1000, 500)[0]])
    assert found.score(1) == pytest.approx(100 * 2 / 3)


def test_profiles_weigh_false_positives_and_misses():
    series = _series(1000, (500, 599), (700, 799))
    score = np.zeros(1000)
    score[[200, 500]] = 1.0
    standard, fewer_false, fewer_missed = (
        sweep([series], [score], profile=profile).score(1) for profile in PROFILES
    )
    assert standard == pytest.approx(100 * (2 - 0.11) / 4)
    assert fewer_false == pytest.approx(100 * (2 - 0.22) / 4)
    assert fewer_missed == pytest.approx(100 * (3 - 0.11) / 6)


def _by_hand(series, score, threshold, mute, profile):
    start, silent, gained, false = probation(len(score)), -1, {}, 0.0
    for i in range(start, len(score)):
        if score[i] < threshold or i < silent:
            continue
        silent = i + mute
        inside = [(n, a, b) for n, (a, b) in enumerate(series.windows) if a <= i <= b]
        before = [(a, b) for a, b in series.windows if b < i]
        if inside:
            number, first, last = inside[0]
            position = -(last - i + 1) / (last - first + 1)
            worth = (2 / (1 + math.exp(5 * position)) - 1) / (2 / (1 + math.exp(-5)) - 1)
            gained[number] = max(gained.get(number, 0.0), worth + profile.miss)
        elif not before:
            false -= profile.false_positive
        else:
            first, last = before[-1]
            position = (i - last) / (last - first)
            worth = -1 if position > 3 else 2 / (1 + math.exp(5 * position)) - 1
            false += profile.false_positive * worth
    return sum(gained.values()) + false


@given(
    st.lists(st.integers(0, 4), min_size=20, max_size=60),
    st.lists(st.integers(0, 59), max_size=4, unique=True).map(sorted),
    st.sampled_from([1, 2, 5]),
    st.sampled_from(PROFILES),
)
def test_every_threshold_is_as_scored_by_hand(values, edges, mute, profile):
    edges = [edge for edge in edges if edge < len(values)]
    windows = tuple(zip(edges[::2], edges[1::2], strict=False))
    series = _series(len(values), *windows)
    score = np.array(values, float)
    found = sweep([series], [score], profile=profile, mute=mute)
    assert set(found.thresholds[1:]) == set(score[probation(len(score)) :]) - {0.0}
    for threshold, gain in zip(found.thresholds, found.gains[0], strict=True):
        expected = _by_hand(series, score, threshold, mute, profile)
        assert gain == pytest.approx(expected, abs=1e-12)


def test_a_window_of_one_reading():
    series = _series(100, (50, 50))
    assert _best(series, 50) == pytest.approx(100)
    assert _best(series, 50, 51) == pytest.approx(100 - 50 * 0.11)


def test_thresholds_are_for_all_files_together():
    series = [_series(1000, (500, 599)), _series(1000, (500, 599))]
    scores = [np.eye(1, 1000, 500)[0] * 3, np.eye(1, 1000, 500)[0] * 2]
    found = sweep(series, scores)
    assert found.thresholds.tolist() == [np.inf, 3.0, 2.0]
    assert [found.score(i) for i in range(3)] == pytest.approx([0, 50, 100])
    assert found.best() == 2


def test_a_detection_mutes_those_behind_it():
    score = np.array([0, 1.0, 1, 1, 1, 1, 0, 1])
    assert detections(score, 1.0, 3) == [1, 4, 7]
    assert detections(score, 1.0, 1) == [1, 2, 3, 4, 5, 7]
    assert detections(score, 1.0, 3, start=2) == [2, 5]
    assert detections(score, 2.0, 3) == []


def test_split_halves_choose_on_the_one_half_for_the_other():
    series = [_series(1000, (500, 599)) for _ in range(8)]
    perfect = [np.eye(1, 1000, 500)[0] for _ in series]
    blind = [np.zeros(1000) for _ in series]
    assert split_halves([sweep(series, perfect)]) == (pytest.approx(100), pytest.approx(0))
    chosen = split_halves([sweep(series, blind), sweep(series, perfect)])
    assert chosen[0] == pytest.approx(100)
    # One file alone is found, and only the half that has it learns a threshold.
    lone = sweep(series, [perfect[0], *blind[1:]])
    assert lone.score(lone.best()) == pytest.approx(100 / 8)
    assert split_halves([lone])[0] < 100 / 8


def test_results_are_written_as_nab_has_them(tmp_path):
    series = _series(10, (4, 5), name="realTweets/x_y.csv")
    nab_scorer.write(tmp_path, "mine", [series], [np.arange(10) / 10])
    with (tmp_path / "mine" / "realTweets" / "mine_x_y.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["timestamp", "value", "anomaly_score", "label"]
    assert rows[4] == {
        "timestamp": "2026-01-01 00:00:04",
        "value": "0.0",
        "anomaly_score": "0.4",
        "label": "1",
    }
    assert [row["label"] for row in rows].count("1") == 2
    with pytest.raises(ValueError, match="underscore"):
        nab_scorer.write(tmp_path, "my_own", [series], [np.zeros(10)])


def test_scores_beyond_one_keep_their_order_for_nab():
    scores = [np.array([0.0, 7, 1e9]), np.array([7.0, 1e-9])]
    first, second = nab_scorer.in_unit(scores)
    assert first.tolist() == [0, 2 / 3, 1]
    assert second.tolist() == [2 / 3, 1 / 3]
    already = [np.array([0.2, 0.9])]
    assert nab_scorer.in_unit(already)[0].tolist() == [0.2, 0.9]
    assert nab_scorer.in_unit([np.full(3, 7.0)])[0].tolist() == [0, 0, 0]


def test_a_scorer_that_fails_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.delenv("NAB_PYTHON", raising=False)
    with pytest.raises(SystemExit, match="NAB_PYTHON can name a Python"):
        nab_scorer.score(tmp_path, tmp_path / "results", [_series(5)], [])


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason=f"no {DATA}")
def test_the_labelled_series_are_all_there():
    files = numenta()
    assert (len(files), sum(len(one.windows) for one in files)) == (58, 116)
    assert sum(len(one.values) for one in files) == 365_558
    ops = operational()
    assert (len(ops), sum(len(one.windows) for one in ops)) == (71, 520)


@pytest.mark.data
@pytest.mark.timeout(1200)  # NAB takes its time
@pytest.mark.skipif(
    NAB is None or not DATA.exists(),
    reason="NAB=/path/to/a/checkout compares with NAB's own scorer",
)
def test_our_sweep_is_nabs_own_score(tmp_path):
    files = numenta()
    rng = np.random.default_rng(0)
    noisy = [one.label * rng.random() * 0.5 + rng.random(len(one.values)) for one in files]
    coarse = [np.round(score * 3) for score in noisy]
    best = sweep(files, noisy, mute=150)
    written = {
        "noisy": nab_scorer.in_unit(noisy),
        "coarse": nab_scorer.in_unit(coarse),
        "muted": nab_scorer.thinned(noisy, best),
    }
    assert sweep(files, written["muted"]).score(1) == pytest.approx(best.score(best.best()))
    for name, scores in written.items():
        nab_scorer.write(tmp_path, name, files, scores)
    found = nab_scorer.score(Path(NAB or ""), tmp_path, files, list(written))
    for name, scores in written.items():
        for profile in PROFILES:
            ours = sweep(files, scores, profile=profile)
            assert ours.score(ours.best()) == pytest.approx(found[name][profile.name], abs=1e-6)


def test_the_standard_profile_is_nabs():
    assert Profile("standard", 0.11, 1.0) == STANDARD
