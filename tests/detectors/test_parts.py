"""What each part says, against what is true: by construction, by brute force, or by another's code."""

import copy
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift, time_series
from scipy import stats

from detectors.apart import usable
from detectors.budget import Budget
from detectors.conformal import Conformal
from detectors.episodes import Episodes
from detectors.evt import (
    DSPOT,
    START,
    TAIL_HEAD,
    gpd_fit,
    gpd_tail,
    tail_learn,
    tail_probability,
    tail_quantile,
)
from detectors.forecast import RobustForecast
from detectors.merging import harmonic
from detectors.tails import Tails
from detectors.together import Together

# -- extreme values


@pytest.mark.parametrize(("shape", "scale"), [(0.0, 1.0), (0.3, 5.0), (-0.3, 1e-3), (0.8, 100.0)])
def test_a_pareto_tail_is_found_again(shape: float, scale: float) -> None:
    sample = stats.genpareto.rvs(shape, scale=scale, size=4_000, random_state=1)
    found_shape, found_scale = gpd_fit(np.sort(sample))
    assert found_shape == pytest.approx(shape, abs=0.06)
    assert found_scale == pytest.approx(scale, rel=0.08)


@given(
    st.floats(0, 50),
    st.floats(-0.9, 2).filter(lambda s: s == 0 or abs(s) > 1e-6),
    st.floats(1e-3, 1e3),
)
def test_a_tail_is_scipys(excess: float, shape: float, scale: float) -> None:
    assert gpd_tail(excess, shape, scale) == pytest.approx(
        stats.genpareto.sf(excess, shape, scale=scale), rel=1e-6, abs=1e-12
    )


def _tail(scores: np.ndarray, peaks: int = 256, run: int = 1) -> np.ndarray:
    state = np.zeros(TAIL_HEAD + peaks)
    for score in scores:
        tail_learn(state, score, 0.98, run, 1e-9)
    return state


@pytest.mark.parametrize("probability", [1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize(
    "law", [stats.expon(), stats.halfnorm(), stats.t(4), stats.lognorm(0.5), stats.norm(1e6, 1e-3)]
)
def test_probabilities_are_the_laws(law: stats.rv_continuous, probability: float) -> None:
    """The geometric mean over streams, far beyond the threshold: within a factor of 1.5."""
    found = [
        math.log(tail_probability(_tail(law.rvs(20_000, random_state=n)), law.isf(probability)))
        for n in range(12)
    ]
    assert abs(np.mean(found) - math.log(probability)) < math.log(1.5)


@given(st.lists(st.floats(-1e6, 1e6), min_size=START, max_size=200), st.floats(-2e6, 2e6))
@settings(max_examples=60, deadline=None)
def test_more_is_never_more_probable(scores: list[float], score: float) -> None:
    state = _tail(np.array(scores), 64)
    more = score + abs(score) * 0.1 + 1e-3
    assert 0 < tail_probability(state, more) <= tail_probability(state, score) <= 1


def test_a_quantile_has_its_probability() -> None:
    state = _tail(stats.expon.rvs(size=3_000, random_state=1))
    for probability in (1e-3, 1e-5):
        score = tail_quantile(state, probability)
        assert tail_probability(state, score) == pytest.approx(probability, rel=1e-6)


def test_peaks_that_come_in_runs_count_once() -> None:
    """Every second of ten readings is alike, the others low: an episode is rarer than such a reading."""
    rng = np.random.default_rng(1)
    scores = np.repeat(rng.exponential(size=2_000), 10)
    scores[1::2] = 0
    one_by_one, in_runs = _tail(scores, run=1), _tail(scores, run=12)
    rate = 5
    assert in_runs[rate] < 0.3 * one_by_one[rate]
    at = stats.expon.isf(1e-3)
    assert tail_probability(in_runs, at) < 0.6 * tail_probability(one_by_one, at)


def test_a_threshold_follows_the_stream() -> None:
    rng = np.random.default_rng(1)
    small, large = rng.normal(0, 1, 3_000), rng.normal(1_000, 100, 6_000)
    detector = DSPOT()
    for value in (*small, *large):
        detector.learn_one({"v": value})
    assert detector.probability_one({"v": 1_150.0}) > 0.01
    for value in rng.normal(5, 1, 12_000):
        detector.learn_one({"v": value})
    assert detector.probability_one({"v": 6.0}) > 0.01
    assert detector.probability_one({"v": 15.0}) < 1e-3


# -- conformal


@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=40),
    st.integers(-6, 6),
    st.integers(1, 12),
    st.sampled_from([0.0, 3.0]),
)
@settings(max_examples=100, deadline=None)
def test_conformal_is_the_weighted_rank(
    values: list[int], value: int, window: int, half_life: float
) -> None:
    detector = Conformal(window=window, half_life=half_life, side="upper")
    for each in values:
        detector.learn_one({"v": each})
    decay = 0.5 ** (1 / half_life) if half_life else 1.0
    kept = values[-window:][::-1]
    weights = [decay**age for age in range(1, len(kept) + 1)]
    above = sum(w for w, v in zip(weights, kept, strict=True) if v >= value)
    assert detector.probability_one({"v": value}) == pytest.approx((1 + above) / (1 + sum(weights)))


