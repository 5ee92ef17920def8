"""How many false alarms calibrated detectors raise, beside how many they were allowed.

`python -m tests.detectors.calibration` prints the table of docs/detectors.md; a few minutes.
"""

import csv
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import anomaly, base, preprocessing, time_series
from scipy.signal import lfilter

from detectors.calibrated import Calibrated
from detectors.forecast import RobustForecast

DATA = Path(__file__).parents[3] / "shared" / "data"
if not DATA.exists():
    DATA = Path(__file__).parents[4] / "shared" / "data"  # from a worktree
BUDGETS = (3e-3, 1e-3, 3e-4)

DETECTORS: dict[str, Callable[[], base.Estimator]] = {
    "HalfSpaceTrees": lambda: preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1),
    "GaussianScorer": lambda: anomaly.GaussianScorer(window_size=500),
    "OneClassSVM": lambda: preprocessing.StandardScaler() | anomaly.OneClassSVM(),
    "PredictiveAnomalyDetection(HoltWinters)": lambda: anomaly.PredictiveAnomalyDetection(
        time_series.HoltWinters(alpha=0.3, beta=0.1)
    ),
    "PredictiveAnomalyDetection(RobustForecast)": lambda: anomaly.PredictiveAnomalyDetection(
        RobustForecast()
    ),
}


def gaussian(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    return rng.normal(100, 10, size)


def heavy(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    return 100 + 10 * rng.standard_t(3, size)


def counts(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    return rng.poisson(20, size).astype(float)


def autocorrelated(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    return 100 + lfilter([1], [1, -0.9], rng.normal(0, 5, size))


def seasonal(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    return 100 + 30 * np.sin(2 * np.pi * np.arange(size) / 1440) + rng.normal(0, 5, size)


SYNTHETIC = {f.__name__: f for f in (gaussian, heavy, counts, autocorrelated, seasonal)}


class Tally(NamedTuple):
    alarms: int
    readings: int

    def of(self, budget: float) -> float:
        """False alarms, in units of how many were asked for."""
        return self.alarms / (self.readings * budget)


def alarms(
    detector: base.Estimator,
    series: Iterator[tuple[float, float, bool]],
    every: float,
    budget: float,
) -> Tally:
    """Alarms in a series without its labelled stretches, and the readings judged."""
    calibrated = Calibrated(detector, every=every, false_alarms=budget / every)
    began = readings = 0
    was = False
    for at, value, labelled in series:
        # Labelled stretches are left out: what is found in them would be paid for from the budget.
        verdict = calibrated.observe(at, {} if labelled else {"value": value})
        if not labelled and not verdict.learning:
            readings += 1
            began += verdict.alert and not was
        was = verdict.alert
    return Tally(began, readings)


def real(path: Path) -> tuple[list[tuple[float, float, bool]], float]:
    """A labelled series: time, value, and whether an anomaly is within ten readings."""
    with path.open() as file:
        rows = [
            (float(row["timestamp"]), float(row["value"] or "nan"), row["label"] == "1")
            for row in csv.DictReader(file)
        ]
    labels = np.array([row[2] for row in rows], float)
    near = np.convolve(labels, np.ones(21), "same") > 0
    every = float(np.median(np.diff([row[0] for row in rows])))
    return [(at, value, bool(n)) for (at, value, _), n in zip(rows, near, strict=True)], every


def on_synthetic(kind: str, name: str, budget: float, size: int, repeats: int) -> Tally:
    tallies = []
    for seed in range(repeats):
        values = SYNTHETIC[kind](np.random.default_rng(seed), size)
        series = ((60.0 * n, float(v), False) for n, v in enumerate(values))
        tallies.append(alarms(DETECTORS[name](), series, 60.0, budget))
    return _sum(tallies)


def on_real(folder: str, name: str, budget: float, most: int | None = None, each: int = 1) -> Tally:
    """On the series of a folder, all or every third or so; all readings or the first."""
    tallies = []
    for path in sorted((DATA / "ops" / folder).glob("*.csv"))[::each]:
        series, every = real(path)
        tallies.append(alarms(DETECTORS[name](), iter(series[:most]), every, budget))
    return _sum(tallies)


def _sum(tallies: list[Tally]) -> Tally:
    return Tally(sum(t.alarms for t in tallies), sum(t.readings for t in tallies))


def main() -> None:
    size, repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 25_000, 2
    for name in DETECTORS:
        for kind in [*SYNTHETIC, "kpi", "cloud"]:
            cells = []
            began = time.time()
            for budget in BUDGETS:
                if kind in SYNTHETIC:
                    tally = on_synthetic(kind, name, budget, size, repeats)
                else:
                    tally = on_real(kind, name, budget)
                cells.append(f"{tally.of(budget):.2f} ({tally.alarms})")
            print(  # noqa: T201
                f"| {name} | {kind} | {' | '.join(cells)} |",
                f"{time.time() - began:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
