"""Does the budget hold: alarms outside incidents a series and day, beside what `false_alarms:` asked for.

On the labelled series, where what is not labelled is taken for ordinary, and on made-up ones, which are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.detection.candidates import DAY, WEEK
from benchmarks.detection.series import Series, runs
from detectors.verdict import Bools, Floats

Alerts = Callable[[Series, float], Bools]
ASKED = {"1/day": 1 / DAY, "1/week": 1 / WEEK, "1/month": 1 / (30 * DAY)}


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a budget came to.

    Attributes:
        asked: false alarms a series and day.
        false: alarms that overlap no incident.
        days: of all series, incidents left out.
        found: incidents with a reading in an alarm.
        incidents: all.
    """

    asked: float
    false: int
    days: float
    found: int = 0
    incidents: int = 0

    @property
    def rate(self) -> float:
        """False alarms a series and day."""
        return self.false / self.days

    @property
    def ratio(self) -> float:
        """Of the rate to what was asked: 1 is right, 2 is twice too many."""
        return self.rate / self.asked


def calibrate(series: Sequence[Series], alerts: Alerts, false_alarms: float) -> Calibration:
    """Count the alarms at a budget.

    Args:
        series: ordinary but for their incidents.
        alerts: the readings in an alert, at a rate a second.
        false_alarms: the rate.
    """
    false, found, seconds = 0, 0, 0.0
    for one in series:
        label, alert = one.label, alerts(one, false_alarms)
        false += sum(not label[a : b + 1].any() for a, b in runs(alert))
        found += sum(bool(alert[a : b + 1].any()) for a, b in one.windows)
        seconds += one.days * DAY * float(1 - label.mean())
    incidents = sum(len(one.windows) for one in series)
    return Calibration(false_alarms * DAY, false, seconds / DAY, found, incidents)


def together(found: Sequence[Calibration]) -> Calibration:
    """That of all series at one budget."""
    false, days = sum(one.false for one in found), sum(one.days for one in found)
    known, incidents = sum(one.found for one in found), sum(one.incidents for one in found)
    return Calibration(found[0].asked, false, days, known, incidents)


def made_up(days: float = 60.0, seed: int = 0) -> list[Series]:
    """Series without an incident, of the kinds that services have: of every minute, and of every hour.

    Args:
        days: the length of those of a minute; those of an hour are ten times as long.
        seed: of the random values.
    """
    return [*_kinds("minute", days, 60.0, seed), *_kinds("hour", 10 * days, 3600.0, seed)]


def _kinds(prefix: str, days: float, every: float, seed: int) -> list[Series]:
    rng = np.random.default_rng(seed)
    count = int(days * DAY / every)
    at: Any = np.arange(count) * every + 1_700_000_000.0
    day = 1 + 0.5 * np.sin(2 * np.pi * at / DAY)
    week = np.where((at // DAY) % 7 < 5, 1.0, 0.6)
    kinds: dict[str, Any] = {
        "normal": rng.normal(100, 10, count),
        "lognormal": rng.lognormal(0, 0.5, count),
        "student-t": 100 + 5 * rng.standard_t(4, count),
        "counts": rng.poisson(4, count).astype(float),
        "rare-counts": rng.poisson(0.05, count).astype(float),
        "autocorrelated": 100 + _autoregressive(rng.normal(0, 1, count), 0.9),
        "random-walk": 1000 + np.cumsum(rng.normal(0, 1, count)),
        "daily": 100 * day + rng.normal(0, 5, count),
        "daily-counts": rng.poisson(30 * day * week).astype(float),
    }
    return [Series(f"made-up/{prefix}-{name}", at, values, ()) for name, values in kinds.items()]


def _autoregressive(noise: Floats, weight: float) -> Floats:
    out, last = np.empty_like(noise), 0.0
    for i, value in enumerate(noise):
        out[i] = last = weight * last + value
    return out
