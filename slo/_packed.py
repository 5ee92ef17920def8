"""Arrays of counts as a snapshot keeps them: nearly all are small, so nearly all are kept in few bytes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Where more of the cells than this do not fit, the next wider type takes less room.
MOST_ODD = 0.1


class Packed(NamedTuple):
    """An array of integers in as narrow a type as nearly all of its cells fit in.

    Attributes:
        small: all cells, wrapped round where they do not fit.
        at: `int64[n]`, flat positions of those that do not.
        values: what they are.
        dtype: the array's own type.
    """

    small: NDArray[np.signedinteger]
    at: NDArray[np.int64]
    values: NDArray[np.signedinteger]
    dtype: str


def pack(array: NDArray[np.signedinteger]) -> Packed:
    """The same counts in less room.

    >>> pack(np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1000], np.int32)).small.dtype
    dtype('int8')
    """
    # Arrays of 64 bits hold buckets of a quarter of an hour and more: few of their counts fit in a byte.
    for dtype in (np.int16, np.int32) if array.dtype == np.int64 else (np.int8, np.int16):
        small: NDArray[np.signedinteger] = array.astype(dtype)
        at = np.flatnonzero(small != array)
        if len(at) <= MOST_ODD * array.size:
            return Packed(small, at, array.ravel()[at], array.dtype.str)
    none = np.empty(0, np.int64)
    return Packed(np.ascontiguousarray(array), none, none.astype(array.dtype), array.dtype.str)


def unpack(packed: Packed) -> NDArray[np.signedinteger]:
    """The array that was packed.

    >>> unpack(pack(np.array([[1, -200], [3, 4]], np.int32)))
    array([[   1, -200],
           [   3,    4]], dtype=int32)
    """
    array = packed.small.astype(packed.dtype)
    array.reshape(-1)[packed.at] = packed.values
    return array
