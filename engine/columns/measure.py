"""From payloads to counts: select, group and count where the data lies.

One `Measurer` a worker. A batch of spans becomes columns, selectors become masks, rows become classes
of equal group and explanation values, and only counts by (series, bucket) leave for the shards.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.columns import _grouping, content, spans
from engine.columns._grouping import count, group_rows
from engine.columns._places import Places
from engine.columns.points import LONGEST_VALUE, PointReader
from engine.columns.spans import Reader, Refused
from engine.spool.arrivals import Arrivals
from slo.admitted import Admitted
from slo.columns import Field, Kind, SpanBatch
from slo.decision import SeriesKey
from slo.explain import merged_values, named_dimensions
from slo.increments import Point
from slo.masks import fields, mask
from slo.messages import Deposit, Tally
from slo.model import HistogramSli, Objective, SpanSli
from slo.traceql import Filter
from slo.windows import GRANULARITIES, Entries

BUCKET = GRANULARITIES[0]
# Above so many cells a dense table of (class, bucket) costs more than sorting the rows.
DENSE_CELLS = 400_000
# An exponential histogram hardly ever has an edge at the bound; one this near it is not worth a word.
NEAR_EDGE = 0.95
LATEST_NS = 2**64 - 1
# How long after its bucket had closed an event came: seconds at most, and the classes' names.
AGES = (30, 300, 3600, 86400)
AGE_NAMES = ("30s", "5m", "1h", "1d", "more")

T = TypeVar("T", bound=Hashable)
Report = Callable[[str, str], None]
Apart = Callable[[str, int], None]
Edge = Callable[[str, str, float], None]


@dataclass(slots=True)
class Measured:
    """What one batch of arrivals held, told after it was measured.

    Attributes:
        clock_ns: of their arrival, Unix nanoseconds.
        ahead_ns: how far that is ahead of the senders' clocks.
        spans: read, whether or not an SLO counts them.
        points: metric points that an SLO selects.
        skewed: of both, those ahead of their arrival, by no more than the skew that is allowed.
        late: by (signal, age), events of SLOs (spans) and points that came after their bucket of
            level 0 had closed.
    """

    clock_ns: int
    ahead_ns: int = 0
    spans: int = 0
    points: int = 0
    skewed: int = 0
    late: Counter[tuple[str, str]] = field(default_factory=Counter)

    def place(self, signal: str, time: int, count: int) -> None:
        """Note how late events are that ended at a second of the clock."""
        age = self.clock_ns // 10**9 - (time // BUCKET + 1) * BUCKET
        if age >= 0:
            self.late[signal, AGE_NAMES[bisect_left(AGES, age)]] += count

    def point(self, time_ns: int) -> None:
        """Note a metric point by the time that its sender gave it."""
        placed = time_ns + self.ahead_ns
        self.skewed += placed > self.clock_ns
        self.place("metrics", placed // 10**9, 1)


@dataclass(slots=True)
class _Classes:
    """Rows grouped by the values of some fields."""

    ids: NDArray[np.int64]
    values: list[tuple[str, ...]]


@dataclass(slots=True)
class _Shard:
    """What is gathered for one shard."""

    keys: dict[SeriesKey, int] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    counts: list[tuple[int, int]] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)

    def add(self, key: SeriesKey, time: int, bad: int, total: int) -> None:
        self.rows.append(self.keys.setdefault(key, len(self.keys)))
        self.times.append(time)
        self.counts.append((bad, total))


class Measurer:
    """Counts arrivals for the shards.

    Args:
        objectives: what to count.
        shards: number of virtual shards.
        skew: seconds that an event may be ahead of its arrival; further ahead it is counted apart.
        refused: told (signal, reason) of a payload that can't be decoded.
        apart: told (reason, count) of what is counted in no SLO: spans that are ahead of their time
            (`future`) or have none (`no_end_time`), and metric points that cannot be counted.
        edge: told once (objective, metric, edge) where a histogram is split at a bucket edge well
            below the objective's bound, because it has none there.
        measured: told what each batch of arrivals held.
        overflowed: told how many metric points came without attributes, as their writer had too many.
        admitted: see `slo.plan.Plan`.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        shards: int,
        skew: float,
        refused: Report = lambda _signal, _reason: None,
        apart: Apart = lambda _reason, _count: None,
        edge: Edge = lambda _objective, _metric, _edge: None,
        measured: Callable[[Measured], None] = lambda _measured: None,
        overflowed: Callable[[int], None] = lambda _points: None,
        admitted: Admitted | None = None,
    ) -> None:
        self.shards = [str(n) for n in range(shards)]
        self.skew_ns = int(skew * 1e9)
        self.refused = refused
        self.apart = apart
        self.edge = edge
        self.measured = measured
        self._found = Measured(0)
        self._spans = [_SpanObjective(o) for o in objectives if isinstance(o.sli, SpanSli)]
        self._generations = {o.id: o.generation for o in objectives}
        wanted = {f for o in self._spans for f in o.fields}
        self._reader = Reader(wanted) if self._spans else None
        metric_objectives = [o for o in objectives if o.signal == "metrics"]
        self._ignored: Counter[str] = Counter()
        self._bounds = {o.id: o.sli.above for o in objectives if isinstance(o.sli, HistogramSli)}
        self._edges: set[tuple[str, str]] = set()
        self._points = PointReader(metric_objectives) if metric_objectives else None
        self._places = Places(shards, admitted or Admitted())
        self.overflowed = overflowed
        self._overflowed = 0

    def measure(self, arrivals: Arrivals) -> list[tuple[str, Deposit]]:
        """One deposit for each shard that something arrived for; for all on a tick."""
        gathered: dict[str, _Shard] = {}
        clock_ns = min(int(arrivals.clock * 1e9), LATEST_NS)
        self._found = Measured(clock_ns, arrivals.ahead_ns)
        limit_ns = min(clock_ns + self.skew_ns + arrivals.doubt_ns, LATEST_NS)
        if arrivals.traces and self._reader:
            batch = self._read(self._reader, arrivals.traces)
            if len(batch):
                ends = _placed(batch.end_ns, arrivals.ahead_ns)
                self._count_spans(batch, ends, clock_ns, limit_ns, gathered)
        if arrivals.metrics and self._points:
            # Points keep the time that their writer gave them: increments compare it.
            limit_ns -= arrivals.ahead_ns
            self._gather_points(self._points, arrivals.metrics, limit_ns, gathered)
            self.overflowed(self._points.overflowed - self._overflowed)
            self._overflowed = self._points.overflowed
        self.measured(self._found)
        touched: Iterable[str] = self.shards if arrivals.tick else gathered
        return [(shard, _deposit(shard, arrivals, gathered.get(shard))) for shard in touched]

    def _read(self, reader: Reader, payloads: Sequence[bytes]) -> SpanBatch:
        while True:
            try:
                return reader.read(payloads)
            except Refused as refusal:
                self.refused("traces", str(refusal))
                payloads = [p for i, p in enumerate(payloads) if i != refusal.index]

    def _count_spans(
        self,
        batch: SpanBatch,
        ends: NDArray[np.uint64],
        clock_ns: int,
        limit_ns: int,
        gathered: dict[str, _Shard],
    ) -> None:
        placeable = self._placeable(ends, limit_ns)
        seconds = (np.minimum(ends, np.uint64(clock_ns)) // np.uint64(10**9)).astype(np.int64)
        numbers = seconds // BUCKET
        buckets, ids = _number_buckets(numbers)
        masks: dict[Filter, NDArray[np.bool_]] = {}
        classes: dict[tuple[Field, ...], _Classes] = {}
        for objective in self._spans:
            total = _masked(masks, objective.sli.total, batch) & placeable
            if not total.any():
                continue
            bad = (
                _masked(masks, objective.sli.bad, batch)
                if objective.sli.bad is not None
                else ~_masked(masks, _good(objective.sli), batch)
            )
            bad = bad & total
            if objective.columns not in classes:
                classes[objective.columns] = _classify(batch, objective.columns)
            grouped = classes[objective.columns]
            found = _count(grouped, ids, len(buckets), total, bad)
            examples = _examples(batch, grouped.ids, bad)
            self._gather(objective, grouped, found, buckets, examples, gathered)

    def _placeable(self, ends: NDArray[np.uint64], limit_ns: int) -> NDArray[np.bool_]:
        """Rows with an end time that is not too far ahead; the others are counted apart."""
        ended = ends != 0
        due = ends <= np.uint64(limit_ns)
        if not ended.all():
            self.apart("no_end_time", int((~ended).sum()))
        self._found.spans += len(ends)
        future = 0
        if not due.all():
            future = int((~due).sum())
            self.apart("future", future)
        self._found.skewed += int(np.count_nonzero(ends > np.uint64(self._found.clock_ns))) - future
        placeable: NDArray[np.bool_] = ended & due
        return placeable

    def _gather(
        self,
        objective: "_SpanObjective",
        grouped: _Classes,
        found: "_Cells",
        buckets: NDArray[np.int64],
        examples: Mapping[int, list[str]],
        gathered: dict[str, _Shard],
    ) -> None:
        width = len(objective.by)
        generation = self._generations[objective.id]
        classes, cells = np.unique(found.classes, return_inverse=True)
        values = [grouped.values[class_] for class_ in classes.tolist()]
        places = _Numbered(
            self._places.of(SeriesKey(objective.id, one[:width], generation)) for one in values
        )
        seconds = (buckets * BUCKET).tolist()
        sums = _added(places.ids[cells] * len(buckets) + found.buckets, found.counts)
        for cell, bad, total in sums:
            number, bucket = divmod(cell, len(buckets))
            place = places.distinct[number]
            _shard(place.shard, gathered).add(place.key, seconds[bucket], bad, total)
        overall = {
            bucket: (bad, total) for bucket, bad, total in _added(found.buckets, found.counts)
        }
        for bucket, (_, total) in overall.items():
            self._found.place("traces", seconds[bucket], total)
        if width:
            whole = self._places.of(SeriesKey(objective.id, None, generation))
            shard = _shard(whole.shard, gathered)
            for bucket, (bad, total) in overall.items():
                shard.add(whole.key, seconds[bucket], bad, total)
        if objective.explain:
            named = objective.named
            told = _Numbered(
                (place, merged_values(one[width:], named) if place.shared else one[width:])
                for place, one in zip(places.all(), values, strict=True)
            )
            traces = {
                told.ids[at]: examples[class_]
                for at, class_ in enumerate(classes.tolist())
                if class_ in examples
            }
            for number, bad, total in _added(told.ids[cells], found.counts):
                place, explained = told.distinct[number]
                ids = tuple(traces.get(number, ()))
                tally = Tally(place.key, explained, bad, total, ids)
                _shard(place.shard, gathered).tallies.append(tally)

    def _gather_points(
        self,
        reader: PointReader,
        payloads: Sequence[bytes],
        limit_ns: int,
        gathered: dict[str, _Shard],
    ) -> None:
        for payload in payloads:
            try:
                points = reader.read(payload)
            except Refused as refusal:
                self.refused("metrics", str(refusal))
                continue
            self._found.points += len(points)
            for point in points:
                if point.time_ns > limit_ns:
                    # It would keep its stream deaf until then.
                    self.apart("future", 1)
                    continue
                self._found.point(point.time_ns)
                # All points of an objective go to one shard: increments need to see them all.
                key = SeriesKey(point.objective, None, self._generations[point.objective])
                _shard(self._places.of(key).shard, gathered).points.append(point)
        for reason, ignored in (reader.ignored - self._ignored).items():
            self.apart(reason, ignored)
        self._ignored = reader.ignored.copy()
        for objective, metric in reader.edges.keys() - self._edges:
            self._edges.add((objective, metric))
            edge = reader.edges[objective, metric]
            if edge < NEAR_EDGE * self._bounds[objective]:
                self.edge(objective, metric, edge)


def _placed(ends: NDArray[np.uint64], ahead_ns: int) -> NDArray[np.uint64]:
    """End times on the engine's clock, which is ahead of the senders'; 0 stays 0, for none."""
    if not ahead_ns:
        return ends
    later = np.minimum(ends, np.uint64(LATEST_NS - ahead_ns)) + np.uint64(ahead_ns)
    return np.where(ends == 0, ends, later)


class _SpanObjective:
    """An objective over spans with the fields that it needs worked out."""

    def __init__(self, objective: Objective) -> None:
        if not isinstance(objective.sli, SpanSli):
            raise TypeError(f"{objective.id} does not count spans")
        self.id = objective.id
        self.sli = objective.sli
        self.by = objective.by
        self.explain = objective.explain
        self.named = named_dimensions(objective)
        self.columns = objective.by + objective.explain
        filters = (self.sli.total, self.sli.bad, self.sli.good)
        self.fields = set(self.columns).union(*(fields(f) for f in filters if f is not None))


def _good(sli: SpanSli) -> Filter:
    if sli.good is None:
        raise ValueError("an SLI has either bad or good")
    return sli.good


def _masked(
    masks: dict[Filter, NDArray[np.bool_]], filter_: Filter, batch: SpanBatch
) -> NDArray[np.bool_]:
    """A filter's mask over the batch, computed once however many objectives share the filter."""
    found = masks.get(filter_)
    if found is None:
        found = masks[filter_] = mask(filter_, batch)
    return found


def _number_buckets(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct bucket numbers, and each row's index among them."""
    low, high = int(numbers.min()), int(numbers.max())
    if high - low < 64:
        return np.arange(low, high + 1), numbers - low
    distinct, ids = np.unique(numbers, return_inverse=True)
    return distinct, ids


def _classify(batch: SpanBatch, columns: tuple[Field, ...]) -> _Classes:
    """Group the rows by the values of the columns; no columns make one class."""
    if not columns:
        return _Classes(np.zeros(len(batch), np.int64), [()])
    kinds = np.stack([batch.columns[f].kinds for f in columns])
    bits = np.stack([batch.columns[f].bits for f in columns])
    ids, firsts = group_rows(kinds, bits)
    texts = [_texts(kinds[i, firsts], bits[i, firsts], batch.strings) for i in range(len(columns))]
    return _Classes(ids, list(zip(*texts, strict=True)))


def _texts(kinds: NDArray[np.uint8], bits: NDArray[np.int64], strings: Sequence[str]) -> list[str]:
    """Values as label text, cut to a length; absent and uncomparable ones are empty."""
    if not kinds.any():
        return [""] * len(kinds)
    floats = bits.view(np.float64)
    texts = []
    for i, (kind, value) in enumerate(zip(kinds.tolist(), bits.tolist(), strict=True)):
        if kind == Kind.STRING:
            texts.append(strings[value][:LONGEST_VALUE])
        elif kind == Kind.INT:
            texts.append(str(value))
        elif kind == Kind.FLOAT:
            texts.append(repr(float(floats[i])))
        elif kind == Kind.BOOL:
            texts.append("true" if value else "false")
        else:
            texts.append("")
    return texts


class _Cells(NamedTuple):
    """Events by class and bucket; parallel arrays of the cells that have any.

    Attributes:
        classes: the row classes.
        buckets: numbers of buckets.
        counts: `int64[n, 2]`, (bad, total).
    """

    classes: NDArray[np.int64]
    buckets: NDArray[np.int64]
    counts: NDArray[np.int64]


def _count(
    grouped: _Classes,
    buckets: NDArray[np.int64],
    n_buckets: int,
    total: NDArray[np.bool_],
    bad: NDArray[np.bool_],
) -> _Cells:
    """Count rows by class and bucket."""
    n_classes = len(grouped.values)
    if n_classes * n_buckets <= DENSE_CELLS:
        counts = count(grouped.ids, buckets, total, bad, n_classes, n_buckets)
        at = np.nonzero(counts[:, :, 1])
        return _Cells(at[0], at[1], counts[at])
    combined = (grouped.ids * n_buckets + buckets)[total]
    distinct, ids = np.unique(combined, return_inverse=True)
    totals = np.bincount(ids, minlength=len(distinct))
    bads = np.bincount(ids[bad[total]], minlength=len(distinct))
    return _Cells(*np.divmod(distinct, n_buckets), np.stack([bads, totals], axis=1))


class _Numbered(Generic[T]):
    """Things, each distinct one with a number.

    Attributes:
        ids: the number of each.
        distinct: by number.
    """

    def __init__(self, things: Iterable[T]) -> None:
        numbers: dict[T, int] = {}
        self.ids = np.array([numbers.setdefault(each, len(numbers)) for each in things], np.int64)
        self.distinct = list(numbers)

    def all(self) -> Iterator[T]:
        """Each, as they came."""
        return (self.distinct[number] for number in self.ids.tolist())


def _added(ids: NDArray[np.int64], counts: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """(id, bad, total) of each distinct id."""
    distinct, at = np.unique(ids, return_inverse=True)
    sums = np.zeros((len(distinct), 2), np.int64)
    np.add.at(sums, at, counts)
    return zip(distinct.tolist(), *sums.T.tolist(), strict=True)


def _shard(name: str, gathered: dict[str, _Shard]) -> _Shard:
    found = gathered.get(name)
    if found is None:
        found = gathered[name] = _Shard()
    return found


def _examples(
    batch: SpanBatch, classes: NDArray[np.int64], bad: NDArray[np.bool_]
) -> dict[int, list[str]]:
    """Trace ids of the last few bad rows of each class that has one."""
    rows = np.flatnonzero(bad)
    if not len(rows):
        return {}
    examples: dict[int, list[str]] = {}
    found, last = np.unique(classes[rows][::-1], return_index=True)
    for class_, row in zip(found.tolist(), rows[::-1][last].tolist(), strict=True):
        trace_id = batch.trace_ids[row]
        if trace_id.any():
            examples[class_] = [trace_id.tobytes().hex()]
    return examples


def _deposit(name: str, arrivals: Arrivals, shard: _Shard | None) -> Deposit:
    if shard is None:
        return Deposit(
            shard=name,
            clock=arrivals.clock,
            live=arrivals.live,
            exact=arrivals.exact,
            watermarks=arrivals.watermarks,
            ahead_ns=arrivals.ahead_ns,
        )
    entries = Entries.none()
    if shard.rows:
        entries = Entries(
            np.array(shard.rows, np.int64),
            np.array(shard.times, np.int64),
            np.array(shard.counts, np.int64),
        )
    return Deposit(
        shard=name,
        clock=arrivals.clock,
        live=arrivals.live,
        exact=arrivals.exact,
        keys=tuple(shard.keys),
        entries=entries,
        points=tuple(shard.points),
        tallies=tuple(shard.tallies),
        watermarks=arrivals.watermarks,
        ahead_ns=arrivals.ahead_ns,
    )


def warm_up() -> None:
    """Compile the kernels, or load them from numba's cache: some seconds, or under one."""
    spans.warm_up()
    content.warm_up()
    _grouping.warm_up()
