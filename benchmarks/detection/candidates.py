"""Detectors by name, and what the judges ask of each: a score a reading, and for the default its alerts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import detectors
from benchmarks.detection.baselines import BASELINES, Scorer, of_river
from benchmarks.detection.series import Series
from detectors.verdict import Bools, Verdict

DEFAULT = "default"
WEEK, DAY = 604_800.0, 86_400.0
Observe = Callable[[float, float], Verdict]  # Unix seconds and value of a reading


@dataclass(frozen=True, slots=True)
class Candidate:
    """A detector that is judged.

    Attributes:
        name: for the tables.
        score: what it makes of a series; 0 where nothing is strange, never an alarm.
        alerts: the readings in an alert, at a rate of false alarms a second; None without such a budget.
    """

    name: str
    score: Scorer
    alerts: Callable[[Series, float], Bools] | None = None


def named(name: str) -> Candidate:
    """The detector of this name.

    Args:
        name: `default`, one of the baselines, or `river:LODA` for a detector of `river.anomaly`.

    Raises:
        ValueError: there is none.
    """
    if name == DEFAULT:
        return Candidate(name, scorer(), default_alerts)
    if name.startswith("river:"):
        return Candidate(name, of_river(name.removeprefix("river:")))
    if name not in BASELINES:
        known = ", ".join([DEFAULT, *BASELINES, "river:NAME"])
        raise ValueError(f"there is no detector {name!r} to judge; there are: {known}")
    return Candidate(name, BASELINES[name])


def scorer(settings: Any = None) -> Scorer:
    """Scores of our default, in its default setting where none is given."""
    return lambda series: np.array([v.score for v in _verdicts(series, 1 / WEEK, settings)])


def default_alerts(series: Series, false_alarms: float) -> Bools:
    """Readings in an alert of our default, at so many false alarms a second."""
    return np.array([verdict.alert for verdict in _verdicts(series, false_alarms)])


def _verdicts(series: Series, false_alarms: float, settings: Any = None) -> Iterator[Verdict]:
    observe = one_at_a_time(series.every, false_alarms, settings)
    return map(observe, series.at.tolist(), series.values.tolist())


def one_at_a_time(every: float, false_alarms: float = 1 / WEEK, settings: Any = None) -> Observe:
    """The default for a single series, fresh.

    Args:
        every: seconds between readings; the detector learns that itself, only the stand-in does not.
        false_alarms: a second.
        settings: of the detector, where they are not its default ones.
    """
    if hasattr(detectors, "Detector"):
        more = {} if settings is None else {"settings": settings}
        observe: Observe = detectors.Detector(false_alarms=false_alarms, **more).observe
        return observe
    bank = detectors.Bank(every, false_alarms)
    bank.grow(1)
    return lambda at, value: bank.observe(at, np.array([value])).of(0)
