"""The entities that are watched at one interval's length, and the places of their series."""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from slo.anomalies.messages import EntityKey, ReadingKey
from slo.anomalies.model import Monitor
from slo.decision import OVERFLOW

# An entity that was silent for so long, and for so many intervals, has gone.
FORGET_SECONDS, FORGET_INTERVALS = 86_400, 100
# What an entity without events has: nothing happened, which is a reading too.
_ZERO = ("rate", "sum")


class Roster:
    """Which entities are known, and which element of the readings each of their series is.

    Args:
        every: seconds of an interval.
        limit: entities of one monitor; the rest share one.

    Attributes:
        keys: the series by place; a place whose series has gone keeps its key until it is another's.
        rows: of each entity, the places of its features, -1 for those that had no value yet.
    """

    def __init__(self, every: int, limit: int) -> None:
        self.every = every
        self.limit = limit
        self.keys: list[ReadingKey] = []
        self.rows: dict[EntityKey, list[int]] = {}
        # Of each entity, the number of the interval in which it was heard last; of those that told something.
        self._heard: dict[EntityKey, int] = {}
        self._interval = 0
        self._held: Counter[str] = Counter()
        self._free: list[int] = []
        self._freed: list[int] = []
        self._gone: list[ReadingKey] = []
        self._reset: list[int] = []
        self._shown: tuple[ReadingKey, ...] | None = None
        self._zeros: NDArray[np.int64] | None = None

    def place(self, entity: EntityKey, features: int) -> EntityKey:
        """The entity under which this one counts: itself, or beyond the limit the one that the rest share."""
        if entity not in self.rows:
            if entity.group and self._held[entity.monitor] >= self.limit:
                entity = _shared(entity)
            if entity not in self.rows:
                self.rows[entity] = [-1] * features
                self._held[entity.monitor] += OVERFLOW not in entity.group
        # Its interval is still open: until that is closed it must not go.
        self._heard[entity] = self._interval
        return entity

    def row(self, entity: EntityKey, feature: int, name: str) -> int:
        """The place of a series, found where it is new."""
        row = self.rows[entity][feature]
        if row < 0:
            row = self._new(ReadingKey(entity, name))
            self.rows[entity][feature] = row
            self._zeros = None
        return row

    def _new(self, key: ReadingKey) -> int:
        self._shown = None
        if self._free:
            row = self._free.pop()
            self.keys[row] = key
            self._reset.append(row)
            return row
        self.keys.append(key)
        return len(self.keys) - 1

    def hear(self, entities: Iterable[EntityKey]) -> None:
        """An interval that tells something has ended; these had events in it. The long silent go."""
        self._interval += 1
        for entity in entities:
            self._heard[entity] = self._interval
        silent = max(FORGET_SECONDS // self.every, FORGET_INTERVALS)
        self.drop([e for e in self.rows if self._interval - self._heard[e] > silent])

    def drop(self, entities: Iterable[EntityKey]) -> None:
        """Forget entities; their places are free, after it has been told."""
        for entity in entities:
            rows = [row for row in self.rows.pop(entity) if row >= 0]
            self._gone += [self.keys[row] for row in rows]
            self._freed += rows
            del self._heard[entity]
            self._held[entity.monitor] -= OVERFLOW not in entity.group
            self._zeros = None

    def keep(self, monitors: Mapping[str, Monitor]) -> None:
        """Drop what belongs to none of these monitors, or to one that measures something else now."""
        self.drop([e for e in self.rows if not _is_of(e, monitors.get(e.monitor), self.every)])

    def zeros(self, monitors: Mapping[str, Monitor]) -> NDArray[np.int64]:
        """The places whose value is 0 where their entity had no events."""
        if self._zeros is None:
            rows = [
                row
                for entity, places in self.rows.items()
                for row, feature in zip(places, monitors[entity.monitor].features, strict=True)
                if row >= 0 and feature.kind in _ZERO
            ]
            self._zeros = np.array(rows, np.int64)
        return self._zeros

    def changes(self) -> tuple[tuple[ReadingKey, ...], tuple[ReadingKey, ...], tuple[int, ...]]:
        """All keys by place; and since it was asked last, those gone and the places that changed hands."""
        if self._shown is None:
            self._shown = tuple(self.keys)
        found = self._shown, tuple(self._gone), tuple(self._reset)
        self._gone, self._reset = [], []
        self._free += self._freed
        self._freed = []
        return found

    @property
    def telling(self) -> bool:
        """Whether there is anything to tell of."""
        return bool(self.rows or self._gone)


def _shared(entity: EntityKey) -> EntityKey:
    own = entity.service in entity.group
    return entity._replace(
        group=(OVERFLOW,) * len(entity.group), service=OVERFLOW if own else entity.service
    )


def _is_of(entity: EntityKey, monitor: Monitor | None, every: int) -> bool:
    return (
        monitor is not None and monitor.generation == entity.generation and monitor.every == every
    )
