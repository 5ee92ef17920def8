"""From samples to readings: one shard's open intervals, closed one after the other by the engine's clock.

An interval is open until `GRACE` seconds after its end. What arrives later, by the clock of its arrival, is
counted apart; for `SETTLE` seconds more it waits for workers that are slower than others.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slo.anomalies.cell import Cell, Gathered
from slo.anomalies.growth import Growth
from slo.anomalies.messages import (
    EntityKey,
    Part,
    ReadingKey,
    Readings,
    Sample,
    Sampled,
    WatchedPoint,
)
from slo.anomalies.model import Monitor
from slo.anomalies.roster import Roster
from slo.increments import Value
from slo.model import Signal

GRACE, SETTLE = 15, 2
HOLD = GRACE + SETTLE
# Ticks come every second. Without one for so long nobody listened, and what senders then held back, or gave
# up, would look like missing traffic.
LONGEST_PAUSE = 20.0
# Silence is told of for so long, then no more until it ends.
TOLD_SILENCE = 86_400
# Hostile histograms have more than an integer of 64 bits holds.
MOST_EVENTS = 2**62
_SIGNALS: tuple[Signal, ...] = ("traces", "metrics")

Apart = Callable[[str, int], None]
Key = tuple[int, int]  # (every, end)


def overdue(clock: float) -> int:
    """What arrives at a clock counts in intervals that end after this, and is late for the others."""
    return int(clock) - GRACE


class Gathering:
    """What is watched in one shard.

    Args:
        monitors: by id.
        stale_after: seconds without arrivals of a source after which it has fallen silent.
        entity_limit: entities of one monitor; the rest share one.
        apart: told (reason, count) of what came too late to be judged.
    """

    def __init__(
        self,
        monitors: Mapping[str, Monitor],
        stale_after: float,
        entity_limit: int,
        apart: Apart = lambda _reason, _count: None,
    ) -> None:
        self.monitors = monitors
        self.stale_after = stale_after
        self.entity_limit = entity_limit
        self.apart = apart
        self.clock = 0.0
        self.marks = (0.0, 0.0)
        # Since when without a gap; nothing is known of what began before.
        self.listening = 0.0
        self.closed: dict[int, int] = {}
        self.open: dict[Key, dict[EntityKey, Cell]] = {}
        self.rosters: dict[int, Roster] = {}
        self.growth = Growth()
        self._watching = False
        self._sources = {
            every: {m.signal for m in monitors.values() if m.every == every}
            for every in {m.every for m in monitors.values()}
        }

    def take(self, sampled: Sampled) -> Iterator[Readings]:
        """Close what has ended by the deposit's clock, then count what it brings."""
        if not self._watching:
            self._watch(sampled)
        gap = sampled.clock - self.clock > LONGEST_PAUSE and not sampled.exact
        if gap:
            self.listening = sampled.clock
        clock = max(self.clock, sampled.clock)
        if int(clock) > int(self.clock):
            yield from self._close(sampled, clock)
        self.clock = clock
        self.marks = (
            max(self.marks[0], sampled.watermarks[0]),
            max(self.marks[1], sampled.watermarks[1]),
        )
        for sample in sampled.samples:
            self._sample(sample)
        for point in sampled.points:
            self._point(point, sampled)

    def _watch(self, sampled: Sampled) -> None:
        """Begin; lengths that are new begin with the first whole interval from now on."""
        self._watching = True
        self.clock = self.clock or sampled.clock
        self.listening = self.listening or sampled.clock
        for every in self._sources:
            self.closed.setdefault(every, math.ceil(self.clock / every) * every)
            self.rosters.setdefault(every, Roster(every, self.entity_limit))
        generations = {m.id: m.generation for m in self.monitors.values()}
        self.growth.watch(generations, sampled.clock)

    def _close(self, sampled: Sampled, clock: float) -> Iterator[Readings]:
        """Every interval that is due, in order of its end; of equal ends the shorter first."""
        due = sorted(
            (end, every) for every in self._sources for end in self._ends(every, int(clock))
        )
        for end, every in due:
            readings = self._readings(sampled, clock, every, end)
            if readings is not None:
                yield readings

    def _ends(self, every: int, until: int) -> range:
        """The ends of the intervals that are due; none of a silence longer than is told of."""
        last = (until - HOLD) // every * every
        first = self.closed[every] + every
        if last < first:
            return range(0)
        self.closed[every] = last
        for key in [k for k in self.open if k[0] == every and not first <= k[1]]:
            del self.open[key]
        heard = max(map(self._heard, self._sources[every]))
        told = int(heard + self.stale_after + TOLD_SILENCE)
        return range(first, min(last, told // every * every) + every, every)

    def _readings(self, sampled: Sampled, clock: float, every: int, end: int) -> Readings | None:
        roster = self.rosters[every]
        cells = self.open.pop((every, end), {})
        if not roster.telling:
            return None
        sources = self._sources[every]
        silent = {s for s in sources if end + HOLD - self._heard(s) > self.stale_after}
        frozen = end - every < self.listening or silent == sources
        told = [] if frozen else self._values(roster, cells)
        if not frozen:
            roster.hear(cells)
        keys, gone, reset = roster.changes()
        values = np.full(len(keys), np.nan)
        counts = np.zeros(len(keys), np.int64)
        if not frozen:
            values[roster.zeros(self.monitors)] = 0.0
            for row, value, count in told:
                values[row], counts[row] = value, count
            if silent:
                values[self._of(keys, silent)] = np.nan
        return Readings(
            shard=sampled.shard,
            clock=clock,
            live=sampled.live,
            at=float(end),
            every=every,
            keys=keys,
            values=values,
            counts=counts,
            trace_ids={
                entity: tuple(e.trace_id for e in cell.examples)
                for entity, cell in cells.items()
                if cell.examples and not frozen
            },
            frozen=frozen,
            watermark=max(map(self._heard, sources)),
            gone=gone,
            reset=reset,
        )

    def _values(
        self, roster: Roster, cells: Mapping[EntityKey, Cell]
    ) -> list[tuple[int, float, int]]:
        """(place, value, count) of what has a value; a series begins with the first that it has."""
        found = []
        for entity, cell in cells.items():
            features = self.monitors[entity.monitor].features
            for number, (feature, gathered) in enumerate(zip(features, cell.features, strict=True)):
                value, count = gathered.value(feature, cell.events, roster.every)
                known = math.isfinite(value)
                if known or roster.rows[entity][number] >= 0:
                    row = roster.row(entity, number, feature.name)
                    found.append((row, value if known else math.nan, min(count, MOST_EVENTS)))
        return found

    def _heard(self, source: Signal) -> float:
        return self.marks[_SIGNALS.index(source)]

    def _of(self, keys: Sequence[ReadingKey], sources: set[Signal]) -> NDArray[np.bool_]:
        """Which series are read from some sources; what has gone may be of no monitor that is left."""
        monitors = (self.monitors.get(key.entity.monitor) for key in keys)
        return np.array([m is not None and m.signal in sources for m in monitors], np.bool_)

    def _sample(self, sample: Sample) -> None:
        monitor = self.monitors[sample.entity.monitor]
        cell = self._cell(sample.entity, monitor, sample.end, sample.events)
        if cell is not None:
            cell.add(sample)

    def _cell(self, entity: EntityKey, monitor: Monitor, end: int, events: int) -> Cell | None:
        """The cell that events count in; None, and they are counted apart, where it is closed."""
        every = monitor.every
        if end <= self.closed[every]:
            began_before = end - every < self.listening
            self.apart("before_start" if began_before else "late", events)
            return None
        cells = self.open.setdefault((every, end), {})
        entity = self.rosters[every].place(entity, len(monitor.features))
        cell = cells.get(entity)
        if cell is None:
            cell = cells[entity] = Cell([Gathered() for _ in monitor.features])
        return cell

    def _point(self, watched: WatchedPoint, sampled: Sampled) -> None:
        """Count a metric point in the interval in which it was exported."""
        if watched.kind == "gauge":
            cell = self._cell_of(watched, sampled)
            if cell is not None:
                cell.features[watched.feature].add(Part(1, _single(watched.point.value)))
            return
        grown = self.growth.take(watched)
        cell = None if grown is None else self._cell_of(watched, sampled)
        if grown is None or cell is None:
            return
        gathered = cell.features[watched.feature]
        if watched.kind == "histogram":
            gathered.add(Part(round(grown.amount), 0.0, grown.bins))
        elif grown.seconds:
            gathered.grew(watched.point.stream, grown.amount, grown.seconds)
        else:
            self.apart("no_start_time", 1)

    def _cell_of(self, watched: WatchedPoint, sampled: Sampled) -> Cell | None:
        monitor = self.monitors[watched.entity.monitor]
        placed = min((watched.point.time_ns + sampled.ahead_ns) // 1_000_000_000, int(self.clock))
        end = (placed // monitor.every + 1) * monitor.every
        if end <= overdue(sampled.clock):
            self.apart("late", 1)
            return None
        return self._cell(watched.entity, monitor, end, 1)

    def state(self) -> dict[str, object]:
        """What a snapshot keeps; plain values, to be pickled at once."""
        return {name: getattr(self, name) for name in _KEPT}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot, perhaps with other monitors than it was taken with.

        What belongs to monitors that are gone, or measure something else now, is dropped, and told as gone.
        """
        for name in _KEPT:
            setattr(self, name, state[name])
        self.rosters = {e: r for e, r in self.rosters.items() if e in self._sources}
        self.closed = {e: end for e, end in self.closed.items() if e in self._sources}
        self.open = {key: cells for key, cells in self.open.items() if key[0] in self._sources}
        for roster in self.rosters.values():
            roster.limit = self.entity_limit
            roster.keep(self.monitors)
        for (every, _), cells in self.open.items():
            for entity in [e for e in cells if e not in self.rosters[every].rows]:
                del cells[entity]


def _single(value: Value) -> float:
    return float(value[0] if isinstance(value, tuple) else value)


_KEPT = (
    "clock",
    "marks",
    "listening",
    "closed",
    "open",
    "rosters",
    "growth",
)
