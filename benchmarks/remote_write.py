"""Seconds to make requests of remote write for 100,000 series, beside reading them from /metrics.

The peer is what a pusher beside the engine would do first: read the text with prometheus_client's parser.
"""

import statistics
import time

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.exposition import SLOS, snapshot
from engine.sinks._remote_backlog import Backlog
from engine.sinks._remote_protobuf import encode_request
from engine.sinks._remote_samples import Recorder
from engine.sinks.board import Board, Snapshot
from engine.sinks.exposition import Exposition
from engine.telemetry.metrics import EngineMetrics
from slo import load
from slo.plan import Plan

ROUNDS = 5


class _Board(Board):
    """Shows one snapshot for ever."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.objectives)
        self.shown = snapshot(plan)

    def snapshot(self) -> Snapshot:
        """Always the same."""
        return self.shown


def main() -> None:
    """Print medians."""
    plan = Plan(load({"bench.yaml": SLOS}).objectives)
    board, exposition = _Board(plan), Exposition()
    recorder = Recorder(
        board, exposition, EngineMetrics().registry, {"job": "burnline", "instance": "bench"}
    )
    start = time.perf_counter()
    recorder.take()
    first = time.perf_counter() - start
    ours, theirs = [], []
    size = series = 0
    text = exposition.render(board.snapshot(), ()).decode()
    for _ in range(ROUNDS):
        start = time.perf_counter()
        samples, backlog, size = recorder.take(), Backlog(900.0, 1 << 30), 0
        series = len(samples.series)
        backlog.add(samples)
        while (chunk := backlog.next()) is not None:
            of = slice(chunk.start, chunk.stop)
            size += len(encode_request(samples.series[of], samples.values[of], samples.stamp))
            backlog.done(chunk)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        list(text_string_to_metric_families(text))
        theirs.append(time.perf_counter() - start)
    mine, peer = statistics.median(ours), statistics.median(theirs)
    print(
        f"remote write, {series:,} series, taken and encoded: {mine:.3f} s (median of {ROUNDS}), "
        f"{series / mine:,.0f} series/s, {size / series:.0f} bytes each; {first:.1f} s when all are new"
    )
    print(
        f"prometheus_client, parsing as many from text: {peer:.3f} s, {peer / mine:.0f} x as long"
    )


if __name__ == "__main__":
    main()
