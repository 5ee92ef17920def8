"""Alarms at a threshold, and what they come to beside the incidents.

An *alarm* is a maximal run of readings with a score at or above the threshold; runs less than `gap`
readings apart are one. It is true where a reading of it lies in a labelled window, else false. An
incident is found where a reading in its window is in an alarm.
"""

from dataclasses import dataclass

STAYS_ON = 0.02  # of the ordinary readings


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a threshold comes to, over all series.

    Attributes:
        threshold: scores at or above it alarm.
        found: incidents that an alarm overlaps.
        incidents: in all.
        true: alarms that overlap an incident.
        false: alarms that do not.
        days: of all series.
        outside: readings outside incidents at or above the threshold.
        ordinary: all readings outside incidents.
    """

    threshold: float
    found: int
    incidents: int
    true: int
    false: int
    days: float
    outside: int
    ordinary: int

    @property
    def stays_on(self) -> bool:
        """Whether alarms last so long that they overlap incidents by chance: then recall means nothing."""
        return self.outside > STAYS_ON * self.ordinary

    @property
    def recall(self) -> float:
        """Share of the incidents that are found."""
        return self.found / self.incidents if self.incidents else float("nan")

    @property
    def precision(self) -> float:
        """Share of the alarms that are true; 1 where there are none."""
        alarms = self.true + self.false
        return self.true / alarms if alarms else 1.0

    @property
    def rate(self) -> float:
        """False alarms a series and day."""
        return self.false / self.days


class Alarms:
    """The alarms at a threshold that is lowered: readings join them, and they merge.

    Args:
        window: number of the incident that each reading is in, -1 for none.
        after: readings since the last one in an incident.
        gap: of each reading: runs less than so many readings apart are one alarm.
        tolerance: an alarm that begins so few readings after an incident is neither true nor false.
    """

    def __init__(
        self, window: list[int], after: list[int], gap: list[int], tolerance: int = 0
    ) -> None:
        self.true = self.false = self.outside = 0
        self.found: set[int] = set()
        self._window, self._after = window, after
        self._gap, self._tolerance = gap, tolerance
        self._parent: dict[int, int] = {}  # a tree for each alarm; its root is its first reading
        self._hit: dict[int, bool] = {}

    def add(self, reading: int) -> None:
        """A reading is at or above the threshold now."""
        self._parent[reading] = reading
        self._hit[reading] = self._window[reading] >= 0
        if self._hit[reading]:
            self.found.add(self._window[reading])
        else:
            self.outside += 1
        self._count(reading, 1)
        gap = self._gap[reading]
        for step in (-1, 1):
            for other in range(reading + step, reading + step * gap, step):
                if other in self._parent:
                    self._merge(reading, other)
                    break

    def _merge(self, one: int, other: int) -> None:
        first, second = sorted((self._root(one), self._root(other)))
        if first == second:
            return
        self._count(first, -1)
        self._count(second, -1)
        self._parent[second] = first
        self._hit[first] = self._hit[first] or self._hit[second]
        self._count(first, 1)

    def _root(self, reading: int) -> int:
        while self._parent[reading] != reading:
            self._parent[reading] = self._parent[self._parent[reading]]
            reading = self._parent[reading]
        return reading

    def _count(self, root: int, change: int) -> None:
        if self._hit[root]:
            self.true += change
        elif self._after[root] > self._tolerance:
            self.false += change