def test_conformal_holds_on_whatever_it_is() -> None:
    """Of values in no order, a share p has a probability of p or less; counts, ties and all."""
    rng = np.random.default_rng(1)
    for draw in (rng.standard_cauchy, lambda: float(rng.poisson(2))):
        detector = Conformal(window=200, half_life=0)
        below = 0
        for number in range(4_200):
            value = draw()
            below += number >= 200 and detector.probability_one({"v": value}) <= 0.05
            detector.learn_one({"v": value})
        assert below / 4_000 <= 0.065


# -- episodes


def _steps(probabilities: list[float], **parameters: float) -> list[str]:
    settings_ = {"begin": 0.01, "end": 0.1, "calm": 2, "cooldown": 0, "longest": 100} | parameters
    episodes = Episodes(**settings_)  # type: ignore[arg-type]
    return [episodes.learn_one(p) for p in probabilities]


def test_an_episode_starts_once_and_ends_in_calm() -> None:
    steps = _steps([0.5, 0.001, 0.001, 0.05, 0.5, 0.05, 0.5, 0.5, 0.5])
    assert steps == ["", "start", *["continue"] * 5, "end", ""]


def test_between_the_two_thresholds_nothing_begins() -> None:
    assert _steps([0.05] * 10) == [""] * 10


def test_a_cooldown_is_waited_for() -> None:
    steps = _steps([0.001, 0.5, 0.5, 0.001, 0.001, 0.001], cooldown=2)
    assert steps == ["start", "continue", "end", "", "", "start"]


def test_no_reading_is_neither_calm_nor_strange() -> None:
    steps = _steps([0.001, 0.5, math.nan, math.nan, 0.5])
    assert steps == ["start", "continue", "continue", "continue", "end"]
    assert _steps([math.nan] * 5) == [""] * 5


def test_what_stays_is_told_once() -> None:
    """A shift that is never absorbed: one alarm; after calm the next is told again."""
    steps = _steps([0.001] * 50 + [0.5] * 3 + [0.001], longest=10)
    assert [n for n, step in enumerate(steps) if step == "start"] == [0, 53]
    assert steps[9] == "end"


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=80))
@settings(deadline=None)
def test_starts_and_ends_alternate(probabilities: list[float]) -> None:
    steps = [s for s in _steps(probabilities, cooldown=1, longest=7) if s in {"start", "end"}]
    assert steps[::2] == ["start"] * len(steps[::2])
    assert steps[1::2] == ["end"] * len(steps[1::2])


@pytest.mark.parametrize("tilt", [0.3, 0.7, 1.0, 1.15])
def test_a_budget_is_kept_by_probabilities_that_lie(tilt: float) -> None:
    """A hundred times too many below the budget, or too few: in the long run they are as asked for."""
    budget = Budget(every=60, false_alarms=1e-3 / 60)
    rng = np.random.default_rng(1)
    starts = [budget.take(p) == "start" for p in rng.random(60_000) ** (1 / tilt)]
    assert 0.4 <= sum(starts[5_000:]) / 55 <= 2


def test_a_budget_has_limits() -> None:
    assert Budget(every=86_400, false_alarms=1 / 604_800).share == 0.1
    assert Budget(every=0, false_alarms=1).share == 0
    assert Budget(every=60, false_alarms=1 / 604_800).share == pytest.approx(60 / 604_800)


# -- forecast


