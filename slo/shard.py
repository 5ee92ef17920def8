"""One virtual shard: everything that is counted for its series, level by level.

`Intake` is the first step of a shard: it knows the series, turns metric points into increments and
slices into events, keeps calendar windows and lifetime counts, and holds level 0 of the
windows. `Coarse` is any further level. Both emit `Update`s, which `slo.decider` puts together.
"""

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slo._pickled import Blocks, unpickled
from slo.admitted import Admitted, Where
from slo.calendars import period_end, period_start
from slo.decision import OVERFLOW, SeriesKey
from slo.explain import merged_values, named_dimensions
from slo.increments import Increments, Point
from slo.messages import Deposit, Head, Tally, Update
from slo.model import CalendarWindow, Objective
from slo.plan import main_of, shard_of, whole
from slo.slices import SliceBook
from slo.touched import distinct
from slo.windows import GRANULARITIES, Entries, Level

MOST_AT_ONCE = 2**53
# A counter that began so shortly before we listened counts from its start: nothing of it was counted
# yet, and its events are hardly older than its first point. So a recording may begin with its application.
WATCH_LEAD_NS = 300_000_000_000


class Coarse:
    """A level above the first, in the shard's own step so that recovery saves it only when it changed."""

    def __init__(self, number: int, level: Level) -> None:
        self.number = number
        self.level = level
        # The open bucket at the update before; after a restart nobody knows what was told.
        self._told: int | None = None

    def take(self, update: Update) -> Update:
        """Count what the finer level passed on."""
        onward = self.level.advance(int(update.clock))
        moved, self._told = self._told != self.level.head, self.level.head
        touched = None
        if not moved and update.onward is not None:
            touched = distinct(update.onward.rows, self.level.rows)
        if update.onward is not None:
            # What is late for this level's own parent goes on beside the closed bucket.
            late = self.level.deposit(update.onward)
            if len(late.rows):
                onward = late if onward is None else onward.also(late)
        rows = self.level.rows
        return Update(
            level=self.number,
            cause=update.cause,
            clock=update.clock,
            live=update.live,
            sums=self.level.sums[:rows].copy(),
            carry=self.level.carry[:rows].copy(),
            onward=onward if self.level.parent else None,
            touched=touched,
        )


