"""Several probabilities made one."""

import math
from collections.abc import Iterable


def harmonic(probabilities: Iterable[float]) -> float:
    """The harmonic mean of probabilities, itself a probability to good approximation where it is small.

    It may be had of probabilities that depend on each other, which those of one entity's features do, and
    loses less than Bonferroni's bound where several are small at once. NaN are left out; 1 if none is left.

    References:
        Wilson, D. J., 2019. The harmonic mean p-value for combining dependent tests. PNAS 116(4).

    >>> harmonic([0.001, 1.0])
    0.001998...
    >>> harmonic([0.001, 0.001])
    0.001
    >>> harmonic([])
    1.0
    """
    total, count = 0.0, 0
    for probability in probabilities:
        if not math.isnan(probability):
            total += 1 / max(probability, 1e-300)
            count += 1
    return count / total if count else 1.0
