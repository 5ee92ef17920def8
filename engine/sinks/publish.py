"""The flow's sink: every decision goes onto the board of its process."""

import time
from collections.abc import Callable

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from engine.telemetry.watch import Watch
from slo.decision import Decision

Take = Callable[[Decision], None]


class Publish(DynamicSink[tuple[str, Decision]]):
    """Hands each decision to a function.

    Args:
        take: asked for on each worker, where the sink is built; the board's `publish`, say.
        watch: told what was published.
    """

    def __init__(self, take: Callable[[], Take], watch: Watch | None = None) -> None:
        self.take = take
        self.watch = watch or Watch()

    def build(
        self, _step_id: str, _worker_index: int, _worker_count: int
    ) -> StatelessSinkPartition[tuple[str, Decision]]:
        """The worker's part."""
        return _Partition(self.take(), self.watch)


class _Partition(StatelessSinkPartition[tuple[str, Decision]]):
    def __init__(self, take: Take, watch: Watch) -> None:
        self.take = take
        self.watch = watch

    def write_batch(self, items: list[tuple[str, Decision]]) -> None:
        began = time.perf_counter_ns()
        for _, decision in items:
            self.take(decision)
        self.watch.published([decision for _, decision in items], began)
