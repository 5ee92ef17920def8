"""From counts by class and bucket to what each shard is told: sums by series, and tallies to explain them.

A batch may be of tens of thousands of series, and nearly all of this holds the interpreter's lock. So it
goes over arrays; by its name a group is only looked up.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.columns._grouping import distinct
from engine.columns._places import Found, Places
from engine.columns._shared import Classes
from slo.decision import SeriesKey
from slo.explain import Values
from slo.increments import Point
from slo.messages import Tally
from slo.plan import beside
from slo.windows import Entries

Numbers = NDArray[np.int64]


class Cells(NamedTuple):
    """Events by class and bucket; parallel arrays of the cells that have any.

    Attributes:
        classes: the row classes.
        buckets: numbers of buckets.
        counts: `int64[n, 2]`, (bad, total).
    """

    classes: Numbers
    buckets: Numbers
    counts: Numbers

    def totals(self, buckets: int) -> list[int]:
        """All events of each of so many buckets."""
        found: list[int] = _added(self.buckets, buckets, self.counts)[:, 1].tolist()
        return found


class Counted(NamedTuple):
    """Whose events were counted.

    Attributes:
        objective: its id.
        generation: what it counts.
        width: how many of the classes' values name the group; the others explain.
        explains: whether any do.
        named: which of those name the group too.
    """

    objective: str
    generation: str
    width: int
    explains: bool = False
    named: tuple[int, ...] = ()


@dataclass(slots=True)
class Share:
    """What there is for one shard."""

    keys: tuple[SeriesKey, ...] = ()
    entries: Entries = field(default_factory=Entries.none)
    points: list[Point] = field(default_factory=list)
    tallies: tuple[Tally, ...] = ()


class Sums:
    """What a batch of spans held, of all objectives.

    Args:
        places: where series are kept.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._keys: list[SeriesKey] = []
        self._shards: list[Numbers] = []
        self._entries: list[Entries] = []
        self._tallies: list[Tally] = []
        self._told: list[Numbers] = []

    def add(
        self,
        counted: Counted,
        grouped: Classes,
        cells: Cells,
        seconds: Numbers,
        examples: Mapping[int, str],
    ) -> None:
        """Count an objective's events.

        Args:
            counted: the objective.
            grouped: its classes of rows.
            cells: its events.
            seconds: by number of bucket, Unix seconds.
            examples: of a class the trace id of one of its bad events.
        """
        classes, at = np.unique(cells.classes, return_inverse=True)
        found = self._find(counted, grouped, classes)
        series, firsts = distinct(found.numbers)
        keys, shards = _series(found, firsts)
        self._enter(keys, shards, series[at], cells, seconds)
        if counted.width:
            whole = self._places.of(_whole(counted))
            self._enter_whole(whole.key, whole.shard, cells, seconds)
        if counted.explains:
            values, explained = _explained(counted, grouped, classes, found)
            told, firsts = distinct(series, explained)
            self._tallies += _tallies(
                [keys[number] for number in series[firsts].tolist()],
                [values[number] for number in explained[firsts].tolist()],
                _added(told[at], len(firsts), cells.counts),
                _traces(told, classes, examples, len(firsts)),
            )
            self._told.append(shards[series[firsts]])

    def add_apart(self, counted: Counted, grouped: Classes, cells: Cells, seconds: Numbers) -> None:
        """Calls without a price that can be used, in the shard of the budget's series."""
        if not len(cells.classes):
            return
        classes, at = np.unique(cells.classes, return_inverse=True)
        found = self._find(counted, grouped, classes)
        series, firsts = distinct(found.numbers)
        keys, shards = _series(found, firsts)
        self._enter([beside(key) for key in keys], shards, series[at], cells, seconds)
        if counted.width:
            whole = self._places.of(_whole(counted))
            self._enter_whole(beside(whole.key), whole.shard, cells, seconds)

    def by_shard(self) -> Iterator[tuple[int, Share]]:
        """What each shard is to be told, of those for which there is something."""
        if not self._keys:
            return
        order, shards, starts = _sorted(np.concatenate(self._shards))
        keys = [self._keys[at] for at in order.tolist()]
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        entries = Entries(*map(np.concatenate, zip(*self._entries, strict=True)))
        entries = entries._replace(rows=place[entries.rows])
        # A key's shard is known by where it stands now.
        entered = np.argsort(entries.rows, kind="stable")
        entries = Entries(*(part[entered] for part in entries))
        edges = np.searchsorted(entries.rows, starts).tolist()
        tallies: dict[int, tuple[Tally, ...]] = {}
        if self._tallies:
            told_order, told_shards, told = _sorted(np.concatenate(self._told))
            ordered = [self._tallies[at] for at in told_order.tolist()]
            for number, start, stop in zip(told_shards, told, told[1:], strict=False):
                tallies[number] = tuple(ordered[start:stop])
        for at, number in enumerate(shards):
            start, stop = starts[at : at + 2]
            part = slice(edges[at], edges[at + 1])
            yield (
                number,
                Share(
                    keys=tuple(keys[start:stop]),
                    entries=Entries(
                        entries.rows[part] - start, entries.times[part], entries.counts[part]
                    ),
                    tallies=tallies.get(number, ()),
                ),
            )

    def _find(self, counted: Counted, grouped: Classes, classes: Numbers) -> Found:
        groups = grouped.heads(counted.width)
        if len(classes) < len(groups):
            groups = [groups[class_] for class_ in classes.tolist()]
        return self._places.of_groups(counted.objective, counted.generation, groups)

    def _enter(
        self,
        keys: Sequence[SeriesKey],
        shards: Numbers,
        series: Numbers,
        cells: Cells,
        seconds: Numbers,
    ) -> None:
        """Count cells in series, each known by its number among the keys."""
        sums, firsts = distinct(series, cells.buckets)
        self._entries.append(
            Entries(
                series[firsts] + len(self._keys),
                seconds[cells.buckets[firsts]],
                _added(sums, len(firsts), cells.counts),
            )
        )
        self._keys += keys
        self._shards.append(shards)

    def _enter_whole(self, key: SeriesKey, shard: int, cells: Cells, seconds: Numbers) -> None:
        alone = np.zeros(len(cells.classes), np.int64)
        self._enter([key], np.array([shard], np.int64), alone, cells, seconds)


