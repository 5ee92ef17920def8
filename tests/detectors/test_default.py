"""The default detector: causal, the same alone and banked, quiet and awake where it should be."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import Bank, Detector, _kernel

WEEK, DAY = 604_800, 86_400
START = 1_700_000_000.0

hostile = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 1.0, -1.0, 1e99, -1e99, 1e308, 5e-324, math.nan]),
    st.integers(-5, 5).map(float),
)


def judged(values, every=60.0, start=START, false_alarms=1 / WEEK):
    """`float64[n, 7]`, a verdict a row, of the readings of one series in order."""
    values = np.asarray(values, np.float64)
    out = np.empty((len(values), 7))
    at = start + every * np.arange(len(values))
    _kernel.series(at, values, 0.0, false_alarms, out)
    return out


def alarms(out):
    on = out[:, 5] > 0
    return int((on[1:] & ~on[:-1]).sum() + on[0])


def daily(rng, days, every, noise=3.0):
    at = every * np.arange(int(days * DAY / every))
    return 100 + 30 * np.sin(2 * math.pi * at / DAY) + noise * rng.normal(size=len(at))


@settings(deadline=None, max_examples=60)
@given(st.lists(hostile, min_size=1, max_size=300), st.sampled_from([1.0, 60.0, 3600.0]))
def test_whatever_comes_the_verdict_is_a_verdict(values, every):
    for score, probability, expected, lower, upper, alert, learning in judged(values, every):
        assert 0 <= score < 1
        assert 0 <= probability <= 1
        assert alert in (0, 1)
        assert learning in (0, 1)
        assert math.isnan(expected) or lower <= expected <= upper


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(hostile, min_size=3, max_size=3), min_size=1, max_size=200),
    st.sampled_from([10.0, 60.0, 3600.0]),
)
def test_a_row_of_a_bank_is_a_detector_of_its_own(readings, every):
    bank = Bank(every=every, false_alarms=1 / DAY)
    bank.grow(3)
    alone = [Detector(false_alarms=1 / DAY, every=every) for _ in range(3)]
    for number, values in enumerate(readings):
        at = START + every * number
        together = bank.observe(at, np.array(values))
        for row, value in enumerate(values):
            found, wanted = together.of(row), alone[row].observe(at, value)
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.floats(0, 0.2))
def test_a_stream_that_is_cut_short_has_the_same_verdicts(seed, cut, gaps):
    """Causality: nothing after a reading changes what was said of it."""
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.standard_t(3, 400))
    values[rng.random(400) < gaps] = math.nan
    np.testing.assert_array_equal(judged(values)[:cut], judged(values[:cut]))
    other = np.concatenate([values[:cut], 1e6 * rng.normal(size=400 - cut)])
    np.testing.assert_array_equal(judged(values)[:cut], judged(other)[:cut])


@pytest.mark.parametrize("every", [60.0, 3600.0])
def test_scale_and_sign_do_not_matter(every):
    values = np.random.default_rng(5).normal(100, 5, 2000)
    scores = judged(values, every)[:, 0]
    np.testing.assert_allclose(judged(-values, every)[:, 0], scores, atol=1e-6)
    np.testing.assert_allclose(judged(1000 * values, every)[:, 0], scores, atol=1e-6)


def test_it_says_that_it_learns_and_is_quiet_then():
    out = judged([1, 1000, -5, *range(60)])
    assert out[:29, 6].all()
    assert not out[40:, 6].any()
    assert not out[:29, 5].any()
    assert np.isnan(out[:29, 2:5]).all()


@pytest.mark.parametrize("size", [8, 30, 1000, -1000])
@pytest.mark.parametrize("every", [60.0, 300.0])
def test_a_level_shift_is_reported_once_and_becomes_the_new_level(every, size):
    values = 1000 + np.random.default_rng(2).normal(size=8000)
    values[4000:] += size
    on = judged(values, every)[4000:, 5] > 0
    assert on[0]
    last = np.flatnonzero(on)[-1]
    assert last < 310
    assert np.count_nonzero(np.diff(on.astype(int)) == 1) == 0
    assert abs(judged(values, every)[-1, 2] - 1000 - size) < 3


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(lambda _rng, n: np.zeros(n), id="nothing"),
        pytest.param(lambda _rng, n: np.full(n, 1e9), id="constant"),
        pytest.param(lambda rng, n: (rng.random(n) < 0.3).astype(float), id="binary"),
        pytest.param(lambda rng, n: rng.poisson(4, n).astype(float), id="counts"),
        pytest.param(lambda rng, n: np.full(n, math.nan) * rng.random(n), id="missing"),
        pytest.param(lambda rng, n: daily(rng, n / 1440, 60.0)[:n], id="season"),
    ],
)
def test_ordinary_series_are_quiet(value):
    out = judged(value(np.random.default_rng(1), 14 * 1440))
    assert alarms(out) <= 4


def test_a_constant_that_changes_is_strange():
    out = judged(np.concatenate([np.full(5000, 7.0), [8.0]]))
    assert out[-1, 5]
    assert out[-1, 0] > 0.4


def test_the_season_is_used_where_there_is_one():
    """The night's traffic at noon is strange, though no value is."""
    rng = np.random.default_rng(3)
    values = daily(rng, 14, 300.0)
    noon = 13 * 288 + 72
    fallen = values.copy()
    fallen[noon : noon + 12] -= 45
    start = 86_400.0 * 20_000
    assert judged(fallen, 300.0, start)[noon : noon + 12, 5].any()
    assert fallen[noon : noon + 12].min() > values[: 13 * 288].min()
    expected = judged(values, 300.0, start)[-288:, 2]
    assert np.corrcoef(expected, values[-288:])[0, 1] > 0.97


