"""Detectors by name, and what the judges ask of each: a score a reading, and for the default its alerts."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from benchmarks.detection.baselines import BASELINES, Scorer, of_river
from benchmarks.detection.series import Series
from detectors import _kernel
from detectors.verdict import Bools, Floats

DEFAULT = "default"
WEEK, DAY = 604_800.0, 86_400.0
SCORE, ALERT = 0, 5  # columns of what the kernel says


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
        return Candidate(name, scorer(_kernel), default_alerts)
    if name.startswith("river:"):
        return Candidate(name, of_river(name.removeprefix("river:")))
    if name not in BASELINES:
        known = ", ".join([DEFAULT, *BASELINES, "river:NAME"])
        raise ValueError(f"there is no detector {name!r} to judge; there are: {known}")
    return Candidate(name, BASELINES[name])


def scorer(kernel: ModuleType) -> Scorer:
    """Scores of our default, by its kernel or one like it."""
    return lambda series: _verdicts(kernel, series, 1 / WEEK)[:, SCORE]


def default_alerts(series: Series, false_alarms: float) -> Bools:
    """Readings in an alert of our default, at so many false alarms a second."""
    alert: Bools = _verdicts(_kernel, series, false_alarms)[:, ALERT] > 0
    return alert


def _verdicts(kernel: ModuleType, series: Series, false_alarms: float) -> Floats:
    """What `detectors.Detector` says of each reading: the same function, called once a series."""
    out = np.empty((len(series.values), 7))
    kernel.series(series.at, series.values, 0.0, false_alarms, out)
    return out
