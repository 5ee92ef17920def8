"""All detectors of a shard: readings in, how strange they are out.

Series of one interval and one budget of false alarms share a `Bank`, a row each. Rows belong to series by
their keys, not by their places in the readings, so that a restart or a reload may bring other places.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors import Bank, Verdicts
from slo._pickled import completed
from slo.anomalies._detectors import Named, is_default, named
from slo.anomalies._evidence import Floats, Made
from slo.anomalies._rows import Rows
from slo.anomalies._silence import told as silent
from slo.anomalies._verdicts import Indices, nothing, put, put_one
from slo.anomalies.messages import EntityKey, ReadingKey, Readings
from slo.anomalies.model import Feature, Monitor

# The feature as which all features of an entity are judged as one; no feature can be called so.
TOGETHER = "all features"

_MADE = {"errors": Made.SHARE, "quantile": Made.MEAN, "mean": Made.MEAN}

Make = Callable[[Monitor], Named]


class Judged(NamedTuple):
    """What is said of the readings of one moment.

    Attributes:
        keys: those of the readings that a monitor is known of, then one with the feature `TOGETHER` for
            each entity whose features are judged as one.
        values: `float64[keys]`, of the readings; NaN for those judged as one.
        verdicts: one a key.
        places: where each key stands.
    """

    keys: tuple[ReadingKey, ...]
    values: NDArray[np.float64]
    verdicts: Verdicts
    places: Mapping[ReadingKey, int]


@dataclass(slots=True)
class LaneState:
    """What a snapshot keeps of the series of one interval.

    Attributes:
        at: of the newest readings.
        banks: by budget of false alarms.
        named: detectors of series and entities, with what they were made of.
        alerts: the series that were strange at last.
        dead: places in the readings whose series has gone, until they are another's.
    """

    at: float = -np.inf
    banks: dict[float, Rows] = field(default_factory=dict)
    named: dict[ReadingKey, tuple[str, Named]] = field(default_factory=dict)
    alerts: frozenset[ReadingKey] = frozenset()
    dead: frozenset[int] = frozenset()


class Detecting:
    """The detectors of a shard.

    Args:
        monitors: by id.
        state: of a snapshot, or None to begin.
        make: makes a detector that a monitor names.
    """

    def __init__(
        self,
        monitors: Mapping[str, Monitor],
        state: Mapping[int, LaneState] | None = None,
        make: Make = named,
    ) -> None:
        self._monitors = monitors
        self._make = make
        # Places of an interval that is measured no more mean nothing when it is measured again.
        measured = {monitor.every for monitor in monitors.values()}
        self._lanes = {
            every: _Lane(monitors, make, completed(kept))
            for every, kept in (state or {}).items()
            if every in measured
        }

    def judge(self, readings: Readings) -> Judged | None:
        """Judge a moment's readings, and learn from them, unless they are frozen.

        Frozen ones tell nothing of the service: what was strange stays so.

        Returns:
            None where readings of this moment, or of a later one, were judged before.
        """
        lane = self._lanes.get(readings.every)
        if lane is None:
            lane = self._lanes[readings.every] = _Lane(self._monitors, self._make, LaneState())
        return lane.judge(readings)

    def state(self) -> dict[int, LaneState]:
        """What a snapshot keeps."""
        return {every: lane.state() for every, lane in self._lanes.items()}


class _Lane:
    """The series of one length of interval."""

    def __init__(self, monitors: Mapping[str, Monitor], make: Make, state: LaneState) -> None:
        self._monitors = monitors
        self._make = make
        self._state = state
        self._given: tuple[ReadingKey, ...] = ()
        # Places of what is judged among the readings; the banks' rows; what they are judged by.
        self._keys: tuple[ReadingKey, ...] = ()
        self._at: dict[ReadingKey, int] = {}
        self._places = np.empty(0, np.int64)
        self._banked: list[tuple[Rows, Indices, Indices]] = []
        # What that which is judged is made of, a `Made` each.
        self._made = np.empty(0, np.int8)
        # What a single event makes of a rate of events; 0 for anything else.
        self._ones = np.empty(0)
        self._single: list[tuple[int, dict[str, int], Named]] = []

    def judge(self, readings: Readings) -> Judged | None:
        if readings.at <= self._state.at:
            return None
        self._state.at = readings.at
        changed = readings.keys is not self._given and readings.keys != self._given
        self._given = readings.keys
        if readings.gone or readings.reset:
            gone = set(readings.gone)
            dead = {place for place, key in enumerate(readings.keys) if key in gone}
            self._state.dead = (self._state.dead | dead).difference(readings.reset)
            changed = True
        if changed:
            self._arrange(readings.keys)
        values = np.full(len(self._keys), np.nan)
        values[: len(self._places)] = readings.values[self._places]
        verdicts = nothing(len(self._keys))
        if readings.frozen:
            known = self._state.alerts
            verdicts.alert[:] = [key in known for key in self._keys] if known else False
            return Judged(self._keys, values, verdicts, self._at)
        for each, places, rows in self._banked:
            put(verdicts, places, self._judge(each, places, rows, values, readings), rows)
        for place, features, detector in self._single:
            found = {name: float(values[at]) for name, at in features.items()}
            found = {name: value for name, value in found.items() if np.isfinite(value)}
            put_one(verdicts, place, detector.observe(readings.at, found))
        self._state.alerts = frozenset(
            self._keys[row] for row in np.flatnonzero(verdicts.alert).tolist()
        )
        return Judged(self._keys, values, verdicts, self._at)

    def _judge(
        self, each: Rows, places: Indices, rows: Indices, values: Floats, readings: Readings
    ) -> Verdicts:
        """Verdicts of a bank, one a row."""
        spread, events = np.full(each.bank.rows, np.nan), np.zeros(each.bank.rows)
        made = np.zeros(each.bank.rows, np.int8)
        spread[rows] = values[places]
        events[rows] = readings.counts[self._places[places]]
        made[rows] = self._made[places]
        chance = each.bank.every * each.bank.false_alarms
        before = copy(each.usual)
        judged = each.usual.judged(spread, events, made, chance)
        verdicts = each.bank.observe(readings.at, judged)
        verdicts = before.told(verdicts, judged, events, made, chance)
        one = np.zeros(each.bank.rows)
        one[rows] = self._ones[places]
        expected = each.silence.expected(readings.at)
        missed = each.silence.observe(readings.at, events)
        return silent(verdicts, missed, expected, one, chance, each.bank.every)

    def state(self) -> LaneState:
        banks = {
            budget: replace(each, bank=each.bank.trimmed())
            for budget, each in self._state.banks.items()
        }
        return replace(self._state, banks=banks)

    def _arrange(self, given: tuple[ReadingKey, ...]) -> None:
        """Take up other series; what is there no more is forgotten."""
        known = [
            (place, key, monitor)
            for place, key in enumerate(given)
            if place not in self._state.dead
            and (monitor := self._monitors.get(key.entity.monitor)) is not None
            and monitor.measures(key.entity.generation)
        ]
        self._places = np.array([place for place, _, _ in known], np.int64)
        keys = [key for _, key, _ in known]
        budgets: dict[float, list[int]] = {}
        singles: list[tuple[ReadingKey, Monitor, dict[str, int]]] = []
        together: dict[EntityKey, dict[str, int]] = {}
        for at, (_, key, monitor) in enumerate(known):
            if is_default(monitor):
                budgets.setdefault(monitor.false_alarms, []).append(at)
            else:
                singles.append((key, monitor, {key.feature: at}))
            if monitor.detection.together:
                together.setdefault(key.entity, {})[key.feature] = at
        singles += [
            (ReadingKey(entity, TOGETHER), self._monitors[entity.monitor], features)
            for entity, features in together.items()
        ]
        self._keys = (*keys, *(key for key, _, features in singles if key.feature == TOGETHER))
        self._at = {key: at for at, key in enumerate(self._keys)}
        self._made = np.array([self._made_of(key) for key in self._keys], np.int8)
        self._ones = np.array([self._one(key) for key in self._keys], np.float64)
        self._fill(budgets)
        self._hire(singles)

    def _made_of(self, key: ReadingKey) -> Made:
        feature = self._feature(key)
        return _MADE.get(feature.kind, Made.WHOLE) if feature else Made.WHOLE

    def _one(self, key: ReadingKey) -> float:
        feature, monitor = self._feature(key), self._monitors[key.entity.monitor]
        counts = feature is not None and feature.kind == "rate" and feature.bad is None
        return feature.per / monitor.every if feature and counts else 0.0

    def _feature(self, key: ReadingKey) -> Feature | None:
        features = self._monitors[key.entity.monitor].features
        return next((each for each in features if each.name == key.feature), None)

    def _fill(self, budgets: Mapping[float, list[int]]) -> None:
        banks = self._state.banks
        for budget in banks.keys() - budgets.keys():
            del banks[budget]
        self._banked = []
        for budget, places in budgets.items():
            every = self._monitors[self._keys[places[0]].entity.monitor].every
            rows = banks.setdefault(budget, Rows(Bank(every=float(every), false_alarms=budget)))
            rows.keep([self._keys[at] for at in places])
            at = np.array(places, np.int64)
            mine = np.array([rows.rows[self._keys[place]] for place in places], np.int64)
            self._banked.append((rows, at, mine))

    def _hire(self, singles: list[tuple[ReadingKey, Monitor, dict[str, int]]]) -> None:
        kept: dict[ReadingKey, tuple[str, Named]] = {}
        self._single = []
        for key, monitor, features in singles:
            made_of = repr((monitor.detection, monitor.false_alarms))
            have = self._state.named.get(key)
            detector = have[1] if have and have[0] == made_of else self._make(monitor)
            kept[key] = (made_of, detector)
            self._single.append((self._at[key], features, detector))
        self._state.named = kept
