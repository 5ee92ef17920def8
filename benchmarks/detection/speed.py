"""Points a second on one core: the default one series at a time and banked, beside river's detectors.

All in one process and pinned to one core; they take turns for some rounds. A point is scored and learned.
"""

import pickle
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from river import anomaly

import detectors
from benchmarks.pinning import one_core
from detectors.verdict import Floats

ROUNDS = 5
EVERY = 60.0
START = 1_700_000_000.0
SINGLE = 20_000  # points of one series a round
BANKED = 2_000_000  # points of all series of a bank a round, a thousand moments at most
SIZES = (1, 100, 10_000, 100_000)
LIMIT = 8192


def values(count: int, seed: int = 0) -> Floats:
    """A noisy daily season, a reading a minute."""
    rng = np.random.default_rng(seed)
    season = np.sin(2 * np.pi * np.arange(count) * EVERY / 86_400)
    return 100 + 20 * season + rng.normal(0, 5, count)


def _features(detector: Any, count: int) -> Callable[[], float]:
    # HalfSpaceTrees wants values in [0, 1].
    readings = [{"value": value / 200} for value in values(count).tolist()]

    def run() -> float:
        began = time.perf_counter()
        for reading in readings:
            detector.score_one(reading)
            detector.learn_one(reading)
        return count / (time.perf_counter() - began)

    return run


def _target(detector: Any, count: int) -> Callable[[], float]:
    readings = values(count).tolist()

    def run() -> float:
        began = time.perf_counter()
        for reading in readings:
            detector.score_one(None, reading)
            detector.learn_one(None, reading)
        return count / (time.perf_counter() - began)

    return run


def _default(count: int) -> Callable[[], float]:
    observe = detectors.Detector(every=EVERY).observe
    readings = values(count).tolist()
    clock = _clock()

    def run() -> float:
        moments = [next(clock) for _ in readings]
        began = time.perf_counter()
        for at, reading in zip(moments, readings, strict=True):
            observe(at, reading)
        return count / (time.perf_counter() - began)

    return run


def _clock() -> Iterator[float]:
    at = START
    while True:
        yield at
        at += EVERY


def bank(rows: int) -> tuple[Callable[[], float], detectors.Bank]:
    """A round of a bank of so many series, and the bank."""
    made = detectors.Bank(every=EVERY)
    made.grow(rows)
    moments = max(2, min(1000, BANKED // rows))
    one = values(moments + rows, seed=1)
    readings = [np.ascontiguousarray(one[i : i + rows]) for i in range(moments)]
    clock = _clock()

    def run() -> float:
        at = [next(clock) for _ in readings]
        began = time.perf_counter()
        for moment, reading in zip(at, readings, strict=True):
            made.observe(moment, reading)
        return moments * rows / (time.perf_counter() - began)

    return run, made


def state_bytes(made: detectors.Bank) -> float:
    """Bytes a series of what a bank would write into a snapshot."""
    return len(pickle.dumps(made.trimmed(), protocol=5)) / made.rows


def main() -> None:
    """Measure and print."""
    one_core()
    peers: Any = anomaly  # has few types
    banks = {f"default, bank of {rows:,}": bank(rows) for rows in SIZES}
    runs = {
        "default, one at a time": _default(SINGLE),
        **{name: run for name, (run, _) in banks.items()},
        "river GaussianScorer": _target(peers.GaussianScorer(), SINGLE),
        "river HalfSpaceTrees": _features(peers.HalfSpaceTrees(seed=42), SINGLE // 4),
        "river LODA": _features(peers.LODA(seed=42), SINGLE // 20),
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # compiles, and fills river's first window
    for _ in range(ROUNDS):
        for name, run in runs.items():
            rates[name].append(run())
    peer = statistics.median(rates["river HalfSpaceTrees"])
    print(f"speed: points a second on one core, medians of {ROUNDS} rounds in turn")
    for name, found in rates.items():
        middle = statistics.median(found)
        print(
            f"  {name:28} {middle:12,.0f} ({min(found):,.0f} to {max(found):,.0f}), "
            f"{1e9 / middle:10,.0f} ns a point, {middle / peer:7.1f} x HalfSpaceTrees"
        )
    for name, (_, made) in banks.items():
        print(f"  state of {name:28} {state_bytes(made):8,.0f} bytes a series (limit {LIMIT:,})")


if __name__ == "__main__":
    main()