def test_missing_readings_are_a_signal_where_there_never_were_any():
    steady = np.random.default_rng(4).normal(10, 1, 20 * 1440)
    out = judged(np.concatenate([steady, np.full(10, math.nan), steady[:100]]))
    gone = out[len(steady) : len(steady) + 10]
    assert not gone[:2, 5].any()
    assert gone[2:, 5].all()
    assert (gone[2:, 0] > 0).all()
    assert not out[-60:, 5].any()
    patchy = steady.copy()
    patchy[np.random.default_rng(5).random(len(steady)) < 0.5] = math.nan
    assert alarms(judged(patchy)) <= 6


@pytest.mark.parametrize("days", [1, 7])
@pytest.mark.parametrize("every", [300.0, 3600.0])
@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(lambda rng, n: rng.normal(size=n), id="normal"),
        pytest.param(lambda rng, n: rng.standard_t(3, n), id="heavy"),
        pytest.param(lambda rng, n: np.exp(rng.normal(size=n)), id="skewed"),
        pytest.param(lambda rng, n: rng.poisson(3, n).astype(float), id="counts"),
    ],
)
def test_there_are_as_many_false_alarms_as_were_accepted(noise, every, days):
    """Within a factor of two; measured on more kinds by the benchmark."""
    length = int(140 * DAY / every)
    rng = np.random.default_rng(6)
    found = [
        alarms(judged(noise(rng, length), every, false_alarms=1 / (days * DAY))) for _ in range(6)
    ]
    wanted = 6 * 140 / days
    assert 0.5 <= sum(found) / wanted <= 2


def test_time_that_stands_or_goes_back_is_survived():
    detector = Detector()
    for number, at in enumerate([5, 5, 5, 4, -1e18, 1e300, math.nan, 6, 7, 8] * 20):
        assert 0 <= detector.observe(float(at), float(number % 7)).score < 1


def test_a_state_is_pickled_in_mid_stream_and_cloned_empty():
    values = np.random.default_rng(8).normal(size=500)
    detector, bank = Detector(), Bank(60.0)
    bank.grow(1)
    for number, value in enumerate(values[:300]):
        detector.observe(60.0 * number, value)
        bank.observe(60.0 * number, np.array([value]))
    twin, other = pickle.loads(pickle.dumps((detector, bank)))  # noqa: S301  our own
    for number, value in enumerate(values[300:], 300):
        verdict = detector.observe(60.0 * number, value)
        assert twin.observe(60.0 * number, value) == verdict
        assert (
            other.observe(60.0 * number, np.array([value])).score
            == bank.observe(60.0 * number, np.array([value])).score
        )
    assert detector.clone().observe(0.0, 1.0).learning


def test_scoring_changes_nothing():
    detector = Detector()
    for value in np.random.default_rng(9).normal(size=100):
        detector.learn_one({"p95": value})
    before = copy.deepcopy(detector)
    strange = detector.score_one({"p95": 50.0})
    assert detector.score_one({"p95": 50.0}) == strange == before.score_one({"p95": 50.0})
    assert strange > detector.score_one({"p95": 0.0})
    assert detector.score_one({"unknown": 1.0}) == 0


def test_rows_of_a_bank_are_grown_freed_and_counted():
    bank = Bank(60.0)
    bank.grow(2)
    for number in range(100):
        bank.observe(60.0 * number, np.array([1.0, 2.0]))
    bank.grow(3)
    bank.grow(1)
    assert bank.rows == 3
    bank.reset(0)
    assert bank.observe(6000.0, np.array([1.0, 2.0, 3.0])).learning.tolist() == [True, False, True]
    with pytest.raises(ValueError, match="2 readings for 3 series"):
        bank.observe(0.0, np.zeros(2))


def test_a_row_is_small():
    assert _kernel.SIZE * 8 < 3 * 1024


def test_what_was_never_negative_is_not_expected_to_be():
    rng = np.random.default_rng(7)
    values = np.concatenate([rng.exponential(1, 3000), 40 + rng.exponential(1, 50)])
    assert (judged(values)[30:, 2:5] >= 0).all()
    assert (judged(values - 0.5)[30:, 3] < -0.5).any()
