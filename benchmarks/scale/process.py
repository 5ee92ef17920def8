"""One process of a measured cluster: reads its parts as fast as it can, and says how long that took.

`benchmarks.scale.throughput` starts it, once for each process; it prints one line of JSON.
"""

import argparse
import json
import pickle
import time
from pathlib import Path
from typing import Any

from bytewax.testing import cluster_main

from benchmarks.scale.parts import Marks, Newest, Parts
from benchmarks.throughput import SLOS
from dataflows.flow import build
from detectors.default import warm_up as warm_up_detectors
from engine.columns.measure import Measurer, warm_up
from engine.columns.memory import CallMemory
from slo import load
from slo.loading import default_monitors
from slo.plan import Plan


def events(decisions: dict[str, Any]) -> int:
    """Events that were counted, over all objectives, in one process's shards."""
    return sum(
        int(decision.total[row, 0])
        for decision in decisions.values()
        for row, key in enumerate(decision.series)
        if key.group is not None
    )


def main() -> None:
    """Run the flow, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("payloads", type=Path, help="file of pickled payloads, and their clock")
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--addresses", default="", help="HOST:PORT of each process, with commas")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--per-arrival", type=int, default=96)
    parser.add_argument("--requests", type=int, default=960, help="of a part")
    parser.add_argument("--spans", type=int, default=1000, help="of a request")
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--watched", action="store_true", help="with monitors and model calls")
    settings = parser.parse_args()

    distinct, clock = pickle.loads(settings.payloads.read_bytes())  # noqa: S301  our parent's
    copies = -(-settings.requests // len(distinct))
    payloads = (distinct * copies)[: settings.requests]
    monitors = default_monitors() if settings.watched else ()
    usage = "full" if settings.watched else "off"
    plan = Plan(
        load({"bench.yaml": SLOS}).objectives,
        shards=settings.shards,
        monitors=monitors,
        usage=usage,
    )
    warm_up()
    warm_up_detectors()
    marks = Marks()
    decided = Newest(marks)
    memory = CallMemory()
    flow = build(
        plan,
        Parts(payloads, settings.per_arrival, settings.parts, clock, settings.spans, marks),
        decided,
        lambda: Measurer(
            plan.objectives,
            plan.shards,
            plan.skew,
            monitors=plan.monitors,
            usage=plan.usage,
            memory=memory,
        ),
        anomalies=Newest(marks) if settings.watched else None,
        usage=Newest(marks) if settings.watched else None,
    )
    addresses = settings.addresses.split(",") if settings.addresses else []
    cluster_main(flow, addresses, settings.process, worker_count_per_proc=settings.workers)
    print(
        json.dumps(
            {
                "first": marks.first,
                "last": marks.last,
                "cpu": time.process_time() - marks.cpu if marks.spans else 0.0,
                "spans": marks.spans,
                "events": events(decided.last),
            }
        )
    )


if __name__ == "__main__":
    main()
