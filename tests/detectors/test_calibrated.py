"""Calibration: as many alarms as asked for, and those where something is."""

import copy
import math
import random

import numpy as np
import pytest
from river import anomaly, base, linear_model, preprocessing, time_series

from detectors.calibrated import Calibrated
from detectors.forecast import RobustForecast
from tests.detectors import calibration
from tests.detectors.calibration import DATA, DETECTORS, SYNTHETIC

needs_data = [
    pytest.mark.data,
    pytest.mark.skipif(not (DATA / "ops").exists(), reason="no shared data here"),
]
# At 1 in 300 a slow wave of scores is one alarm, however long: fewer than were allowed.
BUDGET = 3e-3
# Those that expect a value. Scaled by minimum and maximum, trees know of nothing beyond these; and of a
# single feature the SVM's score is a straight line.
CENTRAL = [name for name in DETECTORS if name not in {"HalfSpaceTrees", "OneClassSVM"}]


@pytest.mark.parametrize("kind", SYNTHETIC)
@pytest.mark.parametrize("name", DETECTORS)
def test_on_clean_series_alarms_are_as_many_as_asked_for(name: str, kind: str) -> None:
    tally = calibration.on_synthetic(kind, name, BUDGET, size=12_000, repeats=1)
    assert 0.5 <= tally.of(BUDGET) <= 2, tally


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("budget", [2e-3])
@pytest.mark.parametrize(
    "folder", [pytest.param("kpi", marks=needs_data), pytest.param("cloud", marks=needs_data)]
)
def test_on_real_series_too(name: str, budget: float, folder: str) -> None:
    tally = calibration.on_real(folder, name, budget, most=3_000, each=3)
    expected = tally.readings * budget
    # Of few alarms not even the right rate has just as many: twice their standard deviation more.
    assert 0.5 * expected - 2 * math.sqrt(expected) <= tally.alarms, tally
    assert tally.alarms <= 2 * expected + 2 * math.sqrt(expected), tally


def _noise(count: int, seed: int = 1) -> list[float]:
    return [float(v) for v in np.random.default_rng(seed).normal(100, 5, count)]


@pytest.mark.parametrize("name", CENTRAL)
def test_a_leap_is_an_alarm(name: str) -> None:
    detector = Calibrated(DETECTORS[name](), every=60, false_alarms=1 / 86_400)
    for number, value in enumerate(_noise(4_000)):
        detector.observe(60.0 * number, {"value": value})
    strange = detector.observe(240_000.0, {"value": 1_000.0})
    assert strange.alert
    assert strange.probability < 60 / 86_400
    assert strange.score > 0.99


@pytest.mark.parametrize("name", CENTRAL)
def test_what_is_expected_and_the_band_around_it(name: str) -> None:
    """The value just within the band is no alarm, the one just without is."""
    detector = Calibrated(DETECTORS[name](), every=60, false_alarms=1 / 86_400)
    for number, value in enumerate(_noise(4_000)):
        verdict = detector.observe(60.0 * number, {"value": value})
    assert verdict.lower < verdict.expected < verdict.upper
    assert 70 < verdict.lower < 90 < verdict.expected < 110 < verdict.upper < 130
    at, margin = 240_000.0, 1e-6
    shown = _band(detector, at)
    for value, within in (
        (shown[0] + margin, True),
        (shown[0] - margin, False),
        (shown[1] - margin, True),
        (shown[1] + margin, False),
    ):
        assert (detector.probability_one({"value": value}, at) >= 60 / 86_400) is within


def _band(detector: Calibrated, at: float) -> tuple[float, float]:
    verdict = copy.deepcopy(detector).observe(at, {"value": 100.0})
    return verdict.lower, verdict.upper


def test_a_detector_that_forecasts_nothing_has_a_band_of_values() -> None:
    detector = Calibrated(DETECTORS["HalfSpaceTrees"](), every=60, false_alarms=1 / 86_400)
    for number, value in enumerate(_noise(4_000)):
        verdict = detector.observe(60.0 * number, {"value": value})
    assert math.isnan(verdict.expected)
    assert 75 < verdict.lower < 90
    assert 110 < verdict.upper < 125
    both = detector.observe(240_000, {"value": 100.0, "other": 1.0})
    assert math.isnan(both.lower)


def test_the_start_is_quiet() -> None:
    detector = Calibrated(anomaly.GaussianScorer(grace_period=50), every=60)
    for number, value in enumerate([*_noise(50), 1e6, *_noise(30), -1e6]):
        verdict = detector.observe(60.0 * number, {"value": value})
        assert verdict.learning
        assert (verdict.score, verdict.probability, verdict.alert) == (0.0, 1.0, False)
        assert math.isnan(verdict.expected)


def test_a_level_shift_is_one_alarm() -> None:
    detector = Calibrated(
        anomaly.PredictiveAnomalyDetection(RobustForecast()), every=60, false_alarms=1 / 604_800
    )
    values = [*_noise(3_000), *(v + 300 for v in _noise(3_000, 2))]
    alerts = [detector.observe(60.0 * n, {"v": v}).alert for n, v in enumerate(values)]
    starts = [n for n in range(1, 6_000) if alerts[n] and not alerts[n - 1]]
    assert starts == [3_000]
    assert not any(alerts[3_200:])


