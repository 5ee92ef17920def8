"""What a detector says of a reading."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Verdict(NamedTuple):
    """Of one reading of one series.

    Attributes:
        score: in [0, 1], higher is stranger, of the same meaning for every series.
        probability: the share of ordinary readings of this series that are at least as strange; 1 while
            it learns, and where there was nothing to judge.
        expected: what was forecast for this reading from those before it, in its unit; NaN while it learns.
        lower: the least that would not have been an alarm; NaN while it learns.
        upper: the most.
        alert: an episode is open: it began with a reading beyond the budget, and has not ended.
        learning: there is too little of the series yet to judge it by.
    """

    score: float
    probability: float
    expected: float
    lower: float
    upper: float
    alert: bool
    learning: bool


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Of one moment of many series, an element each; see `Verdict`."""

    score: Floats
    probability: Floats
    expected: Floats
    lower: Floats
    upper: Floats
    alert: Bools
    learning: Bools

    def __len__(self) -> int:
        return len(self.score)

    def of(self, row: int) -> Verdict:
        """That of one series."""
        return Verdict(
            float(self.score[row]),
            float(self.probability[row]),
            float(self.expected[row]),
            float(self.lower[row]),
            float(self.upper[row]),
            bool(self.alert[row]),
            bool(self.learning[row]),
        )
