"""What measuring costs by how many series a batch is of, and how much of it holds the interpreter's lock."""

import cProfile
import gc
import pstats
import time
from typing import NamedTuple
from unittest.mock import patch

from benchmarks import traffic
from benchmarks.throughput import SLOS
from engine.columns.measure import KERNELS, Measurer, warm_up
from engine.spool.arrivals import Arrivals
from slo import load

SPANS, REQUESTS = 1000, 32
TENANTS = (20, 400, 4000)
OBJECTIVES = 3
ROUNDS = 3


class Measured(NamedTuple):
    """Of one number of tenants.

    Attributes:
        series: with events in the batch, of all objectives.
        cpu: µs of the processor a span.
        locked: share of it in which no other worker of the process can run Python.
    """

    series: int
    cpu: float
    locked: float


def batch(tenants: int) -> tuple[Measurer, Arrivals]:
    """A measurer, and a batch of spans of so many tenants, 5 models each."""
    clock = float(int(time.time()) // 5 * 5 + 4)
    with patch.object(traffic, "TENANTS", tuple(f"tenant-{n:05}" for n in range(tenants))):
        bodies = [traffic.payload(SPANS, int(clock * 1e9), seed) for seed in range(REQUESTS)]
    objectives = load({"bench.yaml": SLOS}).objectives
    measurer = Measurer(objectives, 16, 30.0)
    arrivals = Arrivals(clock=clock, traces=tuple(bodies), watermarks=(clock, 0.0))
    return measurer, arrivals


def measure(tenants: int) -> Measured:
    """What such a batch costs."""
    measurer, arrivals = batch(tenants)
    measurer.measure(arrivals)
    # As a flow does at its start: collections pass over what lives as long as the process.
    gc.collect()
    gc.freeze()
    spent = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        found = measurer.measure(arrivals)
        spent.append(time.thread_time() - began)
    profile = cProfile.Profile(time.thread_time)
    profile.runcall(measurer.measure, arrivals)
    kernels = {(k.py_func.__code__.co_filename, k.__name__) for k in KERNELS}
    calls = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # typeshed has it not
    free = sum(own for (file, _, name), (_, _, own, *_) in calls.items() if (file, name) in kernels)
    series = sum(len(deposit.keys) for _, deposit in found)
    return Measured(series, 1e6 * min(spent) / SPANS / REQUESTS, 1 - free / min(spent))


def main() -> list[Measured]:
    """Print a line for each number of tenants."""
    warm_up()
    found = [measure(tenants) for tenants in TENANTS]
    for one in found:
        print(
            f"a batch of {SPANS * REQUESTS:,} spans of {one.series:6,} series: {one.cpu:5.2f} µs of CPU a"
            f" span, {100 * one.locked:3.0f} % of it with the interpreter's lock"
        )
    first, last = found[0], found[-1]
    entry = (last.cpu - first.cpu) * SPANS * REQUESTS / (last.series - first.series)
    print(f"a series in a batch: {entry:.1f} µs")
    return found


if __name__ == "__main__":
    main()
