"""Rolling windows over event time: rings of counts in levels of growing granularity.

A shard's series are rows of arrays. Level 0 has buckets of 5 s and answers the windows from 5 min
to under 30 min; each further level is coarser and answers longer windows, so that every window has at
least 60 buckets and its far edge lies within 1.7 % of its length. A level passes on what a coarser
level must know only when that level's bucket closes, or when something late belongs there:

* `carry` is what a level has counted since the next level's current bucket began. When that
  bucket closes, the carry becomes one deposit for the next level and starts again at zero.
* The sum over a window of level k is therefore `sums` of level k (closed buckets) plus the
  carries of all finer levels (the open rest); `slo.decider` adds them up.

Counts are integers and are added and subtracted, never decayed, so a window is exact to its
bucket's edge for ever. Late events go to the bucket they belong to, at every level.
"""

from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slo._packed import Packed, pack, unpack

# Each divides the next: a bucket that straddles an edge above would be counted on the wrong side of it.
GRANULARITIES = (5, 30, 90, 900, 7200)
BUCKETS_PER_WINDOW = 60
SHORTEST_WINDOW = GRANULARITIES[0] * BUCKETS_PER_WINDOW
# Windows end at a bucket's edge. Where buckets are short (30 s and less) the oldest, partial one is left
# out, so that an alert ends no later than it must; where they are long it is kept, so that no alert
# fires only because a quarter of an hour of good events has just dropped out.
_WHOLE_FROM = 90
# A bucket of 90 s or less nearly always holds under 2^31 events: up to 23 million a second and series.
_WIDE_FROM = 900
_MOST_NARROW = 2**31 - 1

Counts = NDArray[np.int64]


def level_of(window: int) -> int:
    """The index of the level that answers a window of so many seconds.

    >>> [level_of(w) for w in (300, 1800, 3600, 7200, 86400, 30 * 86400)]
    [0, 1, 1, 2, 3, 4]
    """
    fitting = [i for i, g in enumerate(GRANULARITIES) if g * BUCKETS_PER_WINDOW <= window]
    return fitting[-1] if fitting else 0


def reach(window: int, granularity: int) -> int:
    """How many buckets, the open one included, make up a window of so many seconds.

    >>> reach(300, 5), reach(259200, 900)
    (60, 289)
    """
    return window // granularity + (granularity >= _WHOLE_FROM)


