"""Counts of a bounded number of series; what has no room is counted in a wider one."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np

from slo.usage.messages import MOST, Counts

K = TypeVar("K")
# Of a key the next wider one, which stands for it where there is no room; None of the widest.
Wider = Callable[[K], K | None]


def breadth(key: K, wider: Wider[K]) -> int:
    """How many steps a key is from the widest."""
    steps = 0
    while (further := wider(key)) is not None:
        key, steps = further, steps + 1
    return steps


class Table(Generic[K]):
    """Rows of counts by key; a key that has one keeps it for good.

    Args:
        width: counts in a row.
        limit: keys of each breadth that have a row; the widest always have.
        wider: see `Wider`.
    """

    def __init__(self, width: int, limit: int, wider: Wider[K]) -> None:
        self.limit = limit
        self._wider = wider
        self._told: tuple[K, ...] = ()
        self._rows: dict[K, int] = {}
        self._held: Counter[int] = Counter()
        self._counts = np.zeros((0, width), np.int64)

    @property
    def keys(self) -> tuple[K, ...]:
        """All that have a row, in the order of the rows; the same object until there are more."""
        if len(self._told) != len(self._rows):
            self._told = tuple(self._rows)
        return self._told

    @property
    def counts(self) -> Counts:
        """`int64[keys, width]`; a copy."""
        return self._counts[: len(self._rows)].copy()

    def full(self) -> Iterable[int]:
        """The breadths of which no further key gets a row."""
        return [steps for steps, held in self._held.items() if steps and held >= self.limit]

    def add(self, keys: Sequence[K], counts: Counts) -> None:
        """Add rows of counts to keys; the sums stop at `MOST`."""
        rows = [self._row(key) for key in keys]
        if len(set(rows)) == len(rows):
            self._counts[rows] = np.minimum(self._counts[rows] + counts, MOST)
            return
        for row, count in zip(rows, counts, strict=True):
            self._counts[row] = np.minimum(self._counts[row] + count, MOST)

    def save(self) -> tuple[tuple[K, ...], Counts]:
        """What `restore` takes."""
        return self.keys, self.counts

    def restore(self, keys: Sequence[K], counts: Counts) -> None:
        """Take what was saved, into an empty table; all of it has room, whatever the limit is now."""
        for key in keys:
            if key not in self._rows:
                self._new(key)
        self.add(keys, counts)

    def _row(self, key: K) -> int:
        while True:
            row = self._rows.get(key)
            if row is not None:
                return row
            wider = self._wider(key)
            if wider is None or self._held[breadth(key, self._wider)] < self.limit:
                return self._new(key)
            key = wider

    def _new(self, key: K) -> int:
        row = self._rows[key] = len(self._rows)
        self._held[breadth(key, self._wider)] += 1
        if row >= len(self._counts):
            more = np.zeros((max(8, len(self._counts)), self._counts.shape[1]), np.int64)
            self._counts = np.concatenate([self._counts, more])
        return row