def _whole(counted: Counted) -> SeriesKey:
    """The sum over all groups."""
    return SeriesKey(counted.objective, None, counted.generation)


def _series(found: Found, firsts: Numbers) -> tuple[list[SeriesKey], Numbers]:
    """The distinct series among places, and their shards."""
    numbers = found.numbers[firsts]
    return [found.keys[number] for number in numbers.tolist()], found.shards[numbers]


def _explained(
    counted: Counted, grouped: Classes, classes: Numbers, found: Found
) -> tuple[list[Values], Numbers]:
    """Combinations of the explained values, and which of them each class has in its series."""
    ids, values = grouped.tails(counted.width)
    shared = found.shared[found.numbers]
    if not shared.any():
        return values, ids[classes]
    merged, merged_values = grouped.tails(counted.width, counted.named)
    numbers = np.where(shared, merged[classes] + len(values), ids[classes])
    return [*values, *merged_values], numbers


def _traces(
    told: Numbers, classes: Numbers, examples: Mapping[int, str], size: int
) -> list[tuple[str, ...]]:
    """Of each tally the trace id of the last of its classes that has one."""
    traces: list[tuple[str, ...]] = [()] * size
    if examples:
        at = np.searchsorted(classes, np.array(list(examples), np.int64))
        for number, trace in zip(told[at].tolist(), examples.values(), strict=True):
            traces[number] = (trace,)
    return traces


def _tallies(
    keys: Sequence[SeriesKey],
    values: Sequence[Values],
    counts: Numbers,
    traces: Sequence[tuple[str, ...]],
) -> Iterator[Tally]:
    bads, totals = counts.T.tolist()
    # As `Tally(...)` for each, without a call of Python for each.
    return map(tuple.__new__, repeat(Tally), zip(keys, values, bads, totals, traces, strict=True))


def _added(ids: Numbers, size: int, counts: Numbers) -> Numbers:
    """The sums of the counts that have the same id."""
    if size == len(ids) == 1 or (size == len(ids) and bool((ids[1:] > ids[:-1]).all())):
        return counts
    sums = np.zeros((2, size), np.int64)
    for column, each in zip(sums, np.ascontiguousarray(counts.T), strict=True):
        np.add.at(column, ids, each)
    return np.ascontiguousarray(sums.T)


def _sorted(shards: Numbers) -> tuple[Numbers, list[int], list[int]]:
    """The order of shards, the distinct ones, and where each begins; the end is the last."""
    order = np.argsort(shards, kind="stable")
    numbers, starts = np.unique(shards[order], return_index=True)
    return order, numbers.tolist(), [*starts.tolist(), len(order)]