@pytest.mark.parametrize("every", [0.0, 1e-3, 60.0, 86_400.0, 1e9])
@pytest.mark.parametrize("false_alarms", [0.0, 1e-300, 1 / 604_800, 1e9])
def test_any_budget_is_taken(every: float, false_alarms: float) -> None:
    """None at all means no alarm; as many as there may be are at most one in ten readings."""
    detector = Calibrated(anomaly.PredictiveAnomalyDetection(RobustForecast()), every, false_alarms)
    starts, was = 0, False
    for number, value in enumerate([*_noise(900), 1e9, *_noise(100)]):
        verdict = detector.observe(every * number, {"v": value})
        assert 0 <= verdict.score <= 1
        assert not verdict.lower > verdict.upper
        starts += verdict.alert and not was
        was = verdict.alert
    if every * false_alarms < 1e-200:
        assert starts == 0
    assert starts <= 100


def test_an_outlier_hides_no_other() -> None:
    detector = Calibrated(DETECTORS["GaussianScorer"](), every=60, false_alarms=1 / 86_400)
    values = _noise(6_000)
    values[3_000] = 1e5
    values[5_000] = 160.0
    alerts = [detector.observe(60.0 * n, {"v": v}).alert for n, v in enumerate(values)]
    assert alerts[3_000]
    assert alerts[5_000]


def test_missing_readings_are_no_readings() -> None:
    """Nothing is learned from them, and nothing judged."""
    without = Calibrated(anomaly.GaussianScorer(), every=60)
    among = Calibrated(anomaly.GaussianScorer(), every=60)
    for number, value in enumerate(_noise(500)):
        one = without.observe(60.0 * number, {"v": value})
        nothing = among.observe(60.0 * number, {"v": math.nan})
        assert (nothing.score, nothing.probability, nothing.alert) == (0.0, 1.0, False)
        among.observe(60.0 * number, {})
        assert one[:5] == pytest.approx(among.observe(60.0 * number, {"v": value})[:5], nan_ok=True)


class Fails(base.AnomalyDetector):
    """Fails after a value that it does not like, until it is made anew."""

    def __init__(self) -> None:
        self.bad = False

    def learn_one(self, x: dict) -> None:
        self.bad = self.bad or x["v"] > 1000

    def score_one(self, x: dict) -> float:
        if self.bad:
            raise TypeError("'<' not supported between a float and a complex")
        return abs(x["v"])


def test_a_detector_that_keeps_failing_is_replaced() -> None:
    detector = Calibrated(Fails(), every=3_600)
    for number, value in enumerate([*_noise(200), 5000.0, *_noise(50)]):
        verdict = detector.observe(3_600.0 * number, {"v": value})
    assert detector.restarts == 1
    assert detector.failures == 10
    assert detector.failure == "TypeError: '<' not supported between a float and a complex"
    assert verdict.probability < 1


def test_a_gaussian_with_a_window_survives_what_river_does_not() -> None:
    """Rounding makes its variance negative once large values have left the window; then river raises."""
    rng = random.Random(1)
    values = [rng.uniform(0, 1e6) if n % 200 < 3 else 1 / 3 for n in range(2_000)]
    bare = anomaly.GaussianScorer(window_size=50, grace_period=50)
    detector = Calibrated(bare.clone(), every=60)
    raised = 0
    for number, value in enumerate(values):
        try:
            bare.score_one(None, value)
        except TypeError:
            raised += 1
        bare.learn_one(None, value)
        assert 0 <= detector.observe(60.0 * number, {"v": value}).score <= 1
    assert raised > 100
    assert detector.restarts > 0


def test_filters_are_taken_off() -> None:
    plain = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1)
    filtered = anomaly.QuantileFilter(plain.clone(), q=0.9)
    one, other = Calibrated(plain), Calibrated(filtered)
    for number, value in enumerate(_noise(600)):
        assert one.observe(number, {"v": value}) == pytest.approx(
            other.observe(number, {"v": value}), nan_ok=True
        )


def test_a_supervised_one_judges_its_target() -> None:
    model = preprocessing.StandardScaler() | linear_model.LinearRegression()
    detector = Calibrated(
        anomaly.PredictiveAnomalyDetection(model), every=60, target="latency", false_alarms=1e-5
    )
    rng = np.random.default_rng(1)
    for number in range(3_000):
        load = float(rng.normal(100, 20))
        x = {"load": load, "latency": 2 * load + float(rng.normal(0, 1))}
        detector.observe(60.0 * number, x)
    assert detector.probability_one({"load": 150.0, "latency": 300.0}) > 0.01
    assert detector.probability_one({"load": 100.0, "latency": 300.0}) < 1e-4
    assert detector.probability_one({"load": 100.0}) == 1


def test_a_forecast_unclipped() -> None:
    """River's own score is 1 from three standard deviations on; here more is stranger."""
    model = anomaly.PredictiveAnomalyDetection(time_series.HoltWinters(alpha=0.3))
    detector = Calibrated(model, every=60)
    for number, value in enumerate(_noise(2_000)):
        detector.observe(60.0 * number, {"v": value})
    assert model.score_one(None, 150.0) == model.score_one(None, 500.0) == 1
    assert detector.probability_one({"v": 150.0}) > 10 * detector.probability_one({"v": 500.0})
