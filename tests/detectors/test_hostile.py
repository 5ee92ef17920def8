"""Streams that no detector may fail at, and what each must hold to on any stream."""

import copy
import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import anomaly, base, compose, preprocessing, time_series

from detectors.calibrated import Calibrated
from detectors.forecast import RobustForecast
from detectors.together import Together
from tests.detectors.estimators import made_all

SIZE = 400


def _rng() -> np.random.Generator:
    return np.random.default_rng(3)


STREAMS: dict[str, Callable[[], list[float]]] = {
    "nan": lambda: [math.nan] * SIZE,
    "some nan": lambda: [math.nan if n % 3 else float(n % 7) for n in range(SIZE)],
    "infinities": lambda: [
        math.inf if n % 50 == 7 else -math.inf if n % 50 == 9 else n for n in range(SIZE)
    ],
    "constant": lambda: [5.0] * SIZE,
    "zero": lambda: [0.0] * SIZE,
    "constant, then not": lambda: [5.0] * (SIZE // 2) + list(_rng().normal(5, 1, SIZE // 2)),
    "binary": lambda: [float(v) for v in _rng().random(SIZE) < 0.1],
    "counts": lambda: [float(v) for v in _rng().poisson(0.5, SIZE)],
    "huge": lambda: [1e300 * v for v in _rng().normal(0, 1, SIZE)],
    "once huge": lambda: [
        1e300 if n == 200 else v for n, v in enumerate(_rng().normal(0, 1, SIZE))
    ],
    "denormal": lambda: [5e-324 * int(v) for v in _rng().integers(0, 9, SIZE)],
    "tiny beside huge": lambda: [1e-300 if n % 2 else 1e300 for n in range(SIZE)],
    "growing": lambda: [1.5**n for n in range(SIZE)],
    "integers of Python": lambda: [10**400 if n == 300 else n for n in range(SIZE)],
    "one reading": lambda: [1.0],
    "nothing": list,
}


def _sinusoidal(count: int) -> list[float]:
    rng = _rng()
    return [100 + 10 * math.sin(n / 20) + rng.normal() for n in range(count)]


# A clone is made of each for every test.
DETECTORS: dict[str, base.Estimator] = {
    **{name: made for name, made in made_all() if isinstance(made, base.AnomalyDetector)},
    "Calibrated(GaussianScorer)": Calibrated(anomaly.GaussianScorer(grace_period=20)),
    "Calibrated(GaussianScorer, window)": Calibrated(
        anomaly.GaussianScorer(window_size=50, grace_period=20)
    ),
    "Calibrated(PAD)": Calibrated(
        anomaly.PredictiveAnomalyDetection(time_series.HoltWinters(0.3, 0.1))
    ),
    "Calibrated(PAD, SNARIMAX)": Calibrated(
        anomaly.PredictiveAnomalyDetection(time_series.SNARIMAX(p=2, d=1, q=1))
    ),
    "Calibrated(PAD, RobustForecast)": Calibrated(
        anomaly.PredictiveAnomalyDetection(RobustForecast())
    ),
    "Calibrated(PAD, regression)": Calibrated(anomaly.PredictiveAnomalyDetection()),
    "Calibrated(LODA)": Calibrated(anomaly.LODA(seed=1, n_random_cuts=10)),
    "Calibrated(LocalOutlierFactor)": Calibrated(anomaly.LocalOutlierFactor(n_neighbors=3)),
    "Calibrated(QuantileFilter)": Calibrated(
        anomaly.QuantileFilter(
            preprocessing.StandardScaler() | anomaly.HalfSpaceTrees(seed=1, window_size=50), q=0.9
        )
    ),
    "Together(default)": Together(),
}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("name", DETECTORS)
def test_any_stream_is_judged(name: str, stream: str) -> None:
    detector = DETECTORS[name].clone()
    for value in STREAMS[stream]()[: 150 if "Outlier" in name else SIZE]:
        score = detector.score_one({"value": value})
        assert 0 <= score <= 1
        detector.learn_one({"value": value})


@pytest.mark.parametrize("stream", STREAMS)
def test_any_stream_is_forecast(stream: str) -> None:
    model = RobustForecast()
    for number, value in enumerate(STREAMS[stream]()):
        model.learn_one(value, {"time": 3_600.0 * number})
        (expected,) = model.forecast(1)
        assert math.isfinite(expected) or number == 0 or stream == "nan"


CLOCKS: dict[str, Callable[[int], float]] = {
    "back and forth": lambda n: 1e9 + 60 * n - (1e6 if n % 10 == 5 else 0),
    "stands": lambda _: 1e9,
    "backwards": lambda n: 1e9 - 60 * n,
    "leaps": lambda n: 1e9 + 60 * n + (1e12 if n > 200 else 0),
    "none": lambda _: math.nan,
    "beyond": lambda n: math.inf if n % 2 else 1e300,
    "before 1970": lambda n: -1e9 + 60 * n,
}


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize(
    "name", ["Calibrated", "Calibrated(PAD, RobustForecast)", "Together(default)"]
)
def test_any_clock_is_taken(name: str, clock: str) -> None:
    detector = DETECTORS[name].clone()
    for number, value in enumerate(_sinusoidal(SIZE)):
        verdict = detector.observe(CLOCKS[clock](number), {"a": value, "b": -value})
        assert 0 <= verdict.score <= 1
        assert 0 < verdict.probability <= 1


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b", "c"]),
            st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=3)),
        ),
        max_size=60,
    )
)
@settings(max_examples=20, deadline=None)
def test_any_features_are_taken(readings: list[dict]) -> None:
    for name in (
        "DSPOT",
        "Tails",
        "Conformal",
        "Calibrated",
        "Calibrated(GaussianScorer)",
        "Together",
    ):
        detector = DETECTORS[name].clone()
        for x in readings:
            assert 0 <= detector.score_one(x) <= 1
            detector.learn_one(x)


