"""What the parts that look at one feature at a time have in common."""

import abc
import math
import numbers
from collections.abc import Mapping
from typing import Any

from river import base

from detectors.verdict import Floats

# Squares of squares of numbers within it, and sums of a million of those, are numbers still.
_FARTHEST = 1e60


def usable(features: Mapping[Any, Any]) -> dict[Any, float]:
    """The features that are numbers: without NaN and infinities, and within ±1e60.

    >>> usable({"rate": 3, "p95": float("nan"), "host": "a", "sum": 1e300})
    {'rate': 3.0, 'sum': 1e+60}
    """
    found = {}
    for name, value in features.items():
        # Most are floats, and to ask what else is a number takes longer than all the rest.
        if type(value) is not float and not isinstance(value, numbers.Real):
            continue
        number = _number(value)
        if -_FARTHEST <= number <= _FARTHEST:
            found[name] = number
        elif math.isfinite(number):
            found[name] = math.copysign(_FARTHEST, number)
    return found


def _number(value: Any) -> float:  # noqa: ANN401 - any that says it is real
    try:
        return float(value)
    except OverflowError:  # integers of Python know no end
        return _FARTHEST if value > 0 else -_FARTHEST


class Apart(base.AnomalyDetector):
    """Each feature judged by a state of its own; the strangest of them counts.

    A river anomaly detector whose scores are probabilities: `score_one` is 1 minus `probability_one`.
    Of several features the least probability counts, times their number (Bonferroni's bound), so that
    more features make no more alarms.
    """

    _rows: dict[Any, Floats]

    @abc.abstractmethod
    def _fresh(self) -> Floats:
        """The state of a feature that has not been seen."""

    @abc.abstractmethod
    def _judge(self, row: Floats, value: float) -> float:
        """The share of ordinary values that are at least as strange; the state stays as it is."""

    @abc.abstractmethod
    def _take(self, row: Floats, value: float) -> None:
        """Learn a value."""

    def probability_one(self, x: dict[Any, Any]) -> float:
        """The share of ordinary readings that are at least as strange; 1 where there is nothing to judge."""
        found = [
            self._judge(row, value)
            for name, value in usable(x).items()
            if (row := self._rows.get(name)) is not None
        ]
        return min(1.0, len(found) * min(found)) if found else 1.0

    def score_one(self, x: dict[Any, Any]) -> float:
        """How strange a reading is, in [0, 1]."""
        return 1.0 - self.probability_one(x)

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Learn a reading."""
        for name, value in usable(x).items():
            row = self._rows.get(name)
            if row is None:
                row = self._rows[name] = self._fresh()
            self._take(row, value)
