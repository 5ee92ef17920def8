"""Several features of one thing: scored as one and each for itself, with one probability of both."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from river import anomaly, base

from detectors.apart import usable
from detectors.budget import Budget
from detectors.calibrated import Calibrated
from detectors.evt import DSPOT
from detectors.forecast import RobustForecast
from detectors.merging import harmonic
from detectors.verdict import Verdict

_SETTLING = 20  # readings of a feature before its forecasts are any good


class Together(base.AnomalyDetector):
    """The features of one entity scored together, as well as apart.

    What is ordinary for each feature alone may be strange for all of them: latency rises as it does at any
    peak, but with the traffic of the night. Each feature is forecast (`RobustForecast`); how far each is off,
    in its own usual errors and brought into [0, 1], is what a river detector sees. Its calibrated
    probability and those of the features apart become one by their harmonic mean, and that has one budget
    of alarms: so one incident is one alarm, whether one feature leaps or all shift a little.

    A feature that is missing counts as expected. With a feature that is new the detector of all of them
    begins anew, for its trees know only what they were built with; each is judged apart all along.

    Parameters
    ----------
    detector
        Of the features as one; by default `anomaly.HalfSpaceTrees`.
    apart
        Of each feature; by default how far it is from its forecast.
    every
        Seconds from one reading to the next.
    false_alarms
        Alarms that are accepted a second, for the whole entity.

    Attributes
    ----------
    parts : dict
        The probabilities that the last verdict of `observe` was made of: by feature, and `together`.

    Examples
    --------
    >>> import random
    >>> from detectors.together import Together

    >>> rng = random.Random(1)
    >>> detector = Together(every=60, false_alarms=1 / 86_400)
    >>> for minute in range(3_000):
    ...     load = rng.gauss(100, 10)
    ...     features = {"rate": load, "p95": load / 500 + rng.gauss(0, 0.005)}
    ...     verdict = detector.observe(60 * minute, features)
    >>> verdict.alert
    False
    >>> detector.observe(180_000, {"rate": 100, "p95": 0.5}).alert
    True
    >>> min(detector.parts, key=detector.parts.get)
    'p95'

    References
    ----------
    [^1]: Tan, S. C., Ting, K. M. and Liu, T. F., 2011. Fast anomaly detection for streaming data. IJCAI.
    [^2]: Wilson, D. J., 2019. The harmonic mean p-value for combining dependent tests. PNAS 116(4).

    """

    def __init__(
        self,
        detector: base.Estimator | None = None,
        apart: base.Estimator | None = None,
        every: float = 60.0,
        false_alarms: float = 1 / 604_800,
    ) -> None:
        self.detector = detector
        self.apart = apart
        self.every = every
        self.false_alarms = false_alarms
        self.parts: dict[str, float] = {}
        self._budget = Budget(every, false_alarms)
        self._forecasts: dict[Any, RobustForecast] = {}
        self._readings: dict[Any, int] = {}
        self._apart: dict[Any, Calibrated] = {}
        self._joint = self._fresh(detector or anomaly.HalfSpaceTrees(seed=1))
        self._names: tuple[Any, ...] = ()

    @property
    def learning(self) -> bool:
        """No feature is known well enough to be judged, nor are all together."""
        return self._joint.learning and all(part.learning for part in self._apart.values())

    def observe(
        self, at: float, features: Mapping[Any, Any], apart: Mapping[Any, float] | None = None
    ) -> Verdict:
        """Judge a reading of all features, then learn it.

        Args:
            at: Unix seconds of the reading.
            features: what was measured.
            apart: probabilities of the features from elsewhere, in place of those made here.
        """
        known, learning = usable(features), self.learning
        self.parts = self._parts(known, at, apart)
        probability = self._budget.held_to(harmonic(self.parts.values()))
        self._learn(known, at, apart is None)
        return Verdict(
            score=1.0 - probability,
            probability=probability,
            expected=math.nan,
            lower=math.nan,
            upper=math.nan,
            alert=self._budget.open,
            learning=learning,
        )

    def score_one(self, x: Mapping[Any, Any], **kwargs: float) -> float:
        """How strange a reading is, in [0, 1]; `at` may give its time."""
        parts = self._parts(usable(x), kwargs.get("at", math.nan), None)
        return 1.0 - self._budget.held_to(harmonic(parts.values()))

    def learn_one(self, x: Mapping[Any, Any], **kwargs: float) -> None:
        """Learn a reading; `at` may give its time."""
        at, known = kwargs.get("at", math.nan), usable(x)
        self.parts = self._parts(known, at, None)
        self._learn(known, at, apart=True)

    def _parts(
        self, known: Mapping[Any, float], at: float, apart: Mapping[Any, float] | None
    ) -> dict[str, float]:
        if apart is not None:
            parts = {str(name): probability for name, probability in apart.items()}
        else:
            parts = {
                str(name): self._apart[name].probability_one({name: value}, at)
                for name, value in known.items()
                if name in self._apart and not self._apart[name].learning
            }
        if len(self._names) > 1 and not self._joint.learning and known:
            parts["together"] = self._joint.probability_one(self._off(known, at), at)
        return parts

    def _off(self, known: Mapping[Any, float], at: float) -> dict[Any, float]:
        """How far each feature is from what was expected, in its usual errors, brought into [0, 1]."""
        found = dict.fromkeys(self._names, 0.5)
        for name in self._names:
            forecast = self._forecasts[name]
            if name in known and forecast.error > 0:
                off = (known[name] - forecast.forecast(1, [{"time": at}])[0]) / forecast.error
                found[name] = 0.5 + 0.5 * off / (4 + abs(off))
        return found

    def _learn(self, known: Mapping[Any, float], at: float, apart: bool) -> None:  # noqa: FBT001
        self._budget.take(harmonic(self.parts.values()) if self.parts else math.nan)
        if len(self._names) > 1 and known:
            self._joint.learn_one(self._off(known, at), at=at)
        for name, value in known.items():
            if name not in self._forecasts:
                self._forecasts[name] = RobustForecast()
                self._readings[name] = 0
                own = self.apart or anomaly.PredictiveAnomalyDetection(RobustForecast())
                self._apart[name] = self._fresh(own)
            self._forecasts[name].learn_one(value, {"time": at})
            self._readings[name] += 1
            if self._readings[name] == _SETTLING:
                self._names = tuple(sorted((*self._names, name), key=str))
                self._joint = self._fresh(self._joint.detector)
            if apart:
                self._apart[name].learn_one({name: value}, at=at)

    def _fresh(self, detector: base.Estimator) -> Calibrated:
        return Calibrated(detector.clone(), self.every, self.false_alarms)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"apart": DSPOT()}
