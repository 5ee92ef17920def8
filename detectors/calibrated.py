"""Any river anomaly detector, held to a budget of false alarms."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from river import anomaly, base, preprocessing

from detectors.adapter import Adapter, Central
from detectors.apart import usable
from detectors.budget import Budget
from detectors.evt import DSPOT, TAIL_HEAD, tail_learn, tail_probability, tail_quantile
from detectors.verdict import Floats, Verdict

_LEVEL = 0.98
_PEAKS = 256
_QUIET = (
    21_600.0  # seconds of scores before the first alarm, in readings no fewer and no more than:
)
_LEAST_GRACE, _MOST_GRACE = 64, 360
_FARTHEST = (
    1e-3  # of the budget's share: a score that is less probable is learned as if it were this
)
_BROKEN = 10  # readings in a row that a detector fails at


class Calibrated(base.Wrapper[Any], base.AnomalyDetector):
    """A river anomaly detector whose alarms are as many as the user accepts.

    The wrapped detector's score, whatever it means, becomes a probability: that of an episode with a score at
    least as high beginning at a reading. It comes from the tail of the detector's own past scores: the peaks
    of the runs above a threshold that moves with them, and a generalised Pareto distribution beyond (see
    `DSPOT`). An alarm begins where it falls below `every * false_alarms`. How many there were moves the bar:
    each alarm raises it, time lowers it again, so that also a detector whose scores drift or come in bursts
    keeps to its budget in the long run.

    It says nothing (`learning`) for the detector's first scores: six hours of them, at least 64 and at most
    360. What the detector raises on a reading counts as no score (`failures`); one that fails at ten in a
    row, because it has taken up something that it cannot get rid of, is replaced by a fresh one (`restarts`).

    Parameters
    ----------
    detector
        Any anomaly detector of river, or a pipeline that ends in one. Filters around it are taken off.
    every
        Seconds from one reading to the next.
    false_alarms
        Alarms that are accepted a second, in ordinary times. At most one reading in ten begins an alarm.
    target
        The feature that a supervised detector judges; without it the first by name.

    Attributes
    ----------
    failures : int
        Readings at which the detector raised an error or scored no number.
    failure : str
        The last of those errors.
    restarts : int
        Times that the detector was replaced by a fresh one.

    Examples
    --------
    >>> import random
    >>> from river import anomaly
    >>> from detectors.calibrated import Calibrated

    >>> rng = random.Random(1)
    >>> detector = Calibrated(anomaly.GaussianScorer(), every=60, false_alarms=1 / 86_400)
    >>> for minute in range(3_000):
    ...     verdict = detector.observe(60 * minute, {"p95": rng.gauss(0.2, 0.01)})
    >>> verdict.alert
    False
    >>> round(verdict.expected, 2), verdict.lower < 0.18, verdict.upper > 0.22
    (0.2, True, True)
    >>> verdict = detector.observe(180_000, {"p95": 0.3})
    >>> verdict.alert, verdict.probability < 60 / 86_400
    (True, True)

    References
    ----------
    [^1]: Siffer, A. et al., 2017. Anomaly detection in streams with extreme value theory. KDD.
    [^2]: Ferro, C. A. T. and Segers, J., 2003. Inference for clusters of extreme values. Journal of the
        Royal Statistical Society B 65(2): why peaks of runs are counted, and not readings.
    [^3]: Gibbs, I. and Candès, E., 2021. Adaptive conformal inference under distribution shift. NeurIPS:
        the bar that moves.

    """

    def __init__(
        self,
        detector: base.Estimator,
        every: float = 60.0,
        false_alarms: float = 1 / 604_800,
        target: str | None = None,
    ) -> None:
        self.detector = detector
        self.every = every
        self.false_alarms = false_alarms
        self.target = target
        self.failures = 0
        self.failure = ""
        self.restarts = 0
        self._failed = 0
        self._adapter = Adapter(detector, target)
        self._tail: Floats = np.zeros(TAIL_HEAD + _PEAKS)
        self._quiet = min(max(_QUIET / max(every, 1e-9), _LEAST_GRACE), _MOST_GRACE)
        self._budget = Budget(every, false_alarms)
        self._values = DSPOT(run=self._budget.calm)

    @property
    def learning(self) -> bool:
        """There is too little to judge by yet."""
        return bool(self._tail[0] < self._quiet)

    @property
    def _wrapped_model(self) -> base.Estimator:
        return self.detector

    @property
    def _supervised(self) -> bool:
        return False

    def observe(self, at: float, features: Mapping[Any, Any]) -> Verdict:
        """Judge a reading, then learn it.

        Args:
            at: Unix seconds of the reading.
            features: what was measured; one that is missing, NaN or infinite is taken for missing.
        """
        known = usable(features)
        raw, central = self._raw(known, at), self._central(known, at)
        probability = self._probability(raw)
        held, learning = self._budget.held_to(probability), self.learning
        expected, lower, upper = self._band(central, known)
        self._learn(known, at, raw, probability)
        return Verdict(
            score=1.0 - held,
            probability=held,
            expected=expected,
            lower=lower,
            upper=upper,
            alert=self._budget.open,
            learning=learning,
        )

    def probability_one(self, x: Mapping[Any, Any], at: float = math.nan) -> float:
        """The probability of an episode as strange as this beginning at a reading; 1 while it learns."""
        raw, _ = self._attempt(usable(x), at)
        return self._budget.held_to(self._probability(raw))

    def score_one(self, x: Mapping[Any, Any], **kwargs: float) -> float:
        """How strange a reading is, in [0, 1]; `at` may give its time."""
        return 1.0 - self.probability_one(x, **kwargs)

    def learn_one(self, x: Mapping[Any, Any], **kwargs: float) -> None:
        """Learn a reading; `at` may give its time."""
        at = kwargs.get("at", math.nan)
        known = usable(x)
        raw = self._raw(known, at)
        self._learn(known, at, raw, self._probability(raw))

    def _probability(self, raw: float | None) -> float:
        if raw is None or self.learning:
            return 1.0
        return float(tail_probability(self._tail, raw))

    def _band(
        self, central: Central | None, known: Mapping[Any, float]
    ) -> tuple[float, float, float]:
        """What is expected, and the least and the greatest that would be no alarm; NaN if unknown."""
        if central is not None:
            far = central.width * float(tail_quantile(self._tail, self._budget.limit))
            return central.expected, central.expected - far, central.expected + far
        if len(known) == 1 and not self.learning:
            return math.nan, *self._values.limits(next(iter(known)), self._budget.share)
        return math.nan, math.nan, math.nan

    def _learn(
        self, known: Mapping[Any, float], at: float, raw: float | None, probability: float
    ) -> None:
        judged = raw is not None and not self.learning
        self._budget.take(probability if judged else math.nan)
        if raw is not None:
            tail_learn(self._tail, raw, _LEVEL, self._budget.calm, _FARTHEST * self._budget.share)
        if not known:
            return
        if len(known) == 1:
            self._values.learn_one(dict(known))
        try:
            self._adapter.learn(known, at)
        except Exception as problem:  # noqa: BLE001 - see _attempt
            self._fail(problem)
        if self._failed >= _BROKEN:
            self.restarts += 1
            self._failed = 0
            self.detector = self.detector.clone()
            self._adapter = Adapter(self.detector, self.target)

    def _raw(self, known: Mapping[Any, float], at: float) -> float | None:
        """The detector's score, finite; None if there is none. Failures are counted."""
        raw, problem = self._attempt(known, at)
        if problem is not None:
            self._fail(problem)
        elif raw is not None:
            self._failed = 0
        return raw

    def _attempt(
        self, known: Mapping[Any, float], at: float
    ) -> tuple[float | None, Exception | None]:
        if not known or (self.target is not None and self.target not in known):
            return None, None
        try:
            raw = self._adapter.score(known, at)
        except Exception as problem:  # noqa: BLE001 - a detector raises what it likes, and must not end the flow
            return None, problem
        if raw is not None and not math.isfinite(raw):
            return None, ArithmeticError(f"it scored {raw}")
        return raw, None

    def _central(self, known: Mapping[Any, float], at: float) -> Central | None:
        if not known or not self._adapter.supervised or self.learning:
            return None
        try:
            return self._adapter.central(known, at)
        except Exception:  # noqa: BLE001 - the same error that the score has met, and counted
            return None

    def _fail(self, problem: Exception) -> None:
        self.failures += 1
        self._failed += 1
        self.failure = f"{type(problem).__name__}: {problem}"

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"detector": preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1)}
        yield {"detector": anomaly.StandardAbsoluteDeviation(), "target": "V14"}
        yield {"detector": preprocessing.StandardScaler() | anomaly.OneClassSVM()}
