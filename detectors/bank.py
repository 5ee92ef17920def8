"""The default detector for many series at once, as rows of one array."""

from typing import Self

import numpy as np

from detectors import _kernel
from detectors.alarms import check_false_alarms
from detectors.timed import check_every
from detectors.verdict import Floats, Verdicts


class Bank:
    """A row for every series, each as a `detectors.Detector` of its own would be.

    Args:
        every: seconds from one reading of a series to its next.
        false_alarms: how many of them a second and series are accepted, in ordinary times.

    Raises:
        ValueError: `every` is no number above 0, or `false_alarms` below 0 or none.

    >>> bank = Bank(every=60.0)
    >>> bank.grow(2)
    >>> verdicts = bank.observe(0.0, np.array([1.0, np.nan]))
    >>> verdicts.learning.tolist()
    [True, True]
    """

    def __init__(self, every: float, false_alarms: float = 1 / 604_800) -> None:
        check_every(every)
        check_false_alarms(false_alarms)
        self.every = float(every)
        self.false_alarms = float(false_alarms)
        self._rows = np.zeros((0, _kernel.SIZE))

    @property
    def rows(self) -> int:
        """Number of series."""
        return len(self._rows)

    def grow(self, rows: int) -> None:
        """Have at least so many rows; new ones have seen nothing."""
        more = rows - self.rows
        if more > 0:
            self._rows = np.concatenate([self._rows, np.zeros((more, _kernel.SIZE))])

    def reset(self, row: int) -> None:
        """Forget a series: its row is another's from now on."""
        self._rows[row] = 0.0

    def observe(self, at: float, values: Floats) -> Verdicts:
        """Judge a reading of every series, then learn from it.

        Args:
            at: Unix seconds of the readings.
            values: `float64[rows]`; NaN where there is none.

        Raises:
            ValueError: there are more or fewer values than rows.
        """
        if len(values) != self.rows:
            raise ValueError(f"{len(values)} readings for {self.rows} series")
        out = np.empty((self.rows, 7))
        # Of another type or layout they would have the kernel compiled anew.
        values = np.ascontiguousarray(values, np.float64)
        _kernel.bank(self._rows, float(at), values, self.every, self.false_alarms, out)
        return Verdicts(
            score=out[:, 0],
            probability=out[:, 1],
            expected=out[:, 2],
            lower=out[:, 3],
            upper=out[:, 4],
            alert=out[:, 5] > 0,
            learning=out[:, 6] > 0,
        )

    def trimmed(self) -> Self:
        """Itself, ready for a snapshot."""
        return self
