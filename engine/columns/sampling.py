"""From a batch of spans to samples of what is watched: counts, sums and sketches by entity and interval.

The measurer reads a batch once for objectives and monitors; this is the monitors' part, a few numpy passes a
feature. Only samples leave for the shards.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.columns._cache import Cache
from engine.columns._shared import Classes, Numbers, Shared
from slo.anomalies.gathering import overdue
from slo.anomalies.messages import EntityKey, Example, Part, Sample
from slo.anomalies.model import Feature, Monitor
from slo.anomalies.sketch import bins_of
from slo.columns import Field
from slo.plan import anomaly_shard_of

# Above so many cells a dense table costs more than sorting the rows.
DENSE_CELLS = 400_000
# Entities whose shards are remembered.
_REMEMBERED = 100_000
_STATUS, _ERROR = Field("intrinsic", "status"), 2
_Ints = NDArray[np.int64]

Apart = Callable[[str, int], None]


class SpanSampler:
    """Samples what monitors watch in spans.

    Args:
        monitors: those over metrics are passed over.
        shards: number of virtual shards.
        apart: told (reason, count) of events that a monitor means and that are not judged: `late`, and
            `no_number` where an attribute is none.
    """

    def __init__(
        self,
        monitors: Sequence[Monitor],
        shards: int,
        apart: Apart = lambda _reason, _count: None,
    ) -> None:
        self._monitors = [m for m in monitors if m.spans is not None]
        self._generations = {m.id: m.generation for m in self._monitors}
        self._shards = shards
        self._apart = apart
        self._homes: Cache[tuple[str, tuple[str, ...]], tuple[EntityKey, str]] = Cache(_REMEMBERED)

    @property
    def fields(self) -> frozenset[Field]:
        """Every field that a batch must have."""
        if not self._monitors:
            return frozenset()
        return frozenset({_STATUS}).union(*(monitor.fields for monitor in self._monitors))

    def sample(
        self,
        shared: Shared,
        seconds: _Ints,
        placeable: NDArray[np.bool_],
        clock: float,
    ) -> Iterator[tuple[str, Sample]]:
        """(shard, sample) of what a batch holds.

        Args:
            shared: the batch.
            seconds: `int64[n]`, Unix seconds in which each span ended.
            placeable: `bool[n]`, those that have an end that is not ahead of its time.
            clock: Unix seconds of the batch's arrival.
        """
        for monitor in self._monitors:
            if monitor.spans is None:
                continue
            rows = np.flatnonzero(shared.mask(monitor.spans) & placeable)
            ends = (seconds[rows] // monitor.every + 1) * monitor.every
            timely = ends > overdue(clock)
            if not timely.all():
                self._apart("late", int((~timely).sum()))
                rows, ends = rows[timely], ends[timely]
            if len(rows):
                yield from self._of(monitor, shared, rows, ends)

    def _of(
        self, monitor: Monitor, shared: Shared, rows: _Ints, ends: _Ints
    ) -> Iterator[tuple[str, Sample]]:
        classes = shared.classes(monitor.by)
        cells = _Cells(classes, rows, ends, monitor.every)
        parts = [self._parts(feature, shared, cells) for feature in monitor.features]
        examples = _examples(shared, cells)
        found = zip(cells.classes, cells.ends, cells.events.tolist(), strict=True)
        for number, (class_, end, events) in enumerate(found):
            entity, shard = self._home(monitor, classes.values[class_])
            yield (
                shard,
                Sample(
                    entity,
                    end,
                    events,
                    tuple(part[number] for part in parts),
                    tuple(examples.get(number, ())),
                ),
            )

    def _home(self, monitor: Monitor, group: tuple[str, ...]) -> tuple[EntityKey, str]:
        home = self._homes.get((monitor.id, group))
        if home is None:
            service = monitor.service_of(group)
            entity = EntityKey(monitor.id, group, service, self._generations[monitor.id])
            home = entity, anomaly_shard_of(service, self._shards)
            self._homes.put((monitor.id, group), home)
        return home

    def _parts(self, feature: Feature, shared: Shared, cells: "_Cells") -> list[Part]:
        if feature.of is not None:
            return self._numeric(feature, shared.numbers(feature.of), cells)
        events = cells.events.tolist()
        bad = None
        if feature.bad is not None:
            bad = shared.mask(feature.bad)[cells.rows]
        elif feature.kind == "errors":
            bad = _failed(shared, cells.rows)
        if bad is None:
            return [Part(n) for n in events]
        those = cells.count(bad).tolist()
        if feature.kind == "rate":
            return [Part(n) for n in those]
        return [Part(n, float(m)) for n, m in zip(events, those, strict=True)]

    def _numeric(self, feature: Feature, numbers: Numbers, cells: "_Cells") -> list[Part]:
        where, values = cells.ids, numbers.values[cells.rows]
        if not numbers.complete:
            unusable = int(np.count_nonzero(numbers.unusable[cells.rows]))
            if unusable:
                self._apart("no_number", unusable)
            usable = numbers.usable[cells.rows]
            where, values = where[usable], values[usable]
        events = np.bincount(where, minlength=len(cells.events))
        if feature.kind == "quantile":
            sketches = _sketches(where, values, len(cells.events))
            return [Part(n, 0.0, s) for n, s in zip(events.tolist(), sketches, strict=True)]
        sums = np.bincount(where, values, minlength=len(cells.events))
        return [Part(n, s) for n, s in zip(events.tolist(), sums.tolist(), strict=True)]


class _Cells:
    """Rows by entity and interval; the cells that have any.

    Attributes:
        rows: `int64[m]`, rows of the batch.
        ids: `int64[m]`, each row's cell.
        classes: of each cell, the row class.
        ends: of each cell, the interval's end.
        events: `int64[cells]`, rows.
    """

    def __init__(self, classes: Classes, rows: _Ints, ends: _Ints, every: int) -> None:
        first = int(ends.min())
        intervals = (int(ends.max()) - first) // every + 1
        combined = classes.ids[rows] * intervals + (ends - first) // every
        used, self.ids, self.events = _numbered(combined, len(classes.values) * intervals)
        self.rows = rows
        numbers, places = np.divmod(used, intervals)
        self.classes: list[int] = numbers.tolist()
        self.ends: list[int] = (places * every + first).tolist()

    def count(self, which: NDArray[np.bool_]) -> _Ints:
        """How many of these rows are in each cell."""
        return np.bincount(self.ids[which], minlength=len(self.events))


def _numbered(ids: _Ints, size: int) -> tuple[_Ints, _Ints, _Ints]:
    """The distinct ids below a size, each one's index among them, and how often each is there."""
    if size > DENSE_CELLS:
        return np.unique(ids, return_inverse=True, return_counts=True)
    counts = np.bincount(ids, minlength=size)
    used = np.flatnonzero(counts)
    index = np.empty(size, np.int64)
    index[used] = np.arange(len(used))
    return used, index[ids], counts[used]


