"""Arithmetic of burn conditions over arrays of counts: exact comparison, and evidence.

Evidence is the one-sided Jeffreys lower bound of a binomial proportion: with `b` bad of `n`, the
posterior is Beta(b + 1/2, n - b + 1/2) (Brown, Cai, DasGupta, "Interval estimation for a binomial
proportion", Statistical Science 2001). The bound at confidence c lies above p exactly when the
posterior's mass below p is under 1 - c, which needs no inverse.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


# Floats are asked about counts up to 2^53: products are exact to 2^-52 of themselves.
ROUNDING = 1e-12


def exceeds(bad: Ints, total: Ints, threshold: Floats, exact: Sequence[Sequence[Fraction]]) -> Mask:
    """`bad > threshold x total`, strictly, without rounding.

    Args:
        bad: `int64[rows, tiers]`.
        total: `int64[rows, tiers]`.
        threshold: `float64[rows, tiers]`.
        exact: the same thresholds as fractions, asked only where floats cannot tell.
    """
    limit = threshold * total
    # Far enough from the limit on either side that rounding cannot matter.
    result: Mask = bad > limit * (1 + ROUNDING)
    unsure = bad >= limit * (1 - ROUNDING)
    unsure ^= result
    if unsure.any():
        for row, tier in np.argwhere(unsure & (total > 0)):
            result[row, tier] = int(bad[row, tier]) > exact[row][tier] * int(total[row, tier])
    return result


def evident(bad: Ints, total: Ints, threshold: Floats, confidence: Floats) -> Mask:
    """Whether the error ratio lies above the threshold at this one-sided confidence.

    Args:
        bad: `int64[n]`.
        total: `int64[n]`.
        threshold: `float64[n]`, an error ratio; from 1 on nothing is evident.
        confidence: `float64[n]`; 0 asks for no evidence.

    >>> evident(np.array([1, 30]), np.array([20, 200]), np.array([0.05, 0.05]), np.array([0.95, 0.95]))
    array([False,  True])
    """
    good = np.maximum(total - bad, 0)
    below = betainc(np.maximum(bad, 0) + 0.5, good + 0.5, np.clip(threshold, 0.0, 1.0))
    return np.asarray((confidence <= 0) | (below < 1 - confidence))
