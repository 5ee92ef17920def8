"""Which rows of a shard have changed since they were told last: most batches touch few of many series."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

# Of fewer rows all are looked at as soon as some of them are found out.
FEW = 256
# Where a larger share of the rows has changed it is no dearer to look at all of them.
MOST = 0.25


def distinct(rows: Rows, among: int) -> Rows | None:
    """The distinct rows, ascending; None where it is no dearer to look at all there are.

    Args:
        rows: those that changed.
        among: how many there are in all.

    >>> distinct(np.array([7, 3, 7]), among=1000)
    array([3, 7])
    >>> distinct(np.array([7, 3, 7]), among=8) is None
    True
    """
    if among < FEW or len(rows) > MOST * among:
        return None
    return np.unique(rows)
