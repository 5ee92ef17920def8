"""Sketches, against numpy on the values themselves."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.anomalies import sketch
from slo.anomalies.sketch import MOST_BINS, RELATIVE_ERROR, bins_of, quantile, value_of

VALUES = st.lists(
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x == 0 or abs(x) > 1e-300),
    min_size=1,
    max_size=60,
)
TOLERANCE = RELATIVE_ERROR * 1.0001


def _sketch(values):
    found = {}
    for number in bins_of(np.array(values, np.float64)).tolist():
        sketch.add(found, {number: 1})
    return found


@given(values=VALUES, share=st.floats(0.001, 1))
def test_quantiles_are_within_the_stated_error(values, share):
    exact = float(np.quantile(np.array(values), share, method="inverted_cdf"))
    assert quantile(_sketch(values), share) == pytest.approx(exact, rel=TOLERANCE, abs=0)


@given(values=VALUES)
def test_bins_are_ordered_as_their_values(values):
    ordered = np.array(sorted(values))
    bins = bins_of(ordered).tolist()
    assert bins == sorted(bins)
    assert all(
        value_of(b) == pytest.approx(v, rel=TOLERANCE) for b, v in zip(bins, ordered, strict=True)
    )


@given(values=VALUES, seed=st.integers(0, 2**32))
def test_any_order_of_additions_gives_the_same(values, seed):
    shuffled = list(values)
    random.Random(seed).shuffle(shuffled)
    half = len(values) // 2
    one, other = _sketch(shuffled[:half]), _sketch(shuffled[half:])
    sketch.add(one, other)
    assert one == _sketch(values)


def test_more_bins_than_there_may_be_are_narrowed_from_below_in_any_order():
    numbers = list(range(-3000, 3000))
    whole = {}
    sketch.add(whole, dict.fromkeys(numbers, 1))
    random.Random(7).shuffle(numbers)
    pieces = {}
    for start in range(0, len(numbers), 100):
        sketch.add(pieces, dict.fromkeys(numbers[start : start + 100], 1))
    assert whole == pieces
    assert len(whole) == MOST_BINS
    assert sum(whole.values()) == 6000
    assert max(whole) == 2999


def test_nothing_has_no_quantile():
    assert math.isnan(quantile({}, 0.5))
    assert math.isnan(quantile({3: 0.0}, 0.5))


def _prometheus(bounds, counts, share):
    """`histogram_quantile`, as Prometheus documents it."""
    rank = share * sum(counts)
    seen = 0
    for index, count in enumerate(counts):
        if seen + count >= rank and count:
            if index == len(bounds):
                return bounds[-1]
            low = bounds[index - 1] if index else min(0.0, bounds[0])
            return low + (bounds[index] - low) * (rank - seen) / count
        seen += count
    return math.nan


@given(
    bounds=st.lists(st.floats(0.001, 1e4), min_size=1, max_size=12, unique=True).map(sorted),
    data=st.data(),
    share=st.floats(0.02, 0.99),
)
def test_an_explicit_histogram_has_prometheus_quantiles(bounds, data, share):
    size = len(bounds) + 1
    counts = data.draw(st.lists(st.integers(0, 50), min_size=size, max_size=size).filter(any))
    found = quantile(sketch.from_buckets(bounds, counts), share)
    expected = _prometheus(bounds, counts, share)
    # A bin's value is its middle, and a rank at its edge may fall into the next.
    assert found == pytest.approx(expected, rel=3 * RELATIVE_ERROR, abs=bounds[0] / 500)


@given(
    values=st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=50),
    scale=st.integers(-2, 12),
    share=st.floats(0.01, 1),
)
def test_an_exponential_histogram_is_as_exact_as_its_scale(values, scale, share):
    base = 2.0 ** (2.0**-scale)
    places = np.ceil(np.log2(values) * 2.0**scale).astype(int) - 1
    offset = int(places.min())
    counts = np.bincount(places - offset).tolist()
    if len(counts) > 5000:
        return
    made = sketch.from_exponential(scale, 0, (offset, counts), (0, []))
    assert sum(made.values()) == pytest.approx(len(values))
    exact = float(np.quantile(np.array(values), share, method="inverted_cdf"))
    found = quantile(made, share)
    assert exact / (base * 1.023) <= found <= exact * base * 1.023


def test_zeros_and_negative_observations_of_an_exponential_histogram():
    made = sketch.from_exponential(5, 2, (0, [1]), (0, [4]))
    assert sum(made.values()) == 7
    assert quantile(made, 0.3) == pytest.approx(-1.0, rel=0.03)
    assert quantile(made, 0.8) == 0.0
    assert quantile(made, 1.0) == pytest.approx(1.0, rel=0.03)


@pytest.mark.parametrize("edges", [(-1.0, 3.0), (-3.0, -1.0), (0.0, 5.0), (-5.0, 0.0), (2.0, 2.0)])
def test_a_bucket_is_shared_out_whole(edges):
    assert sum(part for _, part in sketch._shares(*edges)) == pytest.approx(1)