class Entries(NamedTuple):
    """Counts to add: parallel arrays, one element a (series, time).

    Attributes:
        rows: `int64[m]`, the series' row.
        times: `int64[m]`, Unix seconds, of any bucket-aligned or other moment inside the bucket.
        counts: `int64[m, 2]`, (bad, total); negative corrections are allowed.
    """

    rows: NDArray[np.int64]
    times: NDArray[np.int64]
    counts: Counts

    @staticmethod
    def none() -> "Entries":
        """No entries."""
        return Entries(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 2), np.int64))

    def where(self, mask: NDArray[np.bool_]) -> "Entries":
        """The entries that the mask keeps."""
        return Entries(self.rows[mask], self.times[mask], self.counts[mask])

    def also(self, other: "Entries") -> "Entries":
        """These and the other's."""
        if not len(other.rows):
            return self
        if not len(self.rows):
            return other
        return Entries(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


@dataclass(slots=True)
class Level:
    """One granularity of a shard's windows.

    Attributes:
        granularity: seconds a bucket.
        windows: seconds of the windows answered here, ascending, exact to the bucket.
        parent: seconds a bucket of the next coarser level, None for the last.
        length: buckets kept: those of the longest window.
        head: number (Unix time // granularity) of the open bucket; -1 before the first.
        ring: `int[length, capacity, 2]`, bucket `b` at `b % length`, (bad, total) a row.
        sums: `int64[capacity, windows, 2]`, running sums over each window.
        carry: `int64[capacity, 2]`, counted here since the parent's open bucket began.
        rows: rows in use.
        resumed: it comes from a snapshot and has told nobody yet what it holds.
    """

    granularity: int
    windows: tuple[int, ...]
    parent: int | None
    length: int = field(init=False)
    head: int = -1
    rows: int = 0
    resumed: bool = False
    ring: NDArray[np.signedinteger] = field(init=False)
    sums: Counts = field(init=False)
    carry: Counts = field(init=False)

    def __post_init__(self) -> None:
        # A level without windows still needs a ring of one bucket for its arithmetic to hold.
        self.length = max((reach(w, self.granularity) for w in self.windows), default=1)
        dtype = np.int64 if self.granularity >= _WIDE_FROM else np.int32
        self.ring = np.zeros((self.length, 0, 2), dtype)
        self.sums = np.zeros((0, len(self.windows), 2), np.int64)
        self.carry = np.zeros((0, 2), np.int64)

    def grow(self, rows: int) -> None:
        """Make room for at least so many rows."""
        capacity = self.ring.shape[1]
        if rows > capacity:
            more = max(rows, 2 * capacity, 8) - capacity
            self.ring = np.pad(self.ring, ((0, 0), (0, more), (0, 0)))
            self.sums = np.pad(self.sums, ((0, more), (0, 0), (0, 0)))
            self.carry = np.pad(self.carry, ((0, more), (0, 0)))
        self.rows = max(self.rows, rows)

    def changes_at(self, bucket: int) -> bool:
        """Whether any window's sum would change by advancing to this bucket, the one after `head`."""
        return any(
            bool(self.ring[(bucket - reach(w, self.granularity)) % self.length, : self.rows].any())
            for w in self.windows
        )

    def advance(self, clock: int) -> Entries | None:
        """Move the windows on to a moment (Unix seconds); a clock that goes back moves nothing.

        Returns:
            None where the parent's open bucket stays the same, otherwise what the parent has to
            count for the bucket that closed (perhaps nothing: it still has to move on itself). After a
            restart the parent always hears of the first move, so that every level tells its sums
            once, for the windows that it has now.
        """
        closed = self._advance(clock)
        if self.resumed:
            self.resumed = False
            if closed is None and self.parent:
                return Entries.none()
        return closed

    def _advance(self, clock: int) -> Entries | None:
        head = clock // self.granularity
        if self.head < 0:
            self.head = head
            return Entries.none() if self.parent else None
        if head <= self.head:
            return None
        closed = self._close(clock)
        if head - self.head >= self.length:
            self.ring[:] = 0
            self.sums[:] = 0
        else:
            for bucket in range(self.head + 1, head + 1):
                for i, window in enumerate(self.windows):
                    leaving = (bucket - reach(window, self.granularity)) % self.length
                    self.sums[:, i] -= self.ring[leaving]
                self.ring[bucket % self.length] = 0
        self.head = head
        return closed

    def _close(self, clock: int) -> Entries | None:
        if self.parent is None:
            return None
        before = self.head * self.granularity // self.parent
        if clock // self.parent == before:
            return None
        rows = np.flatnonzero(self.carry[: self.rows].any(axis=1))
        closed = Entries(
            rows, np.full(len(rows), before * self.parent, np.int64), self.carry[rows].copy()
        )
        self.carry[:] = 0
        return closed

    def deposit(self, entries: Entries) -> Entries:
        """Count entries where they belong; nothing may be newer than the open bucket.

        Returns:
            What is older than the parent's open bucket and so is the parent's to count too.
        """
        if not len(entries.rows):
            return entries
        self.grow(int(entries.rows.max()) + 1)
        buckets = entries.times // self.granularity
        inside = buckets > self.head - self.length
        # Nearly always everything is inside: skip the copies.
        here, numbers = (
            (entries, buckets) if inside.all() else (entries.where(inside), buckets[inside])
        )
        at = (numbers % self.length, here.rows)
        self._widen(at, here.counts)
        np.add.at(self.ring, at, here.counts)
        for i, window in enumerate(self.windows):
            within = numbers > self.head - reach(window, self.granularity)
            if within.all():
                np.add.at(self.sums[:, i], here.rows, here.counts)
            else:
                np.add.at(self.sums[:, i], here.rows[within], here.counts[within])
        if self.parent is None:
            return Entries.none()
        opened = self.head * self.granularity // self.parent * self.parent
        recent = entries.times >= opened
        if recent.all():
            np.add.at(self.carry, entries.rows, entries.counts)
            return Entries.none()
        np.add.at(self.carry, entries.rows[recent], entries.counts[recent])
        return entries.where(~recent)

    def _widen(self, at: tuple[NDArray[np.int64], NDArray[np.int64]], counts: Counts) -> None:
        """Go over to 64 bits for good where a cell might outgrow 32: a counter may jump by any number."""
        if self.ring.dtype == np.int32 and len(counts):
            held = float(np.abs(self.ring[at].astype(np.float64)).max())
            if held + float(np.abs(counts).sum(dtype=np.float64)) > _MOST_NARROW:
                self.ring = self.ring.astype(np.int64)

    def trimmed(self) -> "Level":
        """This level without spare capacity: what a recovery snapshot keeps, to be pickled at once."""
        view = Level(self.granularity, self.windows, self.parent)
        view.head, view.rows, view.resumed = self.head, self.rows, True
        view.ring = self.ring[:, : self.rows]
        view.sums = self.sums[: self.rows]
        view.carry = self.carry[: self.rows]
        return view

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled."""
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        return state | {"ring": pack(self.ring)}

    def __setstate__(self, state: dict[str, Any] | tuple[None, dict[str, Any]]) -> None:
        """Take up what was pickled; earlier versions pickled the attributes as they are."""
        kept = state[1] if isinstance(state, tuple) else state
        for name, value in kept.items():
            setattr(self, name, unpack(value) if isinstance(value, Packed) else value)

    def fitted(self, windows: tuple[int, ...], parent: int | None) -> "Level":
        """This level for another set of windows, with the history it has: after SLOs changed."""
        if windows == self.windows and parent == self.parent:
            return self
        level = Level(self.granularity, windows, parent)
        level.grow(self.rows)
        level.head, level.resumed = self.head, self.resumed
        level.ring = level.ring.astype(self.ring.dtype, copy=False)
        level.carry[: self.rows] = self.carry[: self.rows]
        for bucket in range(self.head - min(self.length, level.length) + 1, self.head + 1):
            level.ring[bucket % level.length, : self.rows] = self.ring[
                bucket % self.length, : self.rows
            ]
        for i, window in enumerate(windows):
            buckets = min(reach(window, self.granularity), self.length)
            kept = range(self.head - buckets + 1, self.head + 1)
            positions = np.array([bucket % level.length for bucket in kept])
            level.sums[: self.rows, i] = level.ring[positions, : self.rows].sum(
                axis=0, dtype=np.int64
            )
        return level


def build_levels(windows: set[int]) -> tuple[Level, ...]:
    """One empty level a granularity, each with those of the windows that it answers.

    Args:
        windows: seconds each.

    Raises:
        ValueError: a window is shorter than 5 minutes.
    """
    if any(window < SHORTEST_WINDOW for window in windows):
        raise ValueError("windows are at least 5 minutes long: 60 buckets of 5 s")
    parents = (*GRANULARITIES[1:], None)
    return tuple(
        Level(g, tuple(sorted(w for w in windows if level_of(w) == i)), parents[i])
        for i, g in enumerate(GRANULARITIES)
    )
