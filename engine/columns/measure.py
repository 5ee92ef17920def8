"""From payloads to counts: select, group and count where the data lies.

One `Measurer` a worker. A batch of spans becomes columns, selectors become masks, rows become classes
of equal group and explanation values, and only counts by (series, bucket) leave for the shards.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.columns import (
    _compiled,
    _descent,
    _grouping,
    _kernel,
    _usage_kernel,
    content,
    costs,
    memory,
    spans,
)
from engine.columns._grouping import count
from engine.columns._money import count_money, price
from engine.columns._otlp_metrics import parse
from engine.columns._places import Places
from engine.columns._shared import Classes, Shared
from engine.columns._sums import Cells, Counted, Share, Sums
from engine.columns.memory import CallMemory
from engine.columns.points import PointReader
from engine.columns.sampling import SpanSampler
from engine.columns.spans import Reader, Refused
from engine.columns.usage import CallCounter, Gathered, used
from engine.columns.watching import PointWatcher
from engine.spool.arrivals import Arrivals
from slo import llm
from slo.admitted import Admitted
from slo.anomalies.messages import Sample, Sampled, WatchedPoint
from slo.anomalies.model import Monitor
from slo.columns import SpanBatch
from slo.decision import SeriesKey
from slo.explain import named_dimensions
from slo.increments import Point
from slo.masks import fields
from slo.messages import Deposit
from slo.model import HistogramSli, Objective, SpanSli, SpendSli
from slo.traceql import Filter
from slo.usage.messages import Mode, Used
from slo.windows import GRANULARITIES

BUCKET = GRANULARITIES[0]
# Above so many cells a dense table of (class, bucket) costs more than sorting the rows.
DENSE_CELLS = 400_000
# An exponential histogram hardly ever has an edge at the bound; one this near it is not worth a word.
NEAR_EDGE = 0.95
LATEST_NS = 2**64 - 1
# How long after its bucket had closed an event came: seconds at most, and the classes' names.
AGES = (30, 300, 3600, 86400)
AGE_NAMES = ("30s", "5m", "1h", "1d", "more")

# All that a warm-up compiles, so that nothing is compiled in the flow.
KERNELS = (
    _kernel.decode,
    _kernel.count,
    _kernel.find_content,
    _kernel.blank,
    _grouping.group_rows,
    _grouping.count,
    _descent.in_time,
    _descent.keys_of,
    _descent.decide,
    _descent.rehash,
    costs.priced,
    _usage_kernel.tally,
)

S = TypeVar("S")
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
class _Watched:
    """What is gathered for one shard of anomalies."""

    samples: list[Sample] = field(default_factory=list)
    points: list[WatchedPoint] = field(default_factory=list)


class Measurer:
    """Counts arrivals for the shards, and samples them for the shards of anomalies.

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
        monitors: what to watch for anomalies; without any, no deposit is a `Sampled`.
        unjudged: told (reason, count) of events that monitors mean and that are not judged.
        usage: by which labels to count what model calls used; if not at all no deposit is a `Used`.
        unusable: see `engine.columns.usage.CallCounter`.
        memory: of spans, shared with other measurers; without it this one has its own.
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
        monitors: Sequence[Monitor] = (),
        unjudged: Apart = lambda _reason, _count: None,
        usage: Mode = "off",
        unusable: Apart = lambda _field, _count: None,
        memory: CallMemory | None = None,
    ) -> None:
        self.shards = [str(n) for n in range(shards)]
        self.skew_ns = int(skew * 1e9)
        self.refused = refused
        self.apart = apart
        self.edge = edge
        self.measured = measured
        self._found = Measured(0)
        self._spans = [_SpanObjective(o) for o in objectives if o.signal == "traces"]
        self._generations = {o.id: o.generation for o in objectives}
        self._monitors = bool(monitors)
        self._sampler = SpanSampler(monitors, shards, unjudged)
        self._calls = CallCounter(usage, shards, admitted or Admitted(), unusable)
        wanted = {f for o in self._spans for f in o.fields}
        wanted |= self._sampler.fields | self._calls.fields
        self._reader = Reader(wanted) if wanted or self._spans else None
        self._calls_before = CallMemory() if memory is None else memory
        metric_objectives = [o for o in objectives if o.signal == "metrics"]
        self._ignored: Counter[str] = Counter()
        self._bounds = {o.id: o.sli.above for o in objectives if isinstance(o.sli, HistogramSli)}
        self._edges: set[tuple[str, str]] = set()
        self._points = PointReader(metric_objectives) if metric_objectives else None
        self._places = Places(shards, admitted or Admitted())
        self._watcher = PointWatcher(monitors, shards)
        self._unwatched: Counter[str] = Counter()
        self.unjudged = unjudged
        self.overflowed = overflowed
        self._overflowed = 0

    def measure(self, arrivals: Arrivals) -> list[tuple[str, Deposit | Sampled | Used]]:
        """One deposit for each shard that something arrived for, of each kind; for all on a tick."""
        self._calls_before.move_to(arrivals.clock)
        try:
            return self._recall(arrivals) if arrivals.recalled else self._measure(arrivals)
        except Exception:
            # Whoever goes on after this gives the same spans again.
            self._calls_before.clear()
            raise

    def _recall(self, arrivals: Arrivals) -> list[tuple[str, Deposit | Sampled | Used]]:
        """Remember what was counted before a restart."""
        if self._reader and llm.CALL in self._reader.deriver.steps:
            self._read(self._reader, arrivals.traces)
        return []

    def _measure(self, arrivals: Arrivals) -> list[tuple[str, Deposit | Sampled | Used]]:
        gathered: dict[str, Share] = {}
        watched: dict[str, _Watched] = {}
        called: dict[str, Gathered] = {}
        clock_ns = min(int(arrivals.clock * 1e9), LATEST_NS)
        self._found = Measured(clock_ns, arrivals.ahead_ns)
        limit_ns = min(clock_ns + self.skew_ns + arrivals.doubt_ns, LATEST_NS)
        if arrivals.traces and self._reader:
            batch = self._read(self._reader, arrivals.traces)
            if len(batch):
                ends = _placed(batch.end_ns, arrivals.ahead_ns)
                called = self._read_spans(batch, ends, clock_ns, limit_ns, gathered, watched)
        if arrivals.metrics and (self._points or self._watcher):
            # Points keep the time that their writer gave them: increments compare it.
            self._read_points(arrivals.metrics, limit_ns - arrivals.ahead_ns, gathered, watched)
        self.measured(self._found)
        touched: Iterable[str] = self.shards if arrivals.tick else gathered
        found: list[tuple[str, Deposit | Sampled | Used]] = [
            (shard, _deposit(shard, arrivals, gathered.get(shard))) for shard in touched
        ]
        if self._monitors:
            touched = self.shards if arrivals.tick else watched
            found += [(shard, _sampled(shard, arrivals, watched.get(shard))) for shard in touched]
        if self._calls.mode != "off":
            touched = self.shards if arrivals.tick else called
            found += [(shard, used(arrivals, shard, called.get(shard))) for shard in touched]
        return found

    def _read(self, reader: Reader, payloads: Sequence[bytes]) -> SpanBatch:
        while True:
            try:
                return reader.read(payloads, self._calls_before)
            except Refused as refusal:
                self.refused("traces", str(refusal))
                payloads = [p for i, p in enumerate(payloads) if i != refusal.index]

    def _read_spans(
        self,
        batch: SpanBatch,
        ends: NDArray[np.uint64],
        clock_ns: int,
        limit_ns: int,
        gathered: dict[str, Share],
        watched: dict[str, _Watched],
    ) -> dict[str, Gathered]:
        placeable = self._placeable(ends, limit_ns)
        seconds = (np.minimum(ends, np.uint64(clock_ns)) // np.uint64(10**9)).astype(np.int64)
        shared = Shared(batch)
        self._count_spans(shared, seconds // BUCKET, placeable, gathered)
        for name, sample in self._sampler.sample(shared, seconds, placeable, clock_ns / 1e9):
            _of(name, watched, _Watched).samples.append(sample)
        return self._calls.count(shared, placeable)

    def _count_spans(
        self,
        shared: Shared,
        numbers: NDArray[np.int64],
        placeable: NDArray[np.bool_],
        gathered: dict[str, Share],
    ) -> None:
        buckets, ids = _number_buckets(numbers)
        seconds = buckets * BUCKET
        sums = Sums(self._places)
        refused: NDArray[np.bool_] | None = None
        for objective in self._spans:
            total = shared.mask(objective.sli.total) & placeable
            if not total.any():
                continue
            grouped = shared.classes(objective.columns)
            if isinstance(objective.sli, SpendSli):
                cost = price(shared, objective.sli.cost, total)
                refused = cost.refused if refused is None else refused | cost.refused
                spent, apart = count_money(grouped, ids, len(buckets), total, cost)
                found = Cells(*spent)
                examples = _examples(shared.batch, grouped.ids, cost.priced, cost.nanodollars)
                sums.add(objective.counted, grouped, found, seconds, examples)
                sums.add_apart(objective.counted, grouped, Cells(*apart), seconds)
            else:
                bad = (
                    shared.mask(objective.sli.bad)
                    if objective.sli.bad is not None
                    else ~shared.mask(_good(objective.sli))
                )
                bad = bad & total
                found = _count(grouped, ids, len(buckets), total, bad)
                examples = _examples(shared.batch, grouped.ids, bad)
                sums.add(objective.counted, grouped, found, seconds, examples)
            for bucket, late in enumerate(found.totals(len(buckets))):
                if late:
                    self._found.place("traces", int(seconds[bucket]), late)
        for shard, share in sums.by_shard():
            gathered[self.shards[shard]] = share
        if refused is not None and refused.any():
            self.apart("cost", int(refused.sum()))

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

    def _read_points(
        self,
        payloads: Sequence[bytes],
        limit_ns: int,
        gathered: dict[str, Share],
        watched: dict[str, _Watched],
    ) -> None:
        for payload in payloads:
            try:
                request = parse(payload)
            except Refused as refusal:
                self.refused("metrics", str(refusal))
                continue
            if self._points:
                self._gather_points(self._points.select(request), limit_ns, gathered)
            for name, watched_point in self._watcher.select(request):
                if watched_point.point.time_ns > limit_ns:
                    self.unjudged("future", 1)
                    continue
                _of(name, watched, _Watched).points.append(watched_point)
        for reason, ignored in (self._watcher.ignored - self._unwatched).items():
            self.unjudged(reason, ignored)
        self._unwatched = self._watcher.ignored.copy()
        if self._points:
            self._tell_of_points(self._points)

    def _gather_points(
        self, points: Sequence[Point], limit_ns: int, gathered: dict[str, Share]
    ) -> None:
        self._found.points += len(points)
        for point in points:
            if point.time_ns > limit_ns:
                # It would keep its stream deaf until then.
                self.apart("future", 1)
                continue
            self._found.point(point.time_ns)
            # All points of an objective go to one shard: increments need to see them all.
            key = SeriesKey(point.objective, None, self._generations[point.objective])
            shard = self.shards[self._places.of(key).shard]
            _of(shard, gathered, Share).points.append(point)

    def _tell_of_points(self, reader: PointReader) -> None:
        for reason, ignored in (reader.ignored - self._ignored).items():
            self.apart(reason, ignored)
        self._ignored = reader.ignored.copy()
        for objective, metric in reader.edges.keys() - self._edges:
            self._edges.add((objective, metric))
            edge = reader.edges[objective, metric]
            if edge < NEAR_EDGE * self._bounds[objective]:
                self.edge(objective, metric, edge)
        self.overflowed(reader.overflowed - self._overflowed)
        self._overflowed = reader.overflowed


def _placed(ends: NDArray[np.uint64], ahead_ns: int) -> NDArray[np.uint64]:
    """End times on the engine's clock, which is ahead of the senders'; 0 stays 0, for none."""
    if not ahead_ns:
        return ends
    later = np.minimum(ends, np.uint64(LATEST_NS - ahead_ns)) + np.uint64(ahead_ns)
    return np.where(ends == 0, ends, later)


class _SpanObjective:
    """An objective over spans with the fields that it needs worked out."""

    def __init__(self, objective: Objective) -> None:
        if not isinstance(objective.sli, SpanSli | SpendSli):
            raise TypeError(f"{objective.id} does not count spans")
        self.id = objective.id
        self.sli = objective.sli
        self.counted = Counted(
            objective.id,
            objective.generation,
            len(objective.by),
            explains=bool(objective.explain),
            named=named_dimensions(objective),
        )
        self.columns = objective.by + objective.explain
        if isinstance(self.sli, SpendSli):
            self.fields = {*self.columns, self.sli.cost, llm.UNPRICED, *fields(self.sli.total)}
            return
        filters = (self.sli.total, self.sli.bad, self.sli.good)
        self.fields = set(self.columns).union(*(fields(f) for f in filters if f is not None))


def _good(sli: SpanSli) -> Filter:
    if sli.good is None:
        raise ValueError("an SLI has either bad or good")
    return sli.good


def _number_buckets(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct bucket numbers, and each row's index among them."""
    low, high = int(numbers.min()), int(numbers.max())
    if high - low < 64:
        return np.arange(low, high + 1), numbers - low
    distinct, ids = np.unique(numbers, return_inverse=True)
    return distinct, ids


def _count(
    grouped: Classes,
    buckets: NDArray[np.int64],
    n_buckets: int,
    total: NDArray[np.bool_],
    bad: NDArray[np.bool_],
) -> Cells:
    """Count rows by class and bucket."""
    n_classes = len(grouped)
    if n_classes * n_buckets <= DENSE_CELLS:
        counts = count(grouped.ids, buckets, total, bad, n_classes, n_buckets)
        at = np.nonzero(counts[:, :, 1])
        return Cells(at[0], at[1], counts[at])
    combined = (grouped.ids * n_buckets + buckets)[total]
    distinct, ids = np.unique(combined, return_inverse=True)
    totals = np.bincount(ids, minlength=len(distinct))
    bads = np.bincount(ids[bad[total]], minlength=len(distinct))
    return Cells(*np.divmod(distinct, n_buckets), np.stack([bads, totals], axis=1))


def _of(name: str, gathered: dict[str, S], make: Callable[[], S]) -> S:
    found = gathered.get(name)
    if found is None:
        found = gathered[name] = make()
    return found


def _examples(
    batch: SpanBatch,
    classes: NDArray[np.int64],
    bad: NDArray[np.bool_],
    weights: NDArray[np.int64] | None = None,
) -> dict[int, str]:
    """The trace id of the last bad row of each class that has one; with weights of the heaviest."""
    rows = np.flatnonzero(bad)
    if weights is not None:
        rows = rows[np.argsort(weights[rows], kind="stable")]
    if not len(rows):
        return {}
    found, last = np.unique(classes[rows][::-1], return_index=True)
    ids = batch.trace_ids[rows[::-1][last]]
    there = ids.any(axis=1)
    text = ids[there].tobytes().hex()
    each = 2 * ids.shape[1]
    traces = [text[at : at + each] for at in range(0, len(text), each)]
    return dict(zip(found[there].tolist(), traces, strict=True))


def _deposit(name: str, arrivals: Arrivals, shard: Share | None) -> Deposit:
    if shard is None:
        return Deposit(
            shard=name,
            clock=arrivals.clock,
            live=arrivals.live,
            exact=arrivals.exact,
            watermarks=arrivals.watermarks,
            ahead_ns=arrivals.ahead_ns,
            origin=arrivals.origin,
        )
    return Deposit(
        shard=name,
        clock=arrivals.clock,
        live=arrivals.live,
        exact=arrivals.exact,
        keys=shard.keys,
        entries=shard.entries,
        points=tuple(shard.points),
        tallies=shard.tallies,
        watermarks=arrivals.watermarks,
        ahead_ns=arrivals.ahead_ns,
        origin=arrivals.origin,
    )


def _sampled(name: str, arrivals: Arrivals, watched: _Watched | None) -> Sampled:
    return Sampled(
        shard=name,
        clock=arrivals.clock,
        live=arrivals.live,
        exact=arrivals.exact,
        samples=tuple(watched.samples) if watched else (),
        points=tuple(watched.points) if watched else (),
        watermarks=arrivals.watermarks,
        ahead_ns=arrivals.ahead_ns,
        origin=arrivals.origin,
    )


def warm_up() -> None:
    """Compile the kernels, or load them from numba's cache: some seconds, or under one."""
    spans.warm_up()
    content.warm_up()
    _grouping.warm_up()
    memory.warm_up()
    costs.warm_up()
    _usage_kernel.warm_up()


def is_cached() -> bool:
    """Whether a warm-up will find all kernels on disk (as far as file times tell)."""
    return _compiled.are_cached(KERNELS)
