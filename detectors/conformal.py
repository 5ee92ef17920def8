"""Conformal probabilities: the rank of a value among the last ones, which count less as they grow old."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit

from detectors.apart import Apart
from detectors.verdict import Floats

_HEAD, _HELD, _RING = 0, 1, 2


@njit(cache=True)
def conformal_ranks(row: Floats, value: float, decay: float) -> tuple[float, float]:
    """Probabilities of a value at least as great, and of one at most as great.

    Args:
        row: two floats and a ring of the last values; zeros when new.
        value: finite; it counts among those that are at least, and at most, as great as itself.
        decay: how much a value weighs that is one older than another, in (0, 1].
    """
    size = len(row) - _RING
    at = int(row[_HEAD])
    weight, total, above, below = 1.0, 1.0, 1.0, 1.0
    for _ in range(int(row[_HELD])):
        at = at - 1 if at > 0 else size - 1
        weight *= decay
        total += weight
        other = row[_RING + at]
        if other >= value:
            above += weight
        if other <= value:
            below += weight
    return above / total, below / total


@njit(cache=True)
def conformal_learn(row: Floats, value: float) -> None:
    """Keep a value in place of the oldest."""
    size = len(row) - _RING
    row[_RING + int(row[_HEAD])] = value
    row[_HEAD] = (row[_HEAD] + 1) % size
    row[_HELD] = min(row[_HELD] + 1, size)


class Conformal(Apart):
    """Conformal probability of a value among the last ones, with decay.

    It supposes nothing of how values are distributed: where they come in no particular order, a probability
    of `p` or less is met in a share `p` of them, exactly or less often. What it cannot say is how
    improbable a value is that is farther out than all of the window: for that there is `DSPOT`.

    Parameters
    ----------
    window
        Values that are kept.
    half_life
        Age, in values, at which one weighs half: the stream may drift. 0 for none.
    side
        `upper` if only great values are strange, `lower` if small ones are, or `both`.

    Examples
    --------
    >>> from detectors.conformal import Conformal

    >>> detector = Conformal(window=99, half_life=0, side="upper")
    >>> for value in range(99):
    ...     detector.learn_one({"queue": value})

    >>> detector.probability_one({"queue": 200})
    0.01
    >>> detector.probability_one({"queue": 49.5})
    0.5

    References
    ----------
    [^1]: Laxhammar, R. and Falkman, G., 2014. Online learning and sequential anomaly detection in
        trajectories. IEEE TPAMI 36(6). doi:10.1109/TPAMI.2013.172
    [^2]: Barber, R. F., Candès, E. J., Ramdas, A. and Tibshirani, R. J., 2023. Conformal prediction beyond
        exchangeability. Annals of Statistics 51(2). doi:10.1214/23-AOS2276

    """

    def __init__(self, window: int = 500, half_life: float = 250.0, side: str = "both") -> None:
        self.window = window
        self.half_life = half_life
        self.side = side
        self._rows = {}

    def _fresh(self) -> Floats:
        return np.zeros(_RING + max(self.window, 1))

    def _judge(self, row: Floats, value: float) -> float:
        decay = 0.5 ** (1 / self.half_life) if self.half_life > 0 else 1.0
        above, below = conformal_ranks(row, value, decay)
        least = {"upper": above, "lower": below}.get(self.side, 2 * min(above, below))
        return float(min(1.0, least))

    def _take(self, row: Floats, value: float) -> None:
        conformal_learn(row, value)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"window": 100}
