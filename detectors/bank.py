"""The default detector for many series at once, as arrays in one pass.

STAND-IN: the interface is settled, the detection in it (a decayed z-score) is to be replaced.
"""

import math
from typing import Self

import numpy as np

from detectors.verdict import Floats, Verdicts

_LEARNING = 30
_DECAY = 0.02


class Bank:
    """A row for every series.

    Args:
        every: seconds from one reading of a series to its next.
        false_alarms: how many of them a second and series are accepted, in ordinary times.

    >>> bank = Bank(every=60.0)
    >>> bank.grow(2)
    >>> verdicts = bank.observe(0.0, np.array([1.0, np.nan]))
    >>> verdicts.learning.tolist()
    [True, True]
    """

    def __init__(self, every: float, false_alarms: float = 1 / 604_800) -> None:
        self.every = every
        self.false_alarms = false_alarms
        self._seen = np.zeros(0, np.int64)
        self._mean = np.zeros(0)
        self._variance = np.zeros(0)

    @property
    def rows(self) -> int:
        """Number of series."""
        return len(self._seen)

    def grow(self, rows: int) -> None:
        """Have at least so many rows; new ones have seen nothing."""
        more = max(0, rows - self.rows)
        self._seen = np.pad(self._seen, (0, more))
        self._mean = np.pad(self._mean, (0, more))
        self._variance = np.pad(self._variance, (0, more))

    def reset(self, row: int) -> None:
        """Forget a series: its row is another's from now on."""
        self._seen[row] = 0

    def observe(self, at: float, values: Floats) -> Verdicts:
        """Judge a reading of every series, then learn from it.

        Args:
            at: Unix seconds of the readings.
            values: `float64[rows]`; NaN where there is none.
        """
        del at
        there = np.isfinite(values)
        first = there & (self._seen == 0)
        self._mean[first], self._variance[first] = values[first], 0.0
        sigma = np.sqrt(self._variance) + 1e-9
        learning = self._seen < _LEARNING
        strange = np.where(there, np.abs(values - self._mean) / sigma, 0.0)
        probability = np.where(learning, 1.0, np.vectorize(math.erfc)(strange / math.sqrt(2)))
        verdicts = Verdicts(
            score=1.0 - probability,
            probability=probability,
            expected=np.where(learning, np.nan, self._mean),
            lower=np.where(learning, np.nan, self._mean - 5 * sigma),
            upper=np.where(learning, np.nan, self._mean + 5 * sigma),
            alert=probability < self.every * self.false_alarms,
            learning=learning,
        )
        off = np.where(there, values - self._mean, 0.0)
        self._mean = self._mean + _DECAY * off
        self._variance = np.where(
            there, (1 - _DECAY) * (self._variance + _DECAY * off**2), self._variance
        )
        self._seen = self._seen + there
        return verdicts

    def trimmed(self) -> Self:
        """Itself, ready for a snapshot."""
        return self