@pytest.mark.parametrize("name", DETECTORS)
def test_scoring_leaves_no_trace(name: str) -> None:
    asked, other = DETECTORS[name].clone(), DETECTORS[name].clone()
    for value in _sinusoidal(200):
        for strange in (value, 1e9, math.nan):
            asked.score_one({"value": strange})
        asked.learn_one({"value": value})
        other.learn_one({"value": value})
    probe = [{"value": v} for v in (90.0, 100.0, 115.0, 200.0)]
    assert [asked.score_one(x) for x in probe] == [other.score_one(x) for x in probe]


@pytest.mark.parametrize("name", DETECTORS)
def test_a_pickle_goes_on_equally(name: str) -> None:
    detector = DETECTORS[name].clone()
    values = _sinusoidal(300)
    for value in values[:200]:
        detector.learn_one({"value": value})
    other = pickle.loads(pickle.dumps(detector))  # noqa: S301
    third = copy.deepcopy(detector)
    for value in values[200:]:
        scores = [each.score_one({"value": value}) for each in (detector, other, third)]
        assert scores[0] == scores[1] == scores[2]
        for each in (detector, other, third):
            each.learn_one({"value": value})


@pytest.mark.parametrize("name", DETECTORS)
def test_a_score_uses_nothing_after_it(name: str) -> None:
    """The scores of a truncated stream are those of the whole one."""

    def scores(values: list[float]) -> list[float]:
        detector, found = DETECTORS[name].clone(), []
        for value in values:
            found.append(detector.score_one({"value": value}))
            detector.learn_one({"value": value})
        return found

    values = _sinusoidal(250)
    values[180] = 1e6
    assert scores(values[:150]) == scores(values)[:150]


@pytest.mark.parametrize(
    "name", [name for name, kind in DETECTORS.items() if isinstance(kind, Calibrated | Together)]
)
def test_observing_is_scoring_and_learning(name: str) -> None:
    one, other = DETECTORS[name].clone(), DETECTORS[name].clone()
    for number, value in enumerate(_sinusoidal(200)):
        x = {"value": value}
        assert one.observe(60.0 * number, x).score == other.score_one(x, at=60.0 * number)
        other.learn_one(x, at=60.0 * number)


def test_a_clone_knows_nothing() -> None:
    for name, detector in DETECTORS.items():
        fresh, learned = detector.clone(), detector.clone()
        for value in _sinusoidal(100):
            learned.learn_one({"value": value})
        clone = learned.clone()
        assert clone.score_one({"value": 1.0}) == fresh.score_one({"value": 1.0}), name


def test_pipelines_of_river_take_the_parts() -> None:
    rng = _rng()
    model = compose.Pipeline(preprocessing.StandardScaler(), DETECTORS["DSPOT"].clone())
    for value in rng.normal(0, 1, 500):
        model.learn_one({"value": float(value)})
    assert model.score_one({"value": 20.0}) > 0.99 > model.score_one({"value": 0.5})
