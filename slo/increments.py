"""From what counters say to what happened: cumulative and delta points become increments.

A stream is one counter of one writer. A cumulative stream tells its sum since a start time, so an
increment is the difference to the point before; a delta stream tells the increment itself. The
rules are those of the OpenTelemetry metrics data model ("Resets and gaps", "Temporality").
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Literal, NamedTuple

Role = Literal["total", "total_until_good", "bad", "good", "histogram"]
Value = int | float | tuple[int, int]

# What one unit of a counter adds to (bad, total). Where an objective names its good events, every
# event is bad until its good counter takes it back; so the sums agree in whatever order they come.
CONTRIBUTION: dict[Role, tuple[int, int]] = {
    "total": (0, 1),
    "total_until_good": (1, 1),
    "bad": (1, 0),
    "good": (-1, 0),
}
# Delta intervals of a stream that are remembered, to know a repeated one from a late one.
INTERVALS = 16


class Point(NamedTuple):
    """One data point of a selected metric, in one role of one objective.

    Attributes:
        objective: `Objective.id`.
        role: what it counts; `total_until_good` is the total of an objective that names its good.
        stream: 16 bytes, the identity of the objective's part and of the time series.
        family: 16 bytes, the identity of the metric of which the series is one (resource, scope,
            name, no attributes); the same in every objective.
        group: values of `Objective.by`, "" where absent.
        start_ns: Unix nanoseconds of the start of what `value` sums up; 0 when unknown.
        time_ns: Unix nanoseconds of the point.
        cumulative: the sum since the start, not since the last point.
        value: finite, not negative, below 2**63; of a histogram (all, above the bound).
    """

    objective: str
    role: Role
    stream: bytes
    family: bytes
    group: tuple[str, ...]
    start_ns: int
    time_ns: int
    cumulative: bool
    value: Value


class Increment(NamedTuple):
    """Events of one budget since the point before; `bad` may be negative (see `CONTRIBUTION`)."""

    objective: str
    group: tuple[str, ...]
    time_ns: int
    bad: int
    total: int


@dataclass(slots=True)
class _Last:
    """The newest point of a cumulative stream."""

    time_ns: int
    value: tuple[int, ...]


@dataclass(slots=True)
class _Intervals:
    """The newest intervals of a delta stream, and the part of an event not yet counted."""

    seen: deque[tuple[int, int]]
    carry: Fraction = Fraction(0)


class Increments:
    """Turns points into increments; keeps the last point of each stream. Picklable.

    The first point of a cumulative stream counts whole where its events are known to have happened
    under our eyes: its start is later than `watch` began, or two exports of the same metric and
    start came without it. Otherwise it only says from where to count. Two writers that share
    an identity are told apart by their start times.

    Args:
        max_streams: streams kept; beyond, the one heard of longest ago is forgotten. When such a
            stream comes back it starts without an increment: nothing is counted twice.

    Attributes:
        counts: how often each of these happened: `first` (a first point that did not count),
            `reset`, `duplicate`, `late` (older than what was counted), `evicted`.
    """

    def __init__(self, max_streams: int = 100_000) -> None:
        if max_streams < 1:
            raise ValueError(f"max_streams is {max_streams}; at least one stream must be kept")
        self.counts: Counter[str] = Counter()
        self._max = max_streams
        self._watched: Mapping[str, str] = {}
        self._since: dict[str, int] = {}
        self._cumulative: OrderedDict[tuple[bytes, int], _Last] = OrderedDict()
        self._delta: OrderedDict[bytes, _Intervals] = OrderedDict()
        # Of each objective's metrics: the times of their first two exports.
        self._families: OrderedDict[tuple[str, bytes, int], tuple[int, ...]] = OrderedDict()
        self._forgotten_ns = 0

    def watch(self, generations: Mapping[str, str], since_ns: int | Mapping[str, int]) -> None:
        """Says which objectives are counted from now on; call it at every start, with all of them.

        One that is known and counts the same as before goes on where it was. One that is new, or
        counts something else, is watched since `since_ns`. One that is not named any more is
        forgotten. Unless told, an objective is watched since its first point.

        Args:
            generations: `Objective.generation` by `Objective.id`.
            since_ns: Unix nanoseconds since which points would have reached us, of all or by id; 0
                counts every series whole from its start on.
        """
        kept = {o for o, generation in generations.items() if self._watched.get(o) == generation}
        self._watched = dict(generations)
        fresh = dict.fromkeys(generations, since_ns) if isinstance(since_ns, int) else since_ns
        self._since = {o: self._since[o] if o in kept else fresh[o] for o in generations}
        for key in [key for key in self._families if key[0] not in kept]:
            del self._families[key]

    def __len__(self) -> int:
        return len(self._cumulative) + len(self._delta)

    def feed(self, point: Point) -> Increment | None:
        """The events since the stream's point before, or None where that cannot be said.

        An increment of zero says that the source is alive. A point far in the future would make
        its stream deaf until then, so keep those of more than the allowed skew away.
        """
        amounts = self.amounts(point)
        if amounts is None:
            return None
        bad, total = _contribution(point.role, amounts)
        return Increment(point.objective, point.group, point.time_ns, bad, total)

    def amounts(self, point: Point) -> tuple[int, ...] | None:
        """What each number of the point's value grew by since the stream's point before; as `feed`."""
        self._since.setdefault(point.objective, point.time_ns)
        return self._from_cumulative(point) if point.cumulative else self._from_delta(point)

    def before_ns(self, point: Point) -> int:
        """Unix nanoseconds since which a point counts: the stream's point before, or the start."""
        last = self._cumulative.get((point.stream, point.start_ns)) if point.cumulative else None
        return last.time_ns if last else point.start_ns

    def feed_all(self, points: Iterable[Point]) -> list[Increment]:
        """The increments of one payload, added up per objective, group and time.

        A payload's total and good belong together: between them the sums are not worth a decision.
        """
        sums: dict[tuple[str, tuple[str, ...], int], tuple[int, int]] = {}
        for point in points:
            increment = self.feed(point)
            if increment is not None:
                key = increment[:3]
                bad, total = sums.get(key, (0, 0))
                sums[key] = (bad + increment.bad, total + increment.total)
        return [Increment(*key, bad, total) for key, (bad, total) in sums.items()]

    def _from_cumulative(self, point: Point) -> tuple[int, ...] | None:
        now = _whole(point.value)
        exports = self._exports(point)
        key = (point.stream, point.start_ns)
        last = self._cumulative.get(key)
        if last is None:
            counts = self._born_in_sight(point, exports)
            self._cumulative[key] = _Last(point.time_ns, now)
            self._bound()
            if not counts:
                self.counts["first"] += 1
            return now if counts else None
        self._cumulative.move_to_end(key)
        if point.time_ns <= last.time_ns:
            same = point.time_ns == last.time_ns and now == last.value
            self.counts["duplicate" if same else "late"] += 1
            return None
        before = last.value
        last.time_ns, last.value = point.time_ns, now
        if now[0] < before[0]:
            self.counts["reset"] += 1
            return now
        return tuple(new - old for new, old in zip(now, before, strict=True))

    def _born_in_sight(self, point: Point, exports: tuple[int, ...]) -> bool:
        """Whether all that a new stream's first point counts happened while it was watched."""
        watched_ns = self._since[point.objective]
        # Cumulative writers repeat all their series in every export: one that was absent was zero.
        # Two exports, because half of the first may have passed before we listened.
        absent = (
            point.start_ns > 0
            and len(exports) == 2
            and watched_ns <= exports[0] > self._forgotten_ns
            and exports[1] < point.time_ns
        )
        # A start at or after the point itself is how "start unknown" is written.
        unseen_until_ns = max(watched_ns, self._forgotten_ns)
        return absent or unseen_until_ns < point.start_ns < point.time_ns

    def _exports(self, point: Point) -> tuple[int, ...]:
        """Times of the first two exports of the point's metric before this one, which it notes."""
        key = (point.objective, point.family, point.start_ns)
        exports = self._families.get(key, ())
        if len(exports) < 2 and point.time_ns not in exports:
            exports = (*exports, point.time_ns)
            self._families[key] = tuple(sorted(exports))
        self._families.move_to_end(key)
        if len(self._families) > self._max:
            self._families.popitem(last=False)
        return exports

    def _from_delta(self, point: Point) -> tuple[int, ...] | None:
        stream = self._delta.get(point.stream)
        if stream is None:
            stream = self._delta[point.stream] = _Intervals(deque(maxlen=INTERVALS))
            self._bound()
        self._delta.move_to_end(point.stream)
        interval = (point.time_ns, point.start_ns)
        if interval in stream.seen:
            self.counts["duplicate"] += 1
            return None
        if len(stream.seen) == INTERVALS and interval < min(stream.seen):
            self.counts["late"] += 1
            return None
        stream.seen.append(interval)
        if isinstance(point.value, float):
            exact = stream.carry + Fraction(point.value)
            stream.carry = exact - floor(exact)
            return (floor(exact),)
        return _whole(point.value)

    def _bound(self) -> None:
        while len(self) > self._max:
            self.counts["evicted"] += 1
            if len(self._delta) > len(self._cumulative):
                self._delta.popitem(last=False)
            else:
                _, last = self._cumulative.popitem(last=False)
                self._forgotten_ns = max(self._forgotten_ns, last.time_ns)


def _whole(value: Value) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (floor(value),)


def _contribution(role: Role, amounts: tuple[int, ...]) -> tuple[int, int]:
    if role == "histogram":
        total, above = amounts
        # An exponential histogram that grows coarser moves its edge, and old observations over it.
        return max(0, min(above, total)), total
    bad, total = CONTRIBUTION[role]
    return bad * amounts[0], total * amounts[0]