def _errors(model: time_series.base.Forecaster, series: np.ndarray, step: float) -> np.ndarray:
    found = []
    for number, value in enumerate(series):
        x = {"time": step * number}
        if number > 2:
            robust = isinstance(model, RobustForecast)
            (expected,) = model.forecast(1, [x]) if robust else model.forecast(1)
            found.append(abs(value - expected))
        model.learn_one(float(value), x)
    return np.array(found)


def _daily(days: int, noise: float, step: float = 600.0) -> np.ndarray:
    times = np.arange(int(days * 86_400 / step)) * step
    hours = times / 3_600 % 24
    peak = 50 * np.exp(-((hours - 14) ** 2) / 4)  # a busy early afternoon
    return 100 + peak + np.random.default_rng(1).normal(0, noise, len(times))


def test_a_daily_season_is_found_and_helps() -> None:
    series = _daily(8, noise=5)
    robust, plain = RobustForecast(), time_series.HoltWinters(alpha=0.3, beta=0.02)
    with_season = _errors(robust, series, 600)[-3 * 144 :].mean()
    without = _errors(plain, series, 600)[-3 * 144 :].mean()
    assert robust.period == 86_400
    assert with_season < 0.9 * without


@pytest.mark.parametrize("step", [600.0, 1_800.0, 3_600.0, 7_200.0])
def test_a_season_is_forecast_at_any_step(step: float) -> None:
    """A reading of the middle of the night, of the peak: from minutes to two hours apart."""
    series = _daily(8, noise=2, step=step)
    model = RobustForecast()
    _errors(model, series, step)
    assert model.period == 86_400
    peak, night = model.forecast(2, [{"time": 86_400 * 8 + 3_600.0 * h} for h in (14, 26)])
    assert peak == pytest.approx(150, abs=8)
    assert night == pytest.approx(100, abs=8)


