"""The default detector: of one series, one reading at a time."""

import math

import numpy as np

from detectors import _kernel
from detectors.alarms import check_false_alarms
from detectors.timed import Rows, Timed
from detectors.verdict import Floats, Verdict


class Detector(Timed):
    """The default detector: forecast, robust scale, tail, novelty, and a budget of false alarms.

    A reading is strange where what a forecast leaves of it is rare in the series' own past, and stranger
    where it leaves the range of all that was seen. The season of the day is used where there is one. An
    alarm begins where readings as strange come less often than `false_alarms`; it ends with them, or when the
    series has stayed at its new level for a day. There is nothing to set per series, nothing is trained.

    A feature is judged by what came before, never by what follows: a stream that is cut short has the same
    scores. Of several features the strangest counts; `detectors.together` knows more of them. NaN is a
    reading that is missing, and strange where that has seldom been; a feature that is left out was not read.

    Its parts are of use alone: `Rarity`, `Novelty`, `Season` and `Alarms`, each in a module of its name.

    Parameters
    ----------
    false_alarms
        Alarms that are accepted a second and series, in ordinary times. One a week by default.
    every
        Seconds from one reading to the next; learned where it is not given.

    Examples
    --------
    >>> import random
    >>> from detectors import Detector

    >>> rng = random.Random(1)
    >>> detector = Detector(false_alarms=1 / 604_800)
    >>> for minute in range(3_000):
    ...     verdict = detector.observe(60 * minute, rng.gauss(100, 5))
    >>> verdict.alert, round(verdict.expected / 100)
    (False, 1)
    >>> strange = detector.observe(60 * 3_000, 200)
    >>> strange.alert, strange.score > 0.5, strange.upper < 150
    (True, True, True)

    References
    ----------
    [^1]: Gelper, S., Fried, R. and Croux, C., 2010. Robust forecasting with exponential and Holt-Winters
        smoothing. Journal of Forecasting 29(3).
    [^2]: Hill, B. M., 1975. A simple general approach to inference about the tail of a distribution.
        Annals of Statistics 3(5).
    [^3]: Siffer, A. et al., 2017. Anomaly detection in streams with extreme value theory. KDD.
    [^4]: Gibbs, I. and Candès, E., 2021. Adaptive conformal inference under distribution shift. NeurIPS.

    """

    def __init__(self, false_alarms: float = 1 / 604_800, every: float | None = None) -> None:
        check_false_alarms(false_alarms)
        self.false_alarms = false_alarms
        self.every = every
        self._rows = Rows(every)
        self._out = np.empty(7)
        self._row = np.zeros(_kernel.SIZE)

    def observe(self, at: float, value: float) -> Verdict:
        """Judge a reading of the one series, then learn from it.

        Args:
            at: Unix seconds of the reading.
            value: NaN where it is missing.
        """
        return self._step(self._row, at, value)

    def _judge(self, row: Floats, at: float, value: float) -> float:
        return self._step(row, at, value).score

    def _step(self, row: Floats, at: float, value: float) -> Verdict:
        out = self._out
        _kernel.step(row, float(at), float(value), self.every or 0.0, self.false_alarms, out)
        score, probability, expected, lower, upper, alert, learning = out.tolist()
        return Verdict(score, probability, expected, lower, upper, alert > 0, learning > 0)


def warm_up() -> None:
    """Compile the kernel, or load it from numba's cache: some seconds, or a part of one."""
    row = np.zeros((1, _kernel.SIZE))
    _kernel.step(row[0], 0.0, math.nan, 0.0, 1.0, np.empty(7))
    _kernel.bank(row, 0.0, np.full(1, math.nan), 60.0, 1.0, np.empty((1, 7)))
