"""Other detectors, each in one setting for all series: what they score, one reading after another.

All are fed strictly in order and see no reading before they have scored it; a missing reading scores 0.
Nothing of them was tuned: river's are as river ships them, but for what is said of each.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from river import anomaly, base, feature_extraction, preprocessing, stats, time_series, utils

from benchmarks.detection.series import Series
from detectors.verdict import Floats

Scorer = Callable[[Series], Floats]
GRACE = 30  # readings before the first score, where a detector has no such setting of its own


def zscore(series: Series) -> Floats:
    """Distance from a decayed mean in decayed deviations; a reading weighs 1 %, the first ones more."""
    scores, mean, variance, seen = [], 0.0, 0.0, 0
    for value in series.values.tolist():
        if math.isnan(value):
            scores.append(0.0)
            continue
        off = value - mean
        ready = seen >= GRACE and variance > 0
        scores.append(abs(off) / math.sqrt(variance) if ready else 0.0)
        seen += 1
        weight = max(0.01, 1 / seen)
        mean += weight * off
        variance = (1 - weight) * (variance + weight * off * off)
    return np.array(scores)


def holt_winters(series: Series) -> Floats:
    """River's PredictiveAnomalyDetection around its HoltWinters (level and trend), but not clipped at 1.

    Squared error of the forecast over mean plus three standard deviations of those before it.
    """
    model: Any = time_series.HoltWinters(alpha=0.3, beta=0.1)  # type: ignore[no-untyped-call]
    mean, variance, scores, seen = stats.Mean(), stats.Var(), [], 0
    for value in series.values.tolist():
        if math.isnan(value):
            scores.append(0.0)
            continue
        seen += 1
        score = 0.0
        if seen > GRACE:
            error = (model.forecast(horizon=1)[0] - value) ** 2
            usual = mean.get() + 3 * math.sqrt(variance.get())
            score = error / usual if usual > 0 else 0.0
            mean.update(error)
            variance.update(error)
        scores.append(score)
        model.learn_one(value)
    return np.array(scores)


def one_class_svm(series: Series) -> Floats:
    """River's OneClassSVM of scaled value and difference behind the RBFSampler its page advises, negated.

    Negated, because what it scores high there is what is ordinary (its hinge loss pulls that up). With 16
    of its 100 random features, to be done in a minute.
    """
    features = preprocessing.StandardScaler() | feature_extraction.RBFSampler(
        n_components=16, seed=42
    )
    detector = features | anomaly.OneClassSVM()
    return _features(series, detector, sign=-1)


def half_space_trees(series: Series) -> Floats:
    """River's HalfSpaceTrees of value and difference, scaled to [0, 1] by what was seen."""
    return _features(series, preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=42))


def bands(series: Series) -> Floats:
    """After Grafana's adaptive bands: around an hour's mean, two of 26 hours' mean hourly deviations.

    An hour is at least 10 readings, so that an hourly series has deviations at all. Bands are at least
    5 % of the mean either way. The score is the distance in band widths.
    """
    hour = max(10, round(3600 / series.every))
    centre: Any = utils.Rolling(stats.Mean, hour)
    deviation: Any = utils.Rolling(stats.Var, hour)
    width: Any = utils.Rolling(stats.Mean, max(int(26 * 3600 / series.every), 3 * hour))
    scores = []
    for seen, value in enumerate(series.values.tolist()):
        if math.isnan(value):
            scores.append(0.0)
            continue
        score = 0.0
        if seen >= hour:
            least = max(2 * width.get(), 0.05 * abs(centre.get()))
            score = abs(value - centre.get()) / least if least > 0 else 0.0
        scores.append(score)
        centre.update(value)
        deviation.update(value)
        if seen >= hour:
            width.update(math.sqrt(max(deviation.get(), 0.0)))
    return np.array(scores)


def of_river(name: str) -> Scorer:
    """A detector of `river.anomaly` as river ships it.

    It has value and difference, scaled; the value alone where it takes a target.

    Args:
        name: such as `LODA`.

    Raises:
        ValueError: there is none of that name, or it needs parameters.
    """
    if name not in anomaly.__all__:
        raise ValueError(f"river.anomaly has no {name!r}; it has {', '.join(anomaly.__all__)}")
    kind = getattr(anomaly, name)
    parameters = inspect.signature(kind).parameters
    seed = {"seed": 42} if "seed" in parameters else {}
    if any(p.default is p.empty for p in parameters.values()):
        raise ValueError(f"river.anomaly.{name} cannot be had without parameters")

    def score(series: Series) -> Floats:
        detector = kind(**seed)
        if isinstance(detector, base.SupervisedAnomalyDetector):
            return _targets(series, detector)
        return _features(series, preprocessing.StandardScaler() | detector)

    return score


def _targets(series: Series, detector: Any) -> Floats:
    scores = []
    for seen, value in enumerate(series.values.tolist()):
        if math.isnan(value):
            scores.append(0.0)
            continue
        score = detector.score_one(None, value)
        scores.append(_positive(score) if seen >= GRACE else 0.0)
        detector.learn_one(None, value)
    return np.array(scores)


def _features(series: Series, detector: Any, sign: int = 1) -> Floats:
    """Scores of `{"value", "difference"}`."""
    scores = []
    last = math.nan
    for seen, value in enumerate(series.values.tolist()):
        if math.isnan(value):
            scores.append(0.0)
            continue
        reading = {"value": value, "difference": 0.0 if math.isnan(last) else value - last}
        last = value
        score = sign * detector.score_one(reading)
        scores.append(_positive(score) if seen >= GRACE else 0.0)
        detector.learn_one(reading)
    return np.array(scores)


def _positive(score: float) -> float:
    """The same order in (0, 1): river's scores may be negative, and here 0 means that there is none."""
    return 0.5 + 0.5 * score / (1 + abs(score))


BASELINES: dict[str, Scorer] = {
    "zscore": zscore,
    "holt-winters": holt_winters,
    "one-class-svm": one_class_svm,
    "half-space-trees": half_space_trees,
    "adaptive-bands": bands,
}
