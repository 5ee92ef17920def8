"""A cluster for 100 million spans a second and 10 million series, from what was measured.

Every figure follows from `Costs` (see docs/scale.md for where each comes from) and the assumptions below.
"""

from typing import NamedTuple

from benchmarks.scale.restarts import run
from benchmarks.scale.simulation import Cluster, Costs, Outcome, simulate

SPANS, SERIES = 100e6, 10_000_000
SECONDS = 12.0
DAY = 86400.0
# Assumed, not measured.
POD_LIVES = 30 * DAY
DOWN = 60.0
BROKER_BYTES = 200e6
REPLICAS = 3
SPAN_BYTES = {"none": 651, "zstd": 94}


class Kind(NamedTuple):
    """A way to build it."""

    name: str
    cells: int
    cluster: Cluster


def _cluster(processes: int, cells: int, *, local: bool, pace: float = 0.05) -> Cluster:
    return Cluster(
        processes=processes,
        shards=4 * processes,
        series=SERIES // cells,
        rate=SPANS / cells,
        local=local,
        pace=pace,
        batch=400_000,
    )


KINDS = (
    Kind("one cluster, spans of any series anywhere", 1, _cluster(400, 1, local=False)),
    Kind("the same, read once a second", 1, _cluster(400, 1, local=False, pace=1.0)),
    Kind("one cluster, parted by group", 1, _cluster(400, 1, local=True)),
    Kind("the same, read every half second", 1, _cluster(400, 1, local=True, pace=0.5)),
    Kind(
        "20 cells, parted by group, every half second", 20, _cluster(20, 20, local=True, pace=0.5)
    ),
)


def main() -> list[tuple[Kind, Outcome]]:
    """Print a line for each way, and what all of them need."""
    costs = Costs()
    found = []
    for kind in KINDS:
        cluster, cells = kind.cluster, kind.cells
        out = simulate(cluster, costs, SECONDS)
        found.append((kind, out))
        holds = out.throughput > 0.9 * cluster.rate
        restarts = run(cluster.processes, POD_LIVES, DOWN, min(0.95, out.busy), 365 * DAY)
        print(
            f"{kind.name:46} {cells * cluster.processes:4} processes:"
            f" {'holds' if holds else 'BREAKS'}, {cells * out.throughput / 1e6:5.1f} M spans/s,"
            f" {100 * min(1.0, out.busy):3.0f} % busy, decisions after {out.waited[1]:5.2f} s;"
            f" a process sends {out.exchanged / 1e6:5.2f} MB/s, a worker hears"
            f" {out.deposits:6,.0f} deposits/s; {cluster.processes - 1} connections each;"
            f" a cluster restarts every {restarts.between / 3600:5.1f} h and is late"
            f" {100 * restarts.late:4.2f} % of the time",
            flush=True,
        )
    for name, size in SPAN_BYTES.items():
        rate = SPANS * size
        print(
            f"Kafka, {name}: {rate / 1e9:.1f} GB/s in, {REPLICAS * rate / 1e9:.0f} GB/s written,"
            f" {REPLICAS * rate / BROKER_BYTES:,.0f} brokers of {BROKER_BYTES / 1e6:.0f} MB/s"
        )
    print(
        f"recovery volumes: {SERIES * costs.saved_bytes / 10 / 1e6:,.0f} MB/s in all; memory of series"
        f" {SERIES * 15e3 / 1e9:,.0f} GB; Prometheus {SERIES * 11 / 1e6:,.0f} M series,"
        f" {SERIES * 2007 / 1e9:,.0f} GB a scrape of all processes"
    )
    return found


if __name__ == "__main__":
    main()