class Intake:
    """The first step of a shard.

    Args:
        objectives: by id; what is not among them is refused a row.
        level: level 0 of the windows.
        horizon: seconds of the longest rolling window; what is older is counted as too late.
        series_limit: series an objective may have in all before the rest share one.
        shard_limit: the same in this shard alone, for objectives that are spread over shards.
        stale_after: seconds without any arrival after which a backtest stops deciding between data.
        watched_since: see `slo.plan.Plan`.
        shards: number of virtual shards.
        admitted: told where there is no room for further series.
    """

    def __init__(
        self,
        objectives: dict[str, Objective],
        level: Level,
        horizon: int,
        series_limit: int,
        shard_limit: int,
        stale_after: float,
        watched_since: Mapping[str, int],
        shards: int = 1,
        admitted: Admitted | None = None,
    ) -> None:
        self.watched_since = watched_since
        self.objectives = objectives
        self.generations = {o.id: o.generation for o in objectives.values()}
        self.level = level
        self.horizon = horizon
        self.limits = {"traces": shard_limit, "metrics": series_limit}
        self.stale_after = stale_after
        self.shard = ""
        self.cause = 0
        self.clock = 0.0
        self.watermarks = (0.0, 0.0)
        self.keys: list[SeriesKey] = []
        self._blocks = Blocks()
        self.rows: dict[SeriesKey, int] = {}
        self.per_objective: dict[tuple[str, str], int] = {}
        self.lifetime = np.zeros((0, 2), np.int64)
        self.period = np.zeros((0, 2), np.int64)
        # Start of the calendar period that a row's `period` counts, Unix seconds.
        self.since = np.zeros(0, np.int64)
        self.calendars: dict[CalendarWindow, tuple[int, int]] = {}
        self.calendar_rows: dict[CalendarWindow, list[int]] = {}
        self.books: dict[int, SliceBook] = {}
        self.increments = Increments()
        self.shards = shards
        self.admitted = admitted or Admitted()
        self.named = {o.id: named_dimensions(o) for o in objectives.values()}
        # Of each row: the clock at which its last event was counted, 0 before the first.
        self.newest = np.zeros(0)
        # Rows of objectives whose missing traffic alerts and whose events are all in this shard.
        self.homes: dict[SeriesKey, int] = {}
        self.began = 0.0
        self.watching = False
        self.too_late = 0
        self._stirred = Entries.none().rows
        # The open bucket and the number of rows at the update before, None where any row may differ from it.
        self._told: tuple[int, int] | None = None

    def row(self, key: SeriesKey) -> int:
        """The row of a series, made where it is new; the overflow series' beyond the limit."""
        row = self.rows.get(key)
        if row is not None:
            return row
        objective = self.objectives[key.objective]
        kind = (key.objective, key.generation)
        main = main_of(key)
        if main is not None:
            # It has a row where its series has one, and shares one where that does.
            key = key._replace(group=self.keys[self.row(main)].group)
            if key in self.rows:
                return self.rows[key]
        elif key.group and self.per_objective.get(kind, 0) >= self.limits[objective.signal]:
            key = key._replace(group=(OVERFLOW,) * len(key.group))
            if key in self.rows:
                return self.rows[key]
            self._admit_no_more(kind)
        row = len(self.keys)
        self.keys.append(key)
        self.rows[key] = row
        if key.group and main is None:
            self.per_objective[kind] = self.per_objective.get(kind, 0) + 1
        self._room(row + 1)
        if objective.slices:
            self.books[row] = SliceBook(objective.slices)
        if isinstance(objective.window, CalendarWindow):
            self.calendar_rows.setdefault(objective.window, []).append(row)
            self.since[row] = self.calendars.get(objective.window, (0, 0))[0]
        return row

    def _admit_no_more(self, kind: tuple[str, str]) -> None:
        groups = (key.group for key in self.keys if (key.objective, key.generation) == kind)
        self.admitted.close(Where(*kind, self.shard), (group for group in groups if group))

    def _room(self, rows: int) -> None:
        self.level.grow(rows)
        if rows > len(self.lifetime):
            more = max(rows, 2 * len(self.lifetime), 8) - len(self.lifetime)
            self.lifetime = np.pad(self.lifetime, ((0, more), (0, 0)))
            self.period = np.pad(self.period, ((0, more), (0, 0)))
            self.since = np.pad(self.since, (0, more))
            self.newest = np.pad(self.newest, (0, more))

    def take(self, deposit: Deposit) -> Iterator[Update]:
        """Count a deposit; yields an update for each moment that is to be decided."""
        self.shard = deposit.shard
        if not self.watching:
            self.watching = True
            self.began = deposit.clock
            self._watch(int(deposit.clock * 1e9))
            self._listen()
            for key in [key for key in self.keys if key.group and key.group[0] == OVERFLOW]:
                self._resume_overflow(key)
        if deposit.exact and self.clock:
            yield from self._between(deposit.clock)
        self.clock = max(self.clock, deposit.clock)
        self.watermarks = (
            max(self.watermarks[0], deposit.watermarks[0]),
            max(self.watermarks[1], deposit.watermarks[1]),
        )
        onward = self.level.advance(int(self.clock))
        entries = self._rows_of(deposit)
        if deposit.points:
            entries = entries.also(self._increments(deposit.points, deposit.ahead_ns))
        self._hear(entries)
        tallies = tuple(map(self._tally, deposit.tallies))
        yield self._update(
            onward, self._events(entries), tallies, live=deposit.live, exact=deposit.exact
        )

    def _tally(self, tally: Tally) -> Tally:
        """A tally of the series that counts it: beyond the limit, of the one that all share."""
        if tally.key in self.rows:
            return tally
        key = self.keys[self.row(tally.key)]
        if key == tally.key:
            return tally
        values = merged_values(tally.values, self.named[key.objective])
        return tally._replace(key=key, values=values)

    def _resume_overflow(self, key: SeriesKey) -> None:
        """Say again what a snapshot knows: as long as the limit is still reached."""
        objective = self.objectives.get(key.objective)
        kind = (key.objective, key.generation)
        if (
            objective
            and objective.generation == key.generation
            and self.per_objective.get(kind, 0) >= self.limits[objective.signal]
        ):
            self._admit_no_more(kind)

    def _watch(self, first_arrival_ns: int) -> None:
        """Tell the increments since when each objective is watched; those of a snapshot know."""
        earliest = first_arrival_ns - WATCH_LEAD_NS
        since = {o: self.watched_since.get(o, earliest) for o in self.generations}
        self.increments.watch(self.generations, since)

    def _listen(self) -> None:
        """Have a row for each objective whose missing traffic alerts, before anything of it comes."""
        for objective in self.objectives.values():
            key = whole(objective)
            if objective.absent and shard_of(key, self.shards) == self.shard:
                self.homes[key] = self.row(key)

    def _hear(self, entries: Entries) -> None:
        if self.homes and len(entries.rows):
            events = (entries.counts[:, 1] > 0) & (entries.times > self.clock - self.horizon)
            self.newest[entries.rows[events]] = self.clock

    def _between(self, until: float) -> Iterator[Update]:
        """Decide at each moment before `until` at which there may be something new to decide."""
        for clock in merge(self._edges(until), self._absences(until)):
            self.clock = float(clock)
            onward = self.level.advance(clock)
            none = self._events(Entries.none())
            yield self._update(onward, none, (), live=True, exact=True)

    def _edges(self, until: float) -> Iterator[int]:
        """The buckets' edges at which a window changes, while the source is not stale."""
        level = self.level
        last = min(until, max(self.watermarks) + self.stale_after)
        # Levels above slide at their own edges, which are multiples of the second granularity.
        slide = GRANULARITIES[1] // GRANULARITIES[0]
        for bucket in range(level.head + 1, int(last) // level.granularity + 1):
            clock = bucket * level.granularity
            if clock >= until:
                break
            if (
                bucket % slide == 0
                or level.changes_at(bucket)
                or any(book.due(clock) for book in self.books.values())
            ):
                yield clock

    def _absences(self, until: float) -> list[int]:
        """The seconds in which traffic has been missing for long enough, however stale the source."""
        dues = (
            int(max(self.newest[row], self.began) + condition.after) + 1
            for key, row in self.homes.items()
            if (condition := self.objectives[key.objective].absent)
        )
        return sorted(due for due in set(dues) if self.clock < due < until)

    def _rows_of(self, deposit: Deposit) -> Entries:
        if not len(deposit.entries.rows):
            return deposit.entries
        known = list(map(self.rows.get, deposit.keys))
        if None in known:
            known = [self.row(key) for key in deposit.keys]
        rows = np.array(known, np.int64)
        return deposit.entries._replace(rows=rows[deposit.entries.rows])

    def _increments(self, points: Sequence[Point], ahead_ns: int) -> Entries:
        rows, times, counts = [], [], []
        now = int(self.clock)
        for increment in self.increments.feed_all(points):
            if not (increment.bad or increment.total):
                continue
            objective = self.objectives[increment.objective]
            for group in (increment.group, None) if objective.by else (increment.group,):
                key = SeriesKey(objective.id, group, self.generations[objective.id])
                rows.append(self.row(key))
                times.append(min((increment.time_ns + ahead_ns) // 1_000_000_000, now))
                counts.append((_bounded(increment.bad), _bounded(increment.total)))
        if not rows:
            return Entries.none()
        return Entries(np.array(rows), np.array(times), np.array(counts, np.int64))

    def _events(self, entries: Entries) -> Entries:
        """Entries as events of the objective: slices settled, calendars and lifetimes counted."""
        if self.books:
            entries = self._sliced(entries)
        self._stirred = entries.rows
        dated = self._count_calendars(entries)
        if not len(entries.rows):
            return entries
        np.add.at(self.lifetime, entries.rows, entries.counts)
        kept = entries.times > self.clock - self.horizon
        if kept.all():
            return entries
        late = entries.where(~kept & ~dated)
        # The sum over all groups has each of them again, and what is apart is part of a series.
        keys = [self.keys[row] for row in late.rows.tolist()]
        once = np.array([k.group is not None and main_of(k) is None for k in keys], bool)
        self.too_late += int(late.counts[once, 1].sum())
        return entries.where(kept)

    def _sliced(self, entries: Entries) -> Entries:
        now = int(self.clock)
        whole = ~np.isin(entries.rows, list(self.books))
        for row, time, (bad, total) in zip(
            *(part[~whole].tolist() for part in entries), strict=True
        ):
            if self.books[row].remembers(time, now):
                self.books[row].add(time, bad, total)
            else:
                self.too_late += total
        settled = [(row, *event) for row, book in self.books.items() for event in book.settle(now)]
        if not settled:
            return entries.where(whole)
        rows, times, bads, totals = np.array(settled, np.int64).T
        return entries.where(whole).also(Entries(rows, times, np.stack([bads, totals], axis=1)))

    def _count_calendars(self, entries: Entries) -> NDArray[np.bool_]:
        """Count what falls into the current calendar windows; tells which entries did."""
        dated = np.zeros(len(entries.rows), np.bool_)
        for window, rows in self.calendar_rows.items():
            start, end = self.calendars.get(window, (0, 0))
            if self.clock >= end:
                self._told = None  # whether or not a bucket ends there
                start = period_start(window, int(self.clock))
                self.calendars[window] = (start, period_end(window, int(self.clock)))
                # Another period than the one before, or another than it was before a restart.
                over = np.array(rows)[self.since[rows] != start]
                self.period[over] = 0
                self.since[rows] = start
            within = np.isin(entries.rows, rows) & (entries.times >= start)
            np.add.at(self.period, entries.rows[within], entries.counts[within])
            dated |= within
        return dated

    def _update(
        self,
        onward: Entries | None,
        entries: Entries,
        tallies: tuple[Tally, ...],
        *,
        live: bool,
        exact: bool,
    ) -> Update:
        late = self.level.deposit(entries)
        if len(late.rows):
            onward = late if onward is None else onward.also(late)
        self.cause += 1
        rows = len(self.keys)
        told, self._told = self._told, (self.level.head, rows)
        return Update(
            level=0,
            cause=self.cause,
            clock=self.clock,
            live=live,
            sums=self.level.sums[:rows].copy(),
            carry=self.level.carry[:rows].copy(),
            onward=onward,
            touched=distinct(self._stirred, rows) if told == self._told else None,
            head=Head(
                shard=self.shard,
                keys=self.keys,
                period=self.period[:rows].copy(),
                lifetime=self.lifetime[:rows].copy(),
                tallies=tallies,
                watermarks=self.watermarks,
                too_late=self.too_late,
                newest={key: float(self.newest[row]) for key, row in self.homes.items()},
                exact=exact,
                points=dict(self.increments.counts),
                streams=len(self.increments),
            ),
        )

    def state(self) -> dict[str, object]:
        """What a snapshot keeps; plain values, to be pickled at once."""
        rows = len(self.keys)
        return {
            "level": self.level.trimmed(),
            "lifetime": self.lifetime[:rows],
            "period": self.period[:rows],
            "since": self.since[:rows],
            "newest": self.newest[:rows],
            "keys": self._blocks.of(self.keys),
            **{name: getattr(self, name) for name in _KEPT},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot, perhaps with other objectives than it was taken with.

        Rows of objectives that are gone, or counted otherwise now, stay where they are: they get no
        more entries, and deciders pass over them.
        """
        for name in ("lifetime", "period", "since", *_KEPT):
            setattr(self, name, state[name])
        self.keys = unpickled(state["keys"])
        # Snapshots of before there was such a thing have none.
        self.newest = state.get("newest", np.zeros(len(self.keys)))
        self.level = state["level"].fitted(self.level.windows, self.level.parent)
        self.rows = {key: row for row, key in enumerate(self.keys)}
        self.calendar_rows = {}
        for row, key in enumerate(self.keys):
            objective = self.objectives.get(key.objective)
            if objective and isinstance(objective.window, CalendarWindow):
                self.calendar_rows.setdefault(objective.window, []).append(row)


def _bounded(count: int) -> int:
    """A count that arrays and floats can hold; no counter counts more events than this between two points."""
    return max(-MOST_AT_ONCE, min(MOST_AT_ONCE, count))


_KEPT = (
    "cause",
    "clock",
    "watermarks",
    "per_objective",
    "books",
    "increments",
    "too_late",
)
