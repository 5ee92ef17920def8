"""A river detector over one series, held to the budget of false alarms."""

import math
from itertools import pairwise
from statistics import median

from dataflows.detect.choice import Choice
from detectors import Verdict, named
from detectors.calibrated import Calibrated

SPACING_READINGS = 16
_USUAL_SPACING = 60.0  # where they all have one time
_LEARNING = Verdict(0.0, 1.0, math.nan, math.nan, math.nan, alert=False, learning=True)


class Named:
    """Learns the spacing from the first readings, unless it is told; they are judged by none.

    Args:
        choice: with the detector's name and parameters.
    """

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._first: list[tuple[float, float]] = []
        self._detector = self._made(choice.every) if choice.every else None

    def _made(self, every: float) -> Calibrated:
        estimator = named.make(self._choice.detector, self._choice.parameters)
        return Calibrated(estimator, every, self._choice.false_alarms)

    @property
    def trouble(self) -> str:
        """What the detector could not do."""
        detector = self._detector
        if detector is None or not detector.failures:
            return ""
        return f"the detector failed at {detector.failures:,} of them: {detector.failure}"

    def observe(self, at: float, value: float) -> Verdict:
        """Judge a reading, then learn from it."""
        if self._detector is not None:
            return self._detector.observe(at, {"value": value})
        self._first.append((at, value))
        if len(self._first) < SPACING_READINGS:
            return _LEARNING
        times = [at for at, _ in self._first]
        gaps = [b - a for a, b in pairwise(times) if b > a]
        self._detector = self._made(median(gaps) if gaps else _USUAL_SPACING)
        for moment, reading in self._first:
            verdict = self._detector.observe(moment, {"value": reading})
        return verdict
