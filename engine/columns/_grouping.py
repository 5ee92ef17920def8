"""Kernels that group rows by their values and count them; long loops over plain arrays."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def group_rows(
    kinds: NDArray[np.uint8], bits: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the distinct combinations of column values.

    Args:
        kinds: `uint8[columns, n]`.
        bits: `int64[columns, n]`.

    Returns:
        `int64[n]`, each row's class, and `int64[classes]`, the first row of each class.
    """
    columns, n = kinds.shape
    size = 16
    while size < 2 * n:
        size *= 2
    table = np.full(size, -1, np.int32)
    classes = np.empty(n, np.int64)
    firsts = np.empty(n, np.int64)
    found = 0
    for row in range(n):
        # Any hash will do: equality is decided by the values themselves.
        h = np.uint64(1469598103934665603)
        for c in range(columns):
            h = (h ^ np.uint64(bits[c, row])) * np.uint64(1099511628211)
            h = (h ^ np.uint64(kinds[c, row])) * np.uint64(1099511628211)
            h ^= h >> np.uint64(29)
        slot = np.int64(h & np.uint64(size - 1))
        while True:
            known = table[slot]
            if known < 0:
                table[slot] = found
                firsts[found] = row
                classes[row] = found
                found += 1
                break
            first = firsts[known]
            same = True
            for c in range(columns):
                if bits[c, row] != bits[c, first] or kinds[c, row] != kinds[c, first]:
                    same = False
                    break
            if same:
                classes[row] = known
                break
            slot = (slot + 1) & (size - 1)
    return classes, firsts[:found].copy()


def distinct(
    *parts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the distinct tuples of numbers, in the order in which they come first.

    Args:
        parts: `int64[n]` each.

    Returns:
        As `group_rows`.
    """
    bits = np.stack(parts)
    return group_rows(np.zeros(bits.shape, np.uint8), bits)


def warm_up() -> None:
    """Compile both kernels, or load them from numba's cache."""
    ids, _ = group_rows(np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.int64))
    seen = np.ones(1, np.bool_)
    count(ids, ids, seen, seen, 1, 1)


@njit(cache=True, nogil=True)
def count(
    classes: NDArray[np.int64],
    buckets: NDArray[np.int64],
    total: NDArray[np.bool_],
    bad: NDArray[np.bool_],
    n_classes: int,
    n_buckets: int,
) -> NDArray[np.int64]:
    """Count rows by class and bucket.

    Returns:
        `int64[n_classes, n_buckets, 2]`, (bad, total).
    """
    counts = np.zeros((n_classes, n_buckets, 2), np.int64)
    for row in range(len(classes)):
        if total[row]:
            counts[classes[row], buckets[row], 1] += 1
            if bad[row]:
                counts[classes[row], buckets[row], 0] += 1
    return counts
