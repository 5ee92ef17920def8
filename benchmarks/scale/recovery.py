"""Seconds from a start to decisions, through Bytewax and its recovery store, with and without a backlog.

One process is filled with series and ends, as if it had been told to; another goes on from its store. Counts
go into the flow as deposits, so that nothing is measured but state: spans that wait are read again as fast as
`benchmarks.scale.throughput` tells.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main

from benchmarks.scale.parts import Marks, Newest, Parts
from benchmarks.scale.series import MEDIAN_RATE, SPREAD, keys_of, plan_of
from dataflows.flow import build
from dataflows.guarded import Keyed
from engine.spool.arrivals import Arrivals
from slo.messages import Deposit
from slo.plan import Plan, shard_of
from slo.windows import Entries

SIZES = (1_000, 10_000, 100_000)
CLOCK = 1_800_000_000.0
BACKLOG_SECONDS = 30
# Ages of each series' first events: one at every level, so that all of them have rows.
HISTORY = (0, 1_000, 10_000, 100_000, 1_000_000)


class Recovery(NamedTuple):
    """Of one size.

    Attributes:
        series: how many.
        store: bytes of the recovery store.
        saving: seconds of a run that takes up all series and saves them.
        first: seconds from the start of the flow to the first decision.
        all: to the decision of the last shard.
        replayed: to the end of a backlog of half a minute, read second by second.
        cpu: of the processor, likewise.
    """

    series: int
    store: int
    saving: float
    first: float
    all: float
    replayed: float
    cpu: float


class _Events:
    """Makes deposits of moments: of all series at first, then of as many as have events in a second."""

    def __init__(self, plan: Plan, series: int) -> None:
        self.shards: dict[str, list[int]] = {}
        self.keys = keys_of(plan, series)
        for number, key in enumerate(self.keys):
            self.shards.setdefault(shard_of(key, plan.shards), []).append(number)
        self.rng = np.random.default_rng(series)
        rates = np.exp(self.rng.normal(np.log(MEDIAN_RATE), SPREAD, series))
        self.share = -np.expm1(-rates)

    def measure(self, arrivals: Arrivals) -> list[Keyed]:
        """A deposit for each shard."""
        return [(name, self._deposit(name, rows, arrivals)) for name, rows in self.shards.items()]

    def _deposit(self, name: str, rows: Sequence[int], arrivals: Arrivals) -> Deposit:
        everyone = arrivals.traces == (b"all",)
        ages = HISTORY if everyone else (0,)
        came = [row for row in rows if everyone or self.rng.random() < self.share[row]]
        return Deposit(
            shard=name,
            clock=arrivals.clock,
            keys=tuple(self.keys[row] for row in came),
            entries=Entries(
                np.tile(np.arange(len(came)), len(ages)),
                int(arrivals.clock) - np.repeat(np.array(ages), len(came)),
                np.tile(np.array([0, 1]), (len(ages) * len(came), 1)),
            ),
            watermarks=arrivals.watermarks,
        )


class _Moments(Parts):
    """A second of the clock for each of a part's payloads."""

    def arrivals(self, _part: str, begin: int) -> Iterator[Arrivals]:
        """See `Parts`."""
        for at, body in enumerate(self.payloads[begin:], begin):
            clock = self.clock + at
            yield Arrivals(clock=clock, traces=(body,), tick=True, watermarks=(clock, 0.0))


def child(folder: Path, series: int, moments: int) -> None:
    """Run the flow up to a moment, and print what that took."""
    plan = plan_of()
    events = _Events(plan, series)
    marks = Marks()
    decided = _FirstOfEach(marks)
    bodies = [b"all"] + [b"second"] * (moments - 1)
    source = _Moments(bodies, 1, 1, CLOCK, 0, marks)
    flow = build(plan, source, decided, lambda: events)
    began, cpu = time.monotonic(), time.process_time()
    cluster_main(
        flow,
        [],
        0,
        epoch_interval=timedelta(seconds=600),
        recovery_config=RecoveryConfig(folder),
    )
    ended = time.monotonic()
    firsts = sorted(decided.firsts.values())
    print(
        json.dumps(
            {
                "first": firsts[0] - began,
                "all": firsts[-1] - began,
                "replayed": marks.last - began,
                "whole": ended - began,
                "cpu": time.process_time() - cpu,
            }
        )
    )


class _FirstOfEach(Newest):
    """Notes when each shard decided first."""

    def __init__(self, marks: Marks) -> None:
        super().__init__(marks)
        self.firsts: dict[str, float] = {}

    def take(self, items: list[tuple[str, object]]) -> None:
        """See `Newest`."""
        super().take(items)
        for shard, _ in items:
            self.firsts.setdefault(shard, time.monotonic())


def measure(series: int) -> Recovery:
    """Fill, end, and go on, in processes of their own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        init_db_dir(folder, 4)
        filled = _run(folder, series, 3)
        store = sum(path.stat().st_size for path in folder.iterdir())
        resumed = _run(folder, series, 3 + BACKLOG_SECONDS)
    return Recovery(
        series,
        store,
        filled["whole"],
        resumed["first"],
        resumed["all"],
        resumed["replayed"],
        resumed["cpu"],
    )


def _run(folder: Path, series: int, moments: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scale.recovery", "--store", str(folder)]
    command += ["--series", str(series), "--moments", str(moments)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def main(sizes: Sequence[int] = SIZES) -> list[Recovery]:
    """Print a line for each size."""
    found = []
    for size in sizes:
        one = measure(size)
        found.append(one)
        print(
            f"{one.series:9,} series through Bytewax: store {one.store / 1e6:7.1f} MB,"
            f" filled and saved in {one.saving:6.2f} s; after the start the first decision in"
            f" {one.first:5.2f} s, of all shards in {one.all:5.2f} s, {BACKLOG_SECONDS} s of backlog"
            f" decided by {one.replayed:6.2f} s ({one.cpu:5.2f} s of CPU)",
            flush=True,
        )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--moments", type=int, default=1)
    settings = parser.parse_args()
    if settings.store:
        child(settings.store, settings.series, settings.moments)
    else:
        main()