def test_a_weekly_season_is_found() -> None:
    series = _daily(28, noise=3, step=1_800.0)
    weekend = (np.arange(len(series)) // 48) % 7 >= 5
    series[weekend] = 100 + (series[weekend] - 100) * 0.1
    robust = RobustForecast()
    _errors(robust, series, 1_800)
    assert robust.period == 604_800


@pytest.mark.parametrize("seed", range(3))
def test_where_there_is_no_season_none_does_harm(seed: int) -> None:
    """Noise, and a random walk: no worse than river's own without a season."""
    noise = np.random.default_rng(seed).normal(0, 1, 3_000)
    for series in (100 + noise, 100 + np.cumsum(noise)):
        ours = _errors(RobustForecast(), series, 600)[-1_000:].mean()
        theirs = _errors(time_series.HoltWinters(alpha=0.3, beta=0.02), series, 600)[-1_000:].mean()
        assert ours < 1.05 * theirs


def test_an_outlier_spoils_no_forecast() -> None:
    series = 100 + np.random.default_rng(1).normal(0, 1, 1_000)
    series[::50] = 10_000.0
    model = RobustForecast()
    errors = _errors(model, series, 60)
    assert np.median(errors) < 2
    after = errors[np.arange(500, 950, 50) - 3 + 1]  # the reading after each outlier
    assert after.max() < 10


def test_a_level_shift_is_followed() -> None:
    model = RobustForecast()
    values = np.concatenate([np.zeros(500), np.full(60, 1_000.0)])
    values += np.random.default_rng(1).normal(0, 1, 560)
    errors = _errors(model, values, 60)
    assert errors[-10:].max() < 50


def test_gaps_and_irregular_times() -> None:
    """Half of the readings missing at random, and a day: the season is where it was."""
    series = _daily(10, noise=2)
    there = np.random.default_rng(2).random(len(series)) < 0.5
    there[7 * 144 : 8 * 144] = False
    model = RobustForecast()
    for number in np.flatnonzero(there):
        model.learn_one(series[number], {"time": 600.0 * number})
    assert model.period == 86_400
    peak, night = model.forecast(2, [{"time": 86_400 * 10 + 3_600.0 * h} for h in (14, 26)])
    assert peak > 130
    assert night < 115


# -- multi-scale tails


def test_a_small_shift_that_stays_becomes_strange() -> None:
    rng = np.random.default_rng(1)
    detector = Tails()
    for value in rng.normal(0, 1, 5_000):
        detector.learn_one({"v": value})
    found = []
    for value in rng.normal(1.5, 1, 60):
        found.append(detector.probability_one({"v": value}))
        detector.learn_one({"v": value})
    assert np.median(found[:3]) > 0.01
    assert min(found) < 1e-4


def test_a_level_is_the_mean_of_the_last() -> None:
    """The ring, against numpy, over its end and beyond."""
    from detectors.tails import SCALES, _levels, multiscale_learn  # noqa: PLC0415

    row = Tails()._fresh()
    values = np.random.default_rng(1).normal(size=300)
    for number, value in enumerate(values):
        levels = _levels(row, value)
        for scale, level in zip(SCALES, levels, strict=True):
            if number + 1 >= scale:
                assert level == pytest.approx(values[number + 1 - scale : number + 1].mean())
            else:
                assert math.isnan(level)
        multiscale_learn(row, value, 0.98)


# -- several at once


@given(st.lists(st.floats(1e-12, 1), min_size=1, max_size=10))
def test_a_harmonic_mean_lies_between(probabilities: list[float]) -> None:
    together = harmonic(probabilities)
    assert min(probabilities) * 0.999 <= together <= max(probabilities) * 1.001
    assert together <= len(probabilities) * min(probabilities) * 1.001
    assert harmonic([*probabilities, math.nan]) == together


def _entity(rng: np.random.Generator) -> dict[str, float]:
    load = rng.normal(100, 20)
    return {"rate": load, "p95": load / 100 + rng.normal(0, 0.02), "errors": rng.random() / 100}


def test_together_keeps_to_one_budget() -> None:
    rng = np.random.default_rng(1)
    detector = Together(every=60, false_alarms=3e-3 / 60)
    alerts = [detector.observe(60.0 * n, _entity(rng)).alert for n in range(8_000)]
    starts = sum(b and not a for a, b in itertools.pairwise(alerts))
    assert 0.4 * 24 <= starts <= 2 * 24


def test_together_sees_what_none_alone_does() -> None:
    """Latency as under full load, at no load: each has been seen, never both."""
    rng = np.random.default_rng(1)
    detector = Together(every=60, false_alarms=1e-3 / 60)
    for number in range(4_000):
        detector.observe(60.0 * number, _entity(rng))
    odd, ordinary = [], []
    for rate in (50.0, 55.0, 60.0, 65.0, 70.0):
        asked = copy.deepcopy(detector)
        asked.observe(240_000.0, {"rate": rate, "p95": 1.4, "errors": 0.005})
        odd.append(asked.parts.pop("together"))
        ordinary.append(min(asked.parts.values()))
    assert np.median(odd) < 0.2 * np.median(ordinary)


def test_together_takes_probabilities_from_elsewhere() -> None:
    rng = np.random.default_rng(1)
    detector = Together()
    for number in range(600):
        verdict = detector.observe(60.0 * number, _entity(rng), apart={"rate": 0.5, "p95": 1.0})
    assert detector.parts["rate"] == 0.5
    assert verdict.probability == pytest.approx(
        detector._budget.held_to(harmonic(detector.parts.values())), rel=0.1
    )
    assert not detector._apart["rate"]._tail[0]


def test_a_new_feature_begins_all_of_them_anew() -> None:
    rng = np.random.default_rng(1)
    detector = Together()
    for number in range(700):
        detector.observe(60.0 * number, _entity(rng))
    assert "together" in detector.parts
    for number in range(700, 760):
        detector.observe(60.0 * number, _entity(rng) | {"cost": rng.random()})
    assert "together" not in detector.parts
    assert "rate" in detector.parts


# -- what river has


def test_rivers_drift_detector_is_enough() -> None:
    """ADWIN: no false alarm in 20,000 readings, a shift of two deviations found within 100."""
    rng = np.random.default_rng(1)
    detector = drift.ADWIN(delta=1e-4)
    found = []
    for number, value in enumerate([*rng.normal(0, 1, 20_000), *rng.normal(2, 1, 200)]):
        detector.update(value)
        if detector.drift_detected:
            found.append(number)
    assert found
    assert 20_000 <= found[0] < 20_100


def test_numbers_are_what_may_be_used() -> None:
    x = {
        "a": True,
        "b": None,
        "c": "7",
        "d": math.inf,
        "e": -(10**400),
        "f": np.float32(2),
        "g": 1j,
    }
    assert usable(x) == {"a": 1.0, "e": -1e60, "f": 2.0}