def _sketches(
    where: _Ints, values: NDArray[np.float64], cells: int
) -> list[Mapping[int, float] | None]:
    """The sketch of each cell's values; None of none."""
    sketches: list[Mapping[int, float] | None] = [None] * cells
    if not len(values):
        return sketches
    bins = bins_of(values)
    first = int(bins.min())
    width = int(bins.max()) - first + 1
    used, _, counts = _numbered(where * width + (bins - first), cells * width)
    owners, numbers = np.divmod(used, width)
    edges = np.flatnonzero(np.diff(owners, prepend=-1)).tolist()
    every_number, every_count = (numbers + first).tolist(), counts.tolist()
    for start, stop in zip(edges, [*edges[1:], len(used)], strict=True):
        parts = zip(every_number[start:stop], every_count[start:stop], strict=True)
        sketches[int(owners[start])] = dict(parts)
    return sketches


def _failed(shared: Shared, rows: _Ints) -> NDArray[np.bool_]:
    failed: NDArray[np.bool_] = shared.batch.columns[_STATUS].bits[rows] == _ERROR
    return failed


def _examples(shared: Shared, cells: _Cells) -> dict[int, list[Example]]:
    """The slowest span of each cell, and its last one that failed."""
    batch = shared.batch
    durations = (batch.end_ns[cells.rows] - batch.start_ns[cells.rows]).view(np.int64)
    longest = np.full(len(cells.events), np.iinfo(np.int64).min)
    np.maximum.at(longest, cells.ids, durations)
    failed = _failed(shared, cells.rows)
    picked = np.full((2, len(cells.events)), -1)
    for number, which in enumerate((durations == longest[cells.ids], failed)):
        places = np.flatnonzero(which)
        picked[number, cells.ids[places]] = places  # of several in a cell the last one stands
    found: dict[int, list[Example]] = {}
    for cell, pair in enumerate(picked.T.tolist()):
        for place in {place for place in pair if place >= 0}:
            trace_id = batch.trace_ids[cells.rows[place]]
            if trace_id.any():
                example = Example(
                    bool(failed[place]), int(durations[place]), trace_id.tobytes().hex()
                )
                found.setdefault(cell, []).append(example)
    return found
