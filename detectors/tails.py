"""How strange the levels of the last 1, 4, 16 and 64 readings are, each against its own past."""

import math

import numpy as np
from numba import njit

from detectors.apart import Apart
from detectors.evt import START, TAIL_HEAD, tail_learn, tail_probability
from detectors.verdict import Floats

SCALES = (1, 4, 16, 64)
_LONGEST = 64
_SEEN, _CENTRE, _PAST, _RING = 0, 1, 2, 3
_TAILS = _RING + _LONGEST
_MEMORY = 2_000


@njit(cache=True)
def _levels(row: Floats, value: float) -> Floats:
    """The mean of the last values and this one, at each scale; NaN where there are too few."""
    found = np.full(len(SCALES), math.nan)
    seen = int(row[_SEEN])
    total = value
    count = 1
    for number, scale in enumerate(SCALES):
        if scale > seen + 1:
            break
        while count < scale:
            total += row[_RING + (seen - count) % _LONGEST]
            count += 1
        found[number] = total / scale
    return found


@njit(cache=True)
def multiscale_judge(row: Floats, value: float) -> float:
    """Harmonic mean of the probabilities of the levels at all scales; see `Tails`."""
    if row[_PAST] < START:
        return 1.0
    levels = _levels(row, value)
    size = (len(row) - _TAILS) // len(SCALES)
    total, count = 0.0, 0
    for number in range(len(SCALES)):
        tail = row[_TAILS + number * size : _TAILS + (number + 1) * size]
        if not math.isnan(levels[number]) and tail[0] >= START:
            far = abs(levels[number] - row[_CENTRE])
            total += 1 / tail_probability(tail, far)
            count += 1
    return count / total if count > 0 else 1.0


@njit(cache=True)
def multiscale_learn(row: Floats, value: float, level: float) -> None:
    """Learn a value: into the levels' tails, and what is older than all scales into the past's centre."""
    seen = int(row[_SEEN])
    if row[_PAST] >= START:
        levels = _levels(row, value)
        size = (len(row) - _TAILS) // len(SCALES)
        for number in range(len(SCALES)):
            if not math.isnan(levels[number]):
                tail = row[_TAILS + number * size : _TAILS + (number + 1) * size]
                far = abs(levels[number] - row[_CENTRE])
                tail_learn(tail, far, level, 2 * SCALES[number], 1e-6)
    if seen >= _LONGEST:
        old = row[_RING + seen % _LONGEST]
        row[_PAST] = min(row[_PAST] + 1, _MEMORY)
        row[_CENTRE] += (old - row[_CENTRE]) / row[_PAST]
    row[_RING + seen % _LONGEST] = value
    # Beyond the ring only the place in it counts, so that the number stays exact.
    row[_SEEN] = seen + 1 if seen + 1 < 2 * _LONGEST else _LONGEST


class Tails(Apart):
    """Multi-scale tails: the level of the last 1, 4, 16 and 64 readings against the past.

    A leap is strange at once; a small shift becomes strange when it stays. For each scale the mean of the
    last readings is held against the mean of those before them all, and its distance against the distances
    that were usual, by a tail as of `DSPOT`. The harmonic mean of the four probabilities counts.

    It judges a level, so give it what has one: what is left of a series by a forecast, if it has a season.

    Parameters
    ----------
    level
        Quantile at which the tails begin.
    peaks
        How many peaks each tail is made of.

    Examples
    --------
    >>> import random
    >>> from detectors.tails import Tails

    >>> rng = random.Random(1)
    >>> detector = Tails()
    >>> for _ in range(3_000):
    ...     detector.learn_one({"rate": rng.gauss(100, 10)})

    A shift of two standard deviations is nothing at first, and something when it stays:

    >>> detector.probability_one({"rate": 120.0}) > 0.001
    True
    >>> for _ in range(15):
    ...     detector.learn_one({"rate": rng.gauss(120, 10)})
    >>> detector.probability_one({"rate": 120.0}) < 0.0001
    True

    References
    ----------
    [^1]: Page, E. S., 1954. Continuous inspection schemes. Biometrika 41(1/2): why sums are kept at all.
    [^2]: Siffer, A. et al., 2017. Anomaly detection in streams with extreme value theory. KDD.

    """

    def __init__(self, level: float = 0.98, peaks: int = 64) -> None:
        self.level = level
        self.peaks = peaks
        self._rows = {}

    def _fresh(self) -> Floats:
        return np.zeros(_TAILS + len(SCALES) * (TAIL_HEAD + max(self.peaks, START)))

    def _judge(self, row: Floats, value: float) -> float:
        return float(multiscale_judge(row, value))

    def _take(self, row: Floats, value: float) -> None:
        multiscale_learn(row, value, self.level)
