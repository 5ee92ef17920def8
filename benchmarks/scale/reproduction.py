"""Whether the simulation reproduces what was measured of one worker and two, before more is asked of it.

One worker's two loads give the costs of a span and of a batch; what two workers do with each is then
foretold, by what else was measured: how much holds the interpreter's lock, and what it takes to tell another
process.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from benchmarks.scale import measuring, throughput, wire
from benchmarks.scale.simulation import Cluster, Costs, Distinct, simulate
from benchmarks.scale.throughput import LOADS, SPANS, WAYS, Load, Outcome

SERIES = 101  # of each of the three SLOs, the sum over groups among them
SECONDS = 60.0
SHARDS = 16
MANY, FEW = LOADS[0], LOADS[1]


def calibrated(rates: Mapping[Load, float], locked: float, told: wire.Exchange) -> Costs:
    """Costs that give one worker's rates.

    Args:
        rates: spans a second of one worker.
        locked: share of a span's time that holds the lock.
        told: what deposits cost between processes.
    """
    many, few = (load.per_arrival * SPANS for load in (MANY, FEW))
    seconds = {load: load.per_arrival * SPANS / rate for load, rate in rates.items()}
    span = (seconds[MANY] - seconds[FEW]) / (many - few)
    fixed = max(0.0, seconds[FEW] - few * span)
    costs = Costs(span=span, locked=locked)
    found = 3 * Distinct(SERIES).among(few)
    known = found * (costs.entry + costs.counted) + SHARDS * costs.deposit
    return replace(
        costs,
        # What a batch costs is known in all; where its parts seem to cost more, they were measured apart.
        arrival=max(0.0, fixed - known),
        entry=costs.entry * min(1.0, fixed / known),
        counted=costs.counted * min(1.0, fixed / known),
        deposit=costs.deposit * min(1.0, fixed / known),
        told=told.fixed_seconds / 2,
        told_entry=told.entry_seconds / 2,
        told_bytes=told.fixed_bytes,
        told_entry_bytes=told.entry_bytes,
    )


class Compared(NamedTuple):
    """Spans a second of a way with a load.

    Attributes:
        load: its name.
        way: likewise.
        waited: by the wall's clock.
        spent: by processor's time, with as many cores to itself as there are workers.
        foretold: by the simulation.
    """

    load: str
    way: str
    waited: float
    spent: float
    foretold: float


def compared(measured: Mapping[tuple[str, str], Sequence[Outcome]], costs: Costs) -> list[Compared]:
    """What was measured beside what is foretold."""
    found = []
    for load in (MANY, FEW):
        for way in WAYS:
            cluster = Cluster(
                way.processes,
                way.workers,
                shards=SHARDS,
                series=SERIES,
                objectives=3,
                batch=load.per_arrival * SPANS,
            )
            outcomes = measured[load.name, way.name]
            waited = statistics.median(o.rate for o in outcomes)
            cpu = statistics.median(o.cpu for o in outcomes)
            foretold = simulate(cluster, costs, SECONDS).throughput
            spent = cluster.all_workers * 1e6 / cpu
            found.append(Compared(load.name, way.name, waited, spent, foretold))
    return found


def main(rounds: int = 3) -> None:
    """Measure, and print both."""
    measured = throughput.main(rounds, (MANY, FEW))
    rates = {
        load: 1e6 / statistics.median(o.cpu for o in measured[load.name, WAYS[0].name])
        for load in (MANY, FEW)
    }
    few = measuring.measure(measuring.TENANTS[0])
    entries = few.series * Costs().entry / measuring.SPANS / measuring.REQUESTS * 1e6
    locked = max(0.0, few.cpu * few.locked - entries) / few.cpu
    costs = calibrated(rates, locked, wire.exchange())
    print(
        f"a span {costs.span * 1e6:.2f} µs, {100 * locked:.0f} % of it with the lock; a batch"
        f" {1e3 * (costs.arrival + SHARDS * costs.deposit):.1f} ms more"
    )
    for one in compared(measured, costs):
        print(
            f"{one.load:32} {one.way:21} waited {one.waited:11,.0f}, by CPU {one.spent:11,.0f},"
            f" foretold {one.foretold:11,.0f} spans/s ({100 * (one.foretold / one.spent - 1):+4.0f} %"
            " of that by CPU)"
        )


if __name__ == "__main__":
    main()
