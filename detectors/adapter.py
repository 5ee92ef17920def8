"""Any river anomaly detector behind one interface: a raw score that may be asked for without a trace.

river's detectors differ in their signatures, in what they do while they are new, and in scores that end at 1
just where it matters. Here each is taken as it is best used; `Calibrated` gives all scores one meaning.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from river import anomaly, base, compose, time_series

from detectors.apart import Apart
from detectors.forecast import RobustForecast
from detectors.season import Season
from detectors.timed import Timed

_LEAST = 1e-12


class Central(NamedTuple):
    """What a detector expects of a value, and what it measures a difference by, in the value's unit."""

    expected: float
    width: float


def unwrapped(detector: base.Estimator) -> list[base.Estimator]:
    """The steps of a pipeline, the detector last, without filters around it.

    A `QuantileFilter` or `ThresholdFilter` decides by its own threshold what is learned; here the calibrated
    probability decides, and what is learned is everything.

    >>> from river import anomaly, preprocessing
    >>> inner = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1)
    >>> [type(step).__name__ for step in unwrapped(anomaly.QuantileFilter(inner, q=0.9))]
    ['MinMaxScaler', 'HalfSpaceTrees']
    """
    if isinstance(detector, anomaly.QuantileFilter | anomaly.ThresholdFilter):
        return unwrapped(detector.anomaly_detector)
    if isinstance(detector, compose.Pipeline):
        steps = list(detector.steps.values())
        return [*steps[:-1], *unwrapped(steps[-1])]
    return [detector]


def _when(step: base.Estimator, at: float) -> dict[str, float]:
    """The time of a reading, for a step that takes it."""
    return {"at": at} if isinstance(step, Season) else {}


class Adapter:
    """A river detector, its steps in a row.

    Args:
        detector: unsupervised, supervised (of a value, as `GaussianScorer`), or a pipeline that ends in one.
        target: the feature that a supervised one judges; without it the first by name.
    """

    def __init__(self, detector: base.Estimator, target: str | None = None) -> None:
        # river's base classes do not say which methods there are.
        steps: list[Any] = unwrapped(detector)
        *self.transformers, self.last = steps
        self.target = target
        self._width = 0.0  # usual size of the forecasts' errors
        self._learned = 0

    @property
    def supervised(self) -> bool:
        """It judges one feature, as a target."""
        return isinstance(self.last, base.SupervisedAnomalyDetector)

    def score(self, features: Mapping[Any, float], at: float) -> float | None:
        """How strange the features are, on a scale of the detector's own; None while it says nothing yet."""
        last, kind = self.last, type(self.last)
        if self.supervised:
            value, x = self._split(features, at)
            if issubclass(kind, _CENTRAL):
                central = self.central(features, at)
                return None if central is None else abs(value - central.expected) / central.width
            return float(last.score_one(self._transformed(x, at), value))
        x = self._transformed(dict(features), at)
        if issubclass(kind, Timed):
            return float(last.score_one(x, at=at))
        if issubclass(kind, anomaly.HalfSpaceTrees):
            # It says 0 for its first window; near 1 only the distance to 1 tells scores apart.
            return None if last._first_window else -math.log(1 - last.score_one(x) + _LEAST)  # noqa: SLF001
        if issubclass(kind, Apart):
            return -math.log(last.probability_one(x))
        return float(last.score_one(x))

    def learn(self, features: Mapping[Any, float], at: float) -> None:
        """Learn the features. What a detector changes in itself when it scores, it changes here."""
        if self.supervised:
            value, x = self._split(features, at)
            if isinstance(self.last, anomaly.PredictiveAnomalyDetection):
                self._learn_width(value, self._forecast(features, at))
            self.last.learn_one(self._learned_by_steps(x, at), value)
        elif isinstance(self.last, Timed):
            self.last.learn_one(self._learned_by_steps(dict(features), at), at=at)
        else:
            self.last.learn_one(self._learned_by_steps(dict(features), at))
        self._learned += 1

    def central(self, features: Mapping[Any, float], at: float) -> Central | None:
        """What is expected of the value; None if the detector expects nothing of the kind, or nothing yet."""
        last, kind = self.last, type(self.last)
        if issubclass(kind, anomaly.GaussianScorer):
            gaussian = last.gaussian
            ready = gaussian.n_samples >= max(last.grace_period, 2)
            return _central(gaussian.mu, gaussian._var.get()) if ready else None  # noqa: SLF001
        if issubclass(kind, anomaly.StandardAbsoluteDeviation):
            ready = self._learned >= 2
            return _central(last.sub_stat.get(), last.variance.get()) if ready else None
        if issubclass(kind, anomaly.PredictiveAnomalyDetection):
            expected = self._forecast(features, at)
            ready = self._learned >= max(10, last.warmup_period) and not math.isnan(expected)
            return _central(expected, self._width**2) if ready else None
        return None

    def _split(self, features: Mapping[Any, float], at: float) -> tuple[float, dict[Any, float]]:
        """The value that is judged, and the other features; the time for a forecaster that knows of it."""
        target = self.target if self.target is not None else min(features, key=str)
        others = {name: value for name, value in features.items() if name != target}
        if isinstance(getattr(self.last, "predictive_model", None), RobustForecast):
            others["time"] = at
        return features[target], others

    def _transformed(self, x: dict[Any, float], at: float) -> dict[Any, float]:
        for step in self.transformers:
            x = step.transform_one(x, **_when(step, at))
        return x

    def _learned_by_steps(self, x: dict[Any, float], at: float) -> dict[Any, float]:
        for step in self.transformers:
            step.learn_one(x, **_when(step, at))
            x = step.transform_one(x, **_when(step, at))
        return x

    def _forecast(self, features: Mapping[Any, float], at: float) -> float:
        """The forecast of the detector's model; NaN while it has none."""
        last = self.last
        model: Any = last.predictive_model
        _, x = self._split(features, at)
        if issubclass(type(model), RobustForecast):
            return float(model.forecast(last.horizon, [x] * last.horizon)[0])
        if issubclass(type(model), time_series.HoltWinters) and not model._initialized:  # noqa: SLF001
            return math.nan
        if issubclass(type(model), time_series.base.Forecaster):
            return float(model.forecast(last.horizon, [x] * last.horizon if x else None)[0])
        return float(model.predict_one(self._transformed(x, at)))

    def _learn_width(self, value: float, expected: float) -> None:
        """Follow the size of errors; instead of river's mean of all squares, in which an outlier stays."""
        off = abs(value - expected)
        if math.isfinite(off):
            most = 8 * self._width if self._width > 0 else off
            self._width += max(0.02, 1 / (1 + self._learned)) * (min(off, most) - self._width)


_CENTRAL = (
    anomaly.GaussianScorer,
    anomaly.StandardAbsoluteDeviation,
    anomaly.PredictiveAnomalyDetection,
)


def _central(expected: float, variance: float) -> Central:
    """Of a constant it is as wide as a float can tell; NaN where rounding made the variance negative."""
    if variance < 0:
        return Central(expected, math.nan)
    return Central(expected, max(math.sqrt(variance), 1e-12 * abs(expected), 1e-100))
