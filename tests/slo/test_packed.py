"""What snapshots keep in little room comes back as it was, that of earlier versions too."""

import pickle
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from slo._packed import pack, unpack
from slo._pickled import BLOCK, Blocks, unpickled
from slo.decision import SeriesKey
from slo.windows import Entries, Level

shapes = array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=6)
small = st.integers(-130, 130)
counts = st.one_of(
    arrays(np.int32, shapes, elements=small | st.integers(-(2**31), 2**31 - 1)),
    arrays(np.int64, shapes, elements=small | st.integers(-(2**63), 2**63 - 1)),
    arrays(np.int32, shapes, elements=small),
    arrays(np.int64, shapes, elements=st.integers(-40_000, 40_000)),
)


@settings(deadline=None)
@given(counts, st.booleans())
def test_any_counts_come_back(array, sliced):
    array = array[:, : array.shape[1] // 2] if sliced else array
    back = unpack(pickle.loads(pickle.dumps(pack(array))))  # noqa: S301  just made
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype
    assert back.flags.writeable


@pytest.mark.parametrize(("dtype", "bytes_each"), [(np.int32, 1), (np.int64, 2)])
def test_small_counts_take_a_quarter_of_the_room(dtype, bytes_each):
    array = np.ones((60, 100, 2), dtype)
    array[0, 0] = 10**9  # one busy series costs the others nothing
    packed = pack(array)
    assert packed.small.itemsize == bytes_each
    assert packed.values.tolist() == [10**9, 10**9]


def _level():
    level = Level(5, (300,), 30)
    level.advance(1000)
    level.deposit(Entries(np.array([0, 3]), np.array([900, 1000]), np.array([[1, 2], [0, 10**6]])))
    return level


def _equal(one, other):
    for each in fields(one):
        mine, theirs = getattr(one, each.name), getattr(other, each.name)
        np.testing.assert_array_equal(mine, theirs, err_msg=each.name)


def test_a_level_comes_back():
    level = _level()
    back = pickle.loads(pickle.dumps(level.trimmed()))  # noqa: S301  just made
    _equal(back, level.trimmed())
    assert back.ring.dtype == level.ring.dtype
    back.deposit(Entries(np.array([9]), np.array([1000]), np.array([[1, 1]])))


def test_a_level_of_an_earlier_version_comes_back():
    """Pickle kept the attributes of a class with slots as they were."""
    level = _level()
    back = Level.__new__(Level)
    back.__setstate__((None, {each.name: getattr(level, each.name) for each in fields(level)}))
    _equal(back, level)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2 * BLOCK + 3), min_size=1, max_size=6))
def test_a_list_that_grows_comes_back_after_each_snapshot(lengths):
    blocks = Blocks()
    items = []
    for length in sorted(lengths):
        items += [SeriesKey("o", (str(n),)) for n in range(len(items), length)]
        assert unpickled(blocks.of(items)) == items


def test_what_was_pickled_once_is_not_again():
    blocks, items = Blocks(), list(range(3 * BLOCK))
    first, second = blocks.of(items), blocks.of([*items, 7])
    assert all(a is b for a, b in zip(first[:3], second[:3], strict=True))


def test_a_list_of_an_earlier_version_is_taken_as_it_is():
    keys = [SeriesKey("o", ("a",)), SeriesKey("o", None)]
    assert unpickled(keys) == keys
    assert unpickled([]) == []
