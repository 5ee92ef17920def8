"""Whether a series has been here before: a part of the default detector."""

import numpy as np

from detectors import _kernel
from detectors.timed import Rows, Timed
from detectors.verdict import Floats


class Novelty(Timed):
    """How far a reading, or a mean of the last 2, 4 ... 64, leaves the range of all that was seen.

    Two ranges: of the readings, and of what the mean of their time of day leaves of them. They close slowly,
    so that what was long ago is forgotten. How far outside is measured in the range's width, and divided by
    how often the series leaves its ranges at all: one that does so daily is not novel. About 14 is
    noteworthy; the score is `novelty / (novelty + 14)`.

    Parameters
    ----------
    every
        Seconds from one reading to the next; learned where it is not given.

    Examples
    --------
    >>> import random
    >>> from detectors.novelty import Novelty

    >>> rng = random.Random(1)
    >>> detector = Novelty()
    >>> for minute in range(3_000):
    ...     detector.learn_one({"queue": rng.gauss(100, 5)}, at=60 * minute)
    >>> detector.score_one({"queue": 101}, at=180_000)
    0.0
    >>> detector.score_one({"queue": 200}, at=180_000) > 0.5
    True

    """

    def __init__(self, every: float | None = None) -> None:
        self.every = every
        self._rows = Rows(every)
        self._row = np.zeros(_kernel.SIZE)

    def observe(self, at: float, value: float) -> float:
        """Novelty of a reading of the one series, which is then learned; NaN where it is missing.

        Args:
            at: Unix seconds of the reading.
            value: NaN where it is missing.
        """
        return self._novelty(self._row, at, value)

    def _judge(self, row: Floats, at: float, value: float) -> float:
        new = self._novelty(row, at, value)
        return new / (new + _kernel.NOVEL) if new > 0 else 0.0

    def _novelty(self, row: Floats, at: float, value: float) -> float:
        return float(_kernel.novelty_step(row, float(at), float(value), self.every or 0.0))
