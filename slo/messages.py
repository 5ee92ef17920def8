"""What the steps of a shard tell each other: deposits in, updates from level to level."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import groupby, repeat
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slo.decision import SeriesKey
from slo.increments import Point
from slo.origins import WHOLE, Origin
from slo.windows import Counts, Entries


class Tally(NamedTuple):
    """Counts of one combination of the explained dimensions among a series' events.

    Attributes:
        key: the series.
        values: the combination, in the order of `Objective.explain`; `""` where absent.
        bad: bad events.
        total: all events.
        trace_ids: hex ids of a few of the bad.
    """

    key: SeriesKey
    values: tuple[str, ...]
    bad: int
    total: int
    trace_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deposit:
    """What one batch of arrivals holds for one shard; empty for a mere tick of the clock.

    Attributes:
        shard: the shard's key.
        clock: Unix seconds at which this arrived; live the wall clock, in a backtest the events'.
        live: False while what is read was read before a restart already.
        exact: decide also at every moment between the last clock and this one at which a window
            changes (a backtest), instead of only now.
        keys: series that the entries' rows point into.
        entries: counts, at times no later than the clock.
        points: metric points; all of an objective go to the same shard.
        tallies: for explanations.
        watermarks: newest arrival of (traces, metrics), Unix seconds, 0 for none yet.
        ahead_ns: how far the clock is ahead of the points' own; the entries' times allow for it.
        origin: the part of the input that it comes from.
    """

    shard: str
    clock: float
    live: bool = True
    exact: bool = False
    keys: tuple[SeriesKey, ...] = ()
    entries: Entries = field(default_factory=Entries.none)
    points: tuple[Point, ...] = ()
    tallies: tuple[Tally, ...] = ()
    watermarks: tuple[float, float] = (0.0, 0.0)
    ahead_ns: int = 0
    origin: Origin = WHOLE

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by columns: a series' name costs a tuple of texts then, and no object of its own."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        entries = b"".join(np.asarray(part, np.int64).tobytes() for part in self.entries)
        if not self.tallies:
            return _unpacked, (plain, _runs(self.keys), entries, ())
        keys, *columns = zip(*self.tallies, strict=True)
        return _unpacked, (plain, _runs(self.keys), entries, (_runs(keys), *columns))


_PLAIN = tuple(f.name for f in fields(Deposit) if f.name not in ("keys", "entries", "tallies"))
# (objective, generation, groups) of series that follow each other.
_Runs = list[tuple[str, str, list[tuple[str, ...] | None]]]


def _runs(keys: Iterable[SeriesKey]) -> _Runs:
    return [
        (objective, generation, [key.group for key in run])
        for (objective, generation), run in groupby(keys, itemgetter(0, 2))
    ]


def _series(runs: _Runs) -> list[SeriesKey]:
    # As `SeriesKey(...)` for each, without a call of Python for each.
    return [
        key
        for objective, generation, groups in runs
        for key in map(
            tuple.__new__,
            repeat(SeriesKey),
            zip(repeat(objective), groups, repeat(generation), strict=False),
        )
    ]


def _unpacked(
    plain: Mapping[str, Any], runs: _Runs, numbers: bytes, tallies: Sequence[Any]
) -> Deposit:
    flat = np.frombuffer(bytearray(numbers), np.int64)
    m = len(flat) // 4
    entries = Entries(flat[:m], flat[m : 2 * m], flat[2 * m :].reshape(m, 2))
    told: Iterable[Tally] = ()
    if tallies:
        keys, *columns = tallies
        told = map(tuple.__new__, repeat(Tally), zip(_series(keys), *columns, strict=True))
    return Deposit(keys=tuple(_series(runs)), entries=entries, tallies=tuple(told), **plain)


@dataclass(frozen=True, slots=True)
class Head:
    """What only the intake knows of a shard; travels with level 0's updates.

    Attributes:
        shard: the shard's key.
        keys: series, one a row; only ever appended to.
        period: `int64[rows, 2]`, calendar counts, zeros where the window is rolling.
        lifetime: `int64[rows, 2]`, ever counted.
        tallies: for explanations.
        watermarks: newest arrival of (traces, metrics).
        too_late: events refused so far because no window reaches back to them.
        newest: of each objective here with `absent`: the clock at which its last event was counted, 0
            before the first.
        exact: as in `Deposit`.
        points: see `slo.decision.Decision`.
        streams: likewise.
    """

    shard: str
    keys: Sequence[SeriesKey]
    period: Counts
    lifetime: Counts
    tallies: tuple[Tally, ...]
    watermarks: tuple[float, float]
    too_late: int
    newest: Mapping[SeriesKey, float] = field(default_factory=dict)
    exact: bool = False
    points: Mapping[str, int] = field(default_factory=dict)
    streams: int = 0


@dataclass(frozen=True, slots=True)
class Update:
    """A level's sums after a change.

    Attributes:
        level: index of the level.
        cause: number of the intake's update that led to this one.
        clock: Unix seconds.
        live: as in `Deposit`.
        sums: `int64[rows, windows, 2]`.
        carry: `int64[rows, 2]`.
        onward: what the next level has to count, None where it has nothing to do.
        head: with level 0 only.
        touched: distinct rows whose counts may differ from those of this level's update before; None where
            any may.
    """

    level: int
    cause: int
    clock: float
    live: bool
    sums: Counts
    carry: Counts
    onward: Entries | None
    head: Head | None = None
    touched: NDArray[np.int64] | None = None


def merge(deposits: Sequence[Deposit]) -> Deposit:
    """Several deposits of one shard as one, at the clock of the newest."""
    if len(deposits) == 1:
        return deposits[0]
    keys: list[SeriesKey] = []
    entries: list[Entries] = []
    for deposit in deposits:
        entries.append(deposit.entries._replace(rows=deposit.entries.rows + len(keys)))
        keys.extend(deposit.keys)
    marks = [deposit.watermarks for deposit in deposits]
    return Deposit(
        shard=deposits[0].shard,
        clock=max(deposit.clock for deposit in deposits),
        live=deposits[-1].live,
        exact=deposits[-1].exact,
        keys=tuple(keys),
        entries=Entries(*map(np.concatenate, zip(*entries, strict=True))),
        points=tuple(point for deposit in deposits for point in deposit.points),
        tallies=tuple(tally for deposit in deposits for tally in deposit.tallies),
        watermarks=(max(mark[0] for mark in marks), max(mark[1] for mark in marks)),
        ahead_ns=deposits[-1].ahead_ns,
        origin=deposits[-1].origin,
    )
