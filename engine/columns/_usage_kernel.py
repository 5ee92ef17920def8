"""The pass over the calls of a batch that adds up what each series used."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from slo.columns import Kind
from slo.llm import MOST_DOLLARS
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

Integers = NDArray[np.int64]
Unsigned = NDArray[np.uint64]
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]

FAILED = 2  # OTLP's number of the status of an error
_NIL, _INT, _FLOAT = int(Kind.NIL), int(Kind.INT), int(Kind.FLOAT)
_EDGES = np.array(EDGES)
_EDGES_NS = np.array([round(edge * 1e9) for edge in EDGES], np.int64)
_TYPES = len(TOKEN_TYPES)
# The numbers of a call, in order: tokens, dollars, seconds to the first token.
DOLLARS, FIRST_TOKEN = _TYPES, _TYPES + 1
NUMBERS = _TYPES + 2
# More than any call has. What is above, or negative, is no such number.
MOST_TOKENS, MOST_SECONDS = 1e9, 1e7
_LIMITS = np.array([MOST_TOKENS] * _TYPES + [MOST_DOLLARS, MOST_SECONDS])
MOST_NS = np.uint64(int(MOST_SECONDS) * 10**9)


@njit(cache=True, nogil=True)
def tally(
    rows: Integers,
    ids: Integers,
    times: tuple[Unsigned, Unsigned],
    statuses: Integers,
    kinds: tuple[Bytes, ...],
    whole: tuple[Integers, ...],
    floats: tuple[Floats, ...],
    series: int,
) -> tuple[Integers, Integers]:
    """Add up calls by series.

    Args:
        rows: `int64[m]`, which rows of the batch are calls.
        ids: `int64[m]`, each call's series.
        times: `uint64[n]` twice, starts and ends in Unix nanoseconds.
        statuses: `int64[n]`, as OTLP numbers them.
        kinds: of each of `NUMBERS` columns.
        whole: their bits.
        floats: the same bits as floats.
        series: how many.

    Returns:
        `int64[series, WIDTH]`; and `int64[NUMBERS + 1]`, how many of each column were no number that a call
        can have, the last of them durations.
    """
    counts = np.zeros((series, WIDTH), np.int64)
    wrong = np.zeros(NUMBERS + 1, np.int64)
    starts, ends = times
    for call in range(len(rows)):
        row = rows[call]
        sums = counts[ids[call]]
        sums[ERROR if statuses[row] == FAILED else OK] += 1
        if starts[row] == 0 or ends[row] < starts[row] or ends[row] - starts[row] > MOST_NS:
            wrong[NUMBERS] += 1
        else:
            duration = np.int64(ends[row] - starts[row])
            _add(sums, DURATION_US, (duration + 500) // 1000)
            sums[DURATIONS + np.searchsorted(_EDGES_NS, duration)] += 1
        for number in range(NUMBERS):
            kind = kinds[number][row]
            if kind == _NIL:
                continue
            value = -1.0
            if kind == _INT:
                value = float(whole[number][row])
            elif kind == _FLOAT:
                value = floats[number][row]
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
    one, times = np.zeros(1, np.int64), np.zeros(1, np.uint64)
    tally(
        one,
        one,
        (times, times),
        one,
        (np.zeros(1, np.uint8),) * NUMBERS,
        (one,) * NUMBERS,
        (np.zeros(1),) * NUMBERS,
        1,
    )
