"""Seconds to render `/metrics` with 100,000 lines of SLO series, beside the official client.

The peer renders the same families with prometheus_client's `generate_latest`.
"""

import statistics
import time
from collections.abc import Iterator

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from engine.sinks.board import Snapshot
from engine.sinks.exposition import Exposition
from slo import load
from slo.decision import Decision, SeriesKey
from slo.plan import Plan

GROUPS = 8_700
ROUNDS = 5
SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - name: availability
    objective: 99.9
    sli:
      spans: {total: '{}', bad: '{ status = error }'}
    by: [span.gen_ai.request.model, span.tenant.id]
"""


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self.families)


def snapshot(plan: Plan) -> Snapshot:
    """One shard with all the groups."""
    (objective,) = plan.objectives
    groups = [(f"model-{n % 20}", f"tenant-{n}") for n in range(GROUPS)]
    keys = [SeriesKey(objective.id, group, objective.generation) for group in (None, *groups)]
    windows = tuple(w for level in plan.windows for w in level)
    rng = np.random.default_rng(1)
    total = rng.integers(0, 10**6, (len(keys), len(windows)))
    bad = rng.binomial(total, 0.001)
    pairs = np.stack([bad[:, -1], total[:, -1]], axis=1)
    decision = Decision(
        shard="0",
        clock=1.8e9,
        live=True,
        windows=windows,
        series=tuple(keys),
        bad=bad,
        total=total,
        period=pairs,
        lifetime=pairs,
        frozen=np.zeros(len(keys), bool),
        alerts=(),
        ended=(),
        watermarks=(1.8e9, 0.0),
    )
    return Snapshot((decision,), settled=True, objectives=plan.by_id)


def main() -> None:
    """Print medians."""
    plan = Plan(load({"bench.yaml": SLOS}).objectives)
    shown = snapshot(plan)
    exposition = Exposition()
    text = exposition.render(shown, ())
    registry = CollectorRegistry()
    registry.register(_Families(list(text_string_to_metric_families(text.decode()))))
    ours, theirs = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        text = exposition.render(shown, ())
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        generate_latest(registry)
        theirs.append(time.perf_counter() - start)
    mine, peer = statistics.median(ours), statistics.median(theirs)
    lines = text.count(b"\n")
    print(f"/metrics, {lines:,} lines: {mine:.3f} s (median of {ROUNDS})")
    print(f"prometheus_client, the same families: {peer:.3f} s, {peer / mine:.1f} x as long")


if __name__ == "__main__":
    main()
