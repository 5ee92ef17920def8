"""The value of an OTLP data point: a counter's number, or a histogram split at a bound.

A bound that is no edge of the histogram's buckets is moved down to the next edge: observations
between the edge and the bound then count as bad though they may be good. The other way round,
slow calls would count as good and an outage could pass unseen; too strict is told (the edge used
is shown), too lenient would be silent.
"""

import math
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    DataPointFlags,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    NumberDataPoint,
)

from slo.anomalies.sketch import Sketch, from_buckets, from_exponential

HistogramPoint = HistogramDataPoint | ExponentialHistogramDataPoint
LARGEST = 2**63
# Bucket widths of which a bound may miss an exponential edge by rounding alone.
_ROUNDING = 1e-9
_SCALES = range(-64, 65)
# Bounds of a histogram that are remembered; instruments have a dozen.
_MOST_CACHED = 256


class UnusableError(ValueError):
    """A point that says nothing usable; the message is the reason counted in `ignored`."""


class Split(NamedTuple):
    """A histogram's observations.

    Attributes:
        total: all.
        above: those above the edge.
        edge: the bucket edge at which they were split, at or below the bound.
    """

    total: int
    above: int
    edge: float


def number(point: NumberDataPoint) -> int | float:
    """A counter's value: finite, not negative, below 2**63.

    Raises:
        UnusableError: it is not.
    """
    value = measurement(point)
    if value < 0:
        raise UnusableError("negative")
    if value >= LARGEST:
        raise UnusableError("too large")
    return value


def measurement(point: NumberDataPoint) -> int | float:
    """A gauge's value: finite.

    Raises:
        UnusableError: it is not.
    """
    _require_recorded(point.flags)
    kind = point.WhichOneof("value")
    if kind is None:
        raise UnusableError("no value")
    value: int | float = point.as_int if kind == "as_int" else point.as_double
    if not math.isfinite(value):
        raise UnusableError("not a finite number")
    return value


def bins(point: HistogramPoint) -> Sketch:
    """A histogram of either kind as a sketch.

    Raises:
        UnusableError: malformed buckets, or none.
    """
    total = count(point)
    if isinstance(point, HistogramDataPoint):
        bounds = tuple(point.explicit_bounds)
        _require_buckets(point, bounds, total)
        find = _require_edges if len(bounds) <= _MOST_CACHED else _require_edges.__wrapped__
        find(bounds)
        return from_buckets(bounds, point.bucket_counts)
    _require_exponential(point, total)
    positive, negative = point.positive, point.negative
    return from_exponential(
        point.scale,
        point.zero_count,
        (positive.offset, positive.bucket_counts),
        (negative.offset, negative.bucket_counts),
    )


def count(point: HistogramPoint) -> int:
    """How many observations a histogram has.

    Raises:
        UnusableError: none recorded, or 2**63 and more.
    """
    _require_recorded(point.flags)
    if point.count >= LARGEST:
        raise UnusableError("too large")
    return int(point.count)


def split(point: HistogramPoint, above: float) -> Split:
    """A histogram of either kind, split at a bound.

    Raises:
        UnusableError: malformed buckets, or a bound at which these cannot be split.
    """
    if isinstance(point, HistogramDataPoint):
        return split_explicit(point, above)
    return split_exponential(point, above)


def up_to(point: HistogramPoint, le: float) -> int:
    """Observations at or below a bucket's upper edge, what Prometheus has as `_bucket{le="..."}`.

    Raises:
        UnusableError: malformed, or no bucket has this edge.
    """
    if le == math.inf:
        return count(point)
    divided = split(point, le)
    if not math.isclose(divided.edge, le):
        raise UnusableError("no bucket with this le")
    return divided.total - divided.above


def split_explicit(point: HistogramDataPoint, above: float) -> Split:
    """An explicit-bucket histogram split at a bound; a bucket holds what equals its upper edge.

    Raises:
        UnusableError: malformed buckets, or no edge at or below the bound.
    """
    total = count(point)
    bounds = tuple(point.explicit_bounds)
    _require_buckets(point, bounds, total)
    find = _edge_index if len(bounds) <= _MOST_CACHED else _edge_index.__wrapped__
    index = find(bounds, above)
    return Split(total, sum(point.bucket_counts[index + 1 :]), bounds[index])


def split_exponential(point: ExponentialHistogramDataPoint, above: float) -> Split:
    """An exponential histogram split at a bound; its zero bucket is good.

    Positive bucket `i` holds values in `(base**i, base**(i + 1)]`, `base = 2**(2**-scale)`.

    Raises:
        UnusableError: malformed buckets, or a bound below zero.
    """
    total = count(point)
    positive = point.positive.bucket_counts
    _require_exponential(point, total)
    if above < 0:
        raise UnusableError("a bound below zero on an exponential histogram")
    first_bad, edge = _exponential_edge(point.scale, above)
    skipped = max(0, first_bad - point.positive.offset)
    return Split(total, sum(positive[skipped:]), edge)


def _require_buckets(point: HistogramDataPoint, bounds: tuple[float, ...], total: int) -> None:
    buckets = point.bucket_counts
    if len(buckets) != len(bounds) + 1 or sum(buckets) != total:
        raise UnusableError("no buckets" if not buckets else "malformed histogram")


def _require_exponential(point: ExponentialHistogramDataPoint, total: int) -> None:
    counted = sum(point.positive.bucket_counts) + sum(point.negative.bucket_counts)
    if point.scale not in _SCALES or counted + point.zero_count != total:
        raise UnusableError("malformed histogram")


@lru_cache(maxsize=1024)
def _require_edges(bounds: tuple[float, ...]) -> None:
    if any(not low < high for low, high in pairwise(bounds)):
        raise UnusableError("malformed histogram")


@lru_cache(maxsize=1024)
def _edge_index(bounds: tuple[float, ...], above: float) -> int:
    _require_edges(bounds)
    below = sum(1 for bound in bounds if bound <= above)
    if not below:
        raise UnusableError("no bucket edge at or below the bound")
    return below - 1


@lru_cache(maxsize=1024)
def _exponential_edge(scale: int, above: float) -> tuple[int, float]:
    """The first bucket wholly above the edge, and the edge: the highest at or below the bound."""
    if above == 0:
        return -(2**40), 0.0
    if math.isinf(above):
        return 2**40, above
    place = math.ldexp(math.log2(above), scale)
    nearest = round(place)
    index = nearest if abs(place - nearest) <= _ROUNDING else math.floor(place)
    return index, math.exp2(math.ldexp(index, -scale))


def _require_recorded(flags: int) -> None:
    if flags & DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK:
        raise UnusableError("no recorded value")
