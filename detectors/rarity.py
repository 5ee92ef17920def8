"""How rare what a forecast leaves of a reading is in the series' own past: a part of the default detector."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from detectors import _kernel
from detectors.timed import Rows, Timed
from detectors.verdict import Floats

_HALF = 10.0  # rarity of score 0.5


class Rarity(Timed):
    """Season, level, scale and tail: how rare a residual as large as this is.

    A reading, less the season of the day where there is one, is held against four levels (the last value, a
    fast one, a slow one, and two means against each other), each in its usual residuals. The largest of the
    four, by its rank in the series' own past and its plain size, makes the rarity: `-ln` of the share of
    readings that are as strange. The score is `rarity / (rarity + 10)`.

    Parameters
    ----------
    every
        Seconds from one reading to the next; learned where it is not given.

    Examples
    --------
    >>> import random
    >>> from detectors.rarity import Rarity

    >>> rng = random.Random(1)
    >>> detector = Rarity()
    >>> for minute in range(3_000):
    ...     detector.learn_one({"p95": rng.gauss(100, 5)}, at=60 * minute)
    >>> detector.probability_one({"p95": 101}, at=180_000) > 0.05
    True
    >>> detector.probability_one({"p95": 200}, at=180_000) < 1e-6
    True

    References
    ----------
    [^1]: Gelper, S., Fried, R. and Croux, C., 2010. Robust forecasting with exponential and Holt-Winters
        smoothing. Journal of Forecasting 29(3).
    [^2]: Hill, B. M., 1975. A simple general approach to inference about the tail of a distribution.
        Annals of Statistics 3(5).

    """

    def __init__(self, every: float | None = None) -> None:
        self.every = every
        self._rows = Rows(every)
        self._row = np.zeros(_kernel.SIZE)

    def observe(self, at: float, value: float) -> float:
        """Rarity of a reading of the one series, which is then learned; NaN where it is missing.

        Args:
            at: Unix seconds of the reading.
            value: NaN where it is missing.
        """
        return self._rarity(self._row, at, value)

    def probability_one(self, x: Mapping[Any, Any], **kwargs: float) -> float:
        """Share of readings at least as strange; of several features the least, times their number."""
        at = self._rows.at(kwargs)
        found = [self._rarity(row, at, value) for _, row, value in self._rows.known(x)]
        rare = [one for one in found if not math.isnan(one)]
        return min(1.0, len(rare) * math.exp(-max(rare))) if rare else 1.0

    def _judge(self, row: Floats, at: float, value: float) -> float:
        rare = self._rarity(row, at, value)
        return rare / (rare + _HALF) if rare > 0 else 0.0

    def _rarity(self, row: Floats, at: float, value: float) -> float:
        return float(_kernel.rarity_step(row, float(at), float(value), self.every or 0.0))
