"""The pass over the calls of a batch that adds up what each series used."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from slo.usage.messages import (
    DURATION_US,
    DURATIONS,
    EDGES,
    ERROR,
    FIRST_TOKEN_US,
    FIRST_TOKENS,
    MOST,
    NANODOLLARS,
    OK,
    PRICED,
    TOKEN_TYPES,
    TOKENS,
    WIDTH,
)

_EDGES = np.array(EDGES)
_EDGES_NS = np.array([round(edge * 1e9) for edge in EDGES], np.int64)
_TYPES = len(TOKEN_TYPES)
# The numbers of a call, by row: tokens, dollars, seconds to the first token.
DOLLARS, FIRST_TOKEN = _TYPES, _TYPES + 1
NUMBERS = _TYPES + 2
# More than any call has. What is above, or negative, is no such number.
MOST_TOKENS, MOST_DOLLARS, MOST_SECONDS = 1e9, 1e6, 1e7
_LIMITS = np.array([MOST_TOKENS] * _TYPES + [MOST_DOLLARS, MOST_SECONDS])
MOST_NS = int(MOST_SECONDS) * 10**9


@njit(cache=True, nogil=True)
def tally(
    ids: NDArray[np.int64],
    durations: NDArray[np.int64],
    failed: NDArray[np.bool_],
    numbers: NDArray[np.float64],
    series: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Add up calls by series.

    Args:
        ids: `int64[n]`, each call's series.
        durations: `int64[n]`, nanoseconds; negative where it is not known.
        failed: `bool[n]`.
        numbers: `float64[NUMBERS, n]`, NaN where there is none.
        series: how many.

    Returns:
        `int64[series, WIDTH]`, and `int64[NUMBERS]`, how many numbers were no such number.
    """
    counts = np.zeros((series, WIDTH), np.int64)
    wrong = np.zeros(NUMBERS, np.int64)
    for row in range(len(ids)):
        sums = counts[ids[row]]
        sums[ERROR if failed[row] else OK] += 1
        duration = durations[row]
        if duration >= 0:
            _add(sums, DURATION_US, (duration + 500) // 1000)
            sums[DURATIONS + np.searchsorted(_EDGES_NS, duration)] += 1
        for number in range(NUMBERS):
            value = numbers[number, row]
            if np.isnan(value):
                continue
            if not 0.0 <= value <= _LIMITS[number]:
                wrong[number] += 1
            elif number < _TYPES:
                _add(sums, TOKENS + number, np.int64(np.rint(value)))
            elif number == DOLLARS:
                _add(sums, NANODOLLARS, np.int64(np.rint(value * 1e9)))
                sums[PRICED] += 1
            else:
                _add(sums, FIRST_TOKEN_US, np.int64(np.rint(value * 1e6)))
                sums[FIRST_TOKENS + np.searchsorted(_EDGES, value)] += 1
    return counts, wrong


@njit(cache=True, nogil=True)
def _add(sums: NDArray[np.int64], column: int, value: np.int64) -> None:
    sums[column] = min(sums[column] + value, MOST)


def warm_up() -> None:
    """Compile the kernel, or load it from numba's cache."""
    tally(
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
        np.zeros(1, np.bool_),
        np.full((NUMBERS, 1), np.nan),
        1,
    )
