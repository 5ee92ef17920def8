"""A mergeable sketch of a distribution: counts in bins whose edges grow by a factor (2^(1/32), 2.2 %).

The scheme of OTLP's exponential histograms at scale 5, so those merge with it bin for bin. A bin's number
orders as its values do: 0 is zero, positive numbers stand above `_MIDDLE`'s reach, negative ones mirror them.
A sketch is a plain dict of bin -> count, and the same in whatever order its parts are added.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SCALE = 5
BASE = 2.0 ** (2.0**-SCALE)
# Of a quantile: half a bin's width, about 1.1 %.
RELATIVE_ERROR = (BASE - 1) / (BASE + 1)
# Bins of one sketch; beyond, the lowest values share one.
MOST_BINS = 1024
_PER_DOUBLING = 2**SCALE
# Above the bin of every double's magnitude, turned positive.
_MIDDLE = 1100 * _PER_DOUBLING
# A coarse bucket is shared out over its highest doublings; what is below is next to nothing.
_DOUBLINGS = 10

Sketch = dict[int, float]


def bins_of(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each value; all finite.

    >>> bins_of(np.array([-1.0, 0.0, 1.0, 1.01])).tolist()
    [-35199, 0, 35199, 35200]
    """
    with np.errstate(divide="ignore"):
        places = np.ceil(np.log2(np.abs(values)) * _PER_DOUBLING)
    signed = np.copysign(np.where(values == 0, 0.0, places + (_MIDDLE - 1)), values)
    return signed.astype(np.int64)


def value_of(number: int) -> float:
    """The middle of a bin: within `RELATIVE_ERROR` of all of its values."""
    if number == 0:
        return 0.0
    upper = (abs(number) - _MIDDLE + 1) / _PER_DOUBLING
    # Two factors: a power alone overflows for the largest double's bin.
    middle = 2.0 ** (upper - 1) * (4.0 / (1.0 + BASE))
    return math.copysign(middle, number)


def add(into: Sketch, more: Mapping[int, float]) -> None:
    """Add a sketch to another."""
    for number, count in more.items():
        into[number] = into.get(number, 0) + count
    if len(into) > MOST_BINS:
        _narrow(into)


def _narrow(bins: Sketch) -> None:
    """Keep the highest bins; the lowest of these has the rest. The same in any order of additions."""
    order = sorted(bins)
    lowest = order[-MOST_BINS]
    for number in order[:-MOST_BINS]:
        bins[lowest] += bins.pop(number)


def quantile(bins: Mapping[int, float], share: float) -> float:
    """The value at or below which a share of all lie; NaN of none.

    >>> sketch = dict.fromkeys(bins_of(np.array([1.0, 2.0, 4.0, 8.0])).tolist(), 1)
    >>> round(quantile(sketch, 0.5), 1)
    2.0
    """
    total = sum(bins.values())
    if not total > 0:
        return math.nan
    # Shares of a histogram's bucket add up to its count but for rounding.
    wanted = share * total * (1 - 1e-9)
    seen = 0.0
    number = 0
    for number in sorted(bins):
        seen += bins[number]
        if seen >= wanted:
            break
    return value_of(number)


def from_buckets(bounds: Sequence[float], counts: Sequence[float]) -> Sketch:
    """An explicit-bucket histogram: what is in a bucket is spread evenly over its width, as PromQL has it.

    Args:
        bounds: upper edges, ascending.
        counts: one more than bounds; the last is what lies above all.
    """
    sketch: Sketch = {}
    edges = (-math.inf, *bounds, math.inf)
    for index, count in enumerate(counts):
        if count:
            for number, part in _shares(edges[index], edges[index + 1]):
                sketch[number] = sketch.get(number, 0) + count * part
    return sketch


def from_exponential(
    scale: int,
    zero: int,
    positive: tuple[int, Sequence[int]],
    negative: tuple[int, Sequence[int]],
) -> Sketch:
    """An exponential histogram; `positive` and `negative` are (offset, counts)."""
    sketch: Sketch = {0: zero} if zero else {}
    for sign, (offset, counts) in ((1, positive), (-1, negative)):
        for place, count in enumerate(counts, offset):
            if not count:
                continue
            if scale >= SCALE:
                number = sign * ((place >> (scale - SCALE)) + _MIDDLE)
                sketch[number] = sketch.get(number, 0) + count
                continue
            low, high = (math.ldexp(edge, -scale) for edge in (place, place + 1))
            for number, part in _shares(_power(low), _power(high)):
                sketch[sign * number] = sketch.get(sign * number, 0) + count * part
    return sketch


def _power(exponent: float) -> float:
    return math.inf if exponent >= 1024 else math.exp2(exponent)


@lru_cache(maxsize=4096)
def _shares(low: float, high: float) -> tuple[tuple[int, float], ...]:
    """(bin, share) of what lies evenly in (low, high]; at the one edge where the other is nowhere."""
    if math.isinf(high):
        return ((_bin(0.0 if math.isinf(low) else low), 1.0),)
    if math.isinf(low):
        low = 0.0 if high > 0 else high
    if low == high:
        return ((_bin(high), 1.0),)
    if low < 0 < high:
        below = -low / (high - low)
        return (
            *((number, part * below) for number, part in _shares(low, 0.0)),
            *((number, part * (1 - below)) for number, part in _shares(0.0, high)),
        )
    if high <= 0:
        return tuple((-number, part) for number, part in _shares(-high, -low))
    last = _bin(high)
    first = max(_bin(low), last - _DOUBLINGS * _PER_DOUBLING, 1)
    edges = [low, *(_upper(number) for number in range(first, last)), high]
    edges = [min(max(edge, low), high) for edge in edges]
    return tuple(
        (number, (edges[i + 1] - edges[i]) / (high - low))
        for i, number in enumerate(range(first, last + 1))
        if edges[i + 1] > edges[i]
    )


def _bin(value: float) -> int:
    return int(bins_of(np.array([value]))[0])


def _upper(number: int) -> float:
    return _power((number - _MIDDLE + 1) / _PER_DOUBLING)
