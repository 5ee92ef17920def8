"""Recall of incidents and precision of alarms, at one threshold for all series and a budget of false alarms.

An *alarm* is a maximal run of readings with a score at or above the threshold; runs less than `gap`
readings apart are one. It is true where a reading of it lies in a labelled window, else false. An
incident is found where a reading in its window is in an alarm.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.detection.series import Series
from detectors.verdict import Floats

BUDGET = 0.2
GAP = 10
TOLERANCE = 5
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


class _Alarms:
    """The alarms at a threshold that is lowered: readings join them, and they merge.

    Args:
        window: number of the incident that each reading is in, -1 for none.
        after: readings since the last one in an incident.
        gap: runs less than so many readings apart are one alarm.
        tolerance: an alarm that begins so few readings after an incident is neither true nor false.
    """

    def __init__(
        self, window: list[int], after: list[int], gap: int = GAP, tolerance: int = 0
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
        for step in (-1, 1):
            for other in range(reading + step, reading + step * self._gap, step):
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


def outcomes(
    series: Sequence[Series], scores: Sequence[Floats], *, gap: int = GAP, tolerance: int = 0
) -> Iterator[Outcome]:
    """What each threshold comes to, the highest first; a score of 0 or less never alarms.

    Args:
        series: what was judged.
        scores: of each series, one a reading; higher is stranger.
        gap: runs less than so many readings apart are one alarm.
        tolerance: alarms that begin within so many readings after an incident are neither true nor false.
    """
    windows, afters, padded, known = [], [], [], 0
    pad = np.full(gap, -1)  # so that alarms of neighbours never merge
    for one, score in zip(series, scores, strict=True):
        if len(score) != len(one.values) or not np.isfinite(score).all():
            raise ValueError(f"{one.name}: a finite score is needed for each of its readings")
        window = np.full(len(score), -1)
        for number, (first, last) in enumerate(one.windows, known):
            window[first : last + 1] = number
        known += len(one.windows)
        places = np.arange(len(score))
        latest = np.maximum.accumulate(np.where(window >= 0, places, -(10**9)))
        windows += [window, pad]
        afters += [places - latest, pad]
        padded += [score, np.zeros(gap)]
    everything = np.concatenate(padded)
    order = np.argsort(-everything, kind="stable")
    order = order[: int(np.count_nonzero(everything > 0))]
    alarms = _Alarms(
        np.concatenate(windows).tolist(), np.concatenate(afters).tolist(), gap, tolerance
    )
    days = sum(one.days for one in series)
    ordinary = _ordinary(series)
    ranked = everything[order].tolist()
    for rank, (reading, score) in enumerate(zip(order.tolist(), ranked, strict=True), 1):
        alarms.add(reading)
        if rank == len(ranked) or ranked[rank] < score:
            yield Outcome(
                score,
                len(alarms.found),
                known,
                alarms.true,
                alarms.false,
                days,
                alarms.outside,
                ordinary,
            )


def _ordinary(series: Sequence[Series]) -> int:
    return sum(int(np.count_nonzero(~one.label)) for one in series)


def _nothing(series: Sequence[Series], threshold: float) -> Outcome:
    """What a threshold that no score reaches comes to."""
    days = sum(one.days for one in series)
    incidents = sum(len(one.windows) for one in series)
    return Outcome(threshold, 0, incidents, 0, 0, days, 0, _ordinary(series))


def within(
    series: Sequence[Series],
    scores: Sequence[Floats],
    *,
    budget: float = BUDGET,
    gap: int = GAP,
    tolerance: int = 0,
) -> Outcome:
    """That of the lowest threshold which, as all above it, gives no more false alarms than the budget.

    Args:
        series: what was judged.
        scores: of each series.
        budget: false alarms a series and day.
        gap: see `outcomes`.
        tolerance: see `outcomes`.
    """
    best = _nothing(series, np.inf)
    for outcome in outcomes(series, scores, gap=gap, tolerance=tolerance):
        if outcome.rate > budget:
            break
        best = outcome
    return best


def at(
    series: Sequence[Series],
    scores: Sequence[Floats],
    threshold: float,
    *,
    gap: int = GAP,
    tolerance: int = 0,
) -> Outcome:
    """What one threshold comes to; arguments as of `outcomes`."""
    flags = [(score >= threshold).astype(float) for score in scores]
    found = next(outcomes(series, flags, gap=gap, tolerance=tolerance), None)
    return found or _nothing(series, threshold)


@dataclass(frozen=True, slots=True)
class Carried:
    """Means over random halves: what is best on one half of the series, on the other.

    Attributes:
        recall: of incidents on the other half.
        precision: of alarms there.
        rate: false alarms a series and day there.
    """

    recall: float
    precision: float
    rate: float


def carried(
    series: Sequence[Series],
    configurations: Sequence[Sequence[Floats]],
    *,
    budget: float = BUDGET,
    splits: int = 20,
    seed: int = 0,
) -> Carried:
    """How a threshold does on series that it was not chosen on; NaN where there are no two series.

    Args:
        series: what was judged.
        configurations: the scores of each series, by each of them; the one of most recall is chosen too.
        budget: false alarms a series and day, on the half that chooses.
        splits: how often the series are halved at random.
        seed: of the halves.
    """
    if len(series) < 2:
        return Carried(np.nan, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(splits):
        order = rng.permutation(len(series))
        chooses, judged = order[: len(series) // 2], order[len(series) // 2 :]
        half = [series[i] for i in chooses]
        tried = [
            (within(half, [scores[i] for i in chooses], budget=budget), scores)
            for scores in configurations
        ]
        best, scores = max(tried, key=lambda one: (one[0].recall, one[0].precision))
        other = [series[i] for i in judged]
        one = at(other, [scores[i] for i in judged], best.threshold)
        found.append((one.recall, one.precision, one.rate))
    recall, precision, rate = np.nanmean(found, axis=0).tolist()
    return Carried(recall, precision, rate)
