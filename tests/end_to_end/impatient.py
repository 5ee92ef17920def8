"""`burnline` as it is, but for its patience: intervals of a second, closed soon, and incidents that end soon.

The default detector learns from hours of readings, a test has seconds: here a value beyond a fixed bound is
strange. All else is the real thing.
"""

import os
from typing import Self

import numpy as np

from dataflows.cli import main
from detectors import Verdicts
from slo.anomalies import _fields, _parts, detecting, gathering

BOUND = 5.0


class Bound:
    """In the place of `detectors.Bank`."""

    def __init__(self, every: float, false_alarms: float) -> None:
        self.every, self.false_alarms, self.rows = every, false_alarms, 0

    def grow(self, rows: int) -> None:
        self.rows = max(self.rows, rows)

    def reset(self, row: int) -> None:
        """It remembers nothing."""

    def observe(self, _at: float, values: np.ndarray) -> Verdicts:
        beyond = np.nan_to_num(values) > BOUND
        rows = len(values)
        return Verdicts(
            score=np.where(beyond, 1.0, 0.0),
            probability=np.where(beyond, 1e-7, 1.0),
            expected=np.ones(rows),
            lower=np.zeros(rows),
            upper=np.full(rows, BOUND),
            alert=beyond,
            learning=np.zeros(rows, np.bool_),
        )

    def trimmed(self) -> Self:
        return self


def run() -> None:
    """`burnline` with its arguments; called from elsewhere, so that snapshots find `Bound` again."""
    _fields.SHORTEST_INTERVAL = 1
    gathering.GRACE, gathering.SETTLE, gathering.HOLD = 1, 0, 1
    _parts.HOLD_SECONDS = float(os.environ["HOLD_SECONDS"])
    detecting.Bank = Bound
    main()
