"""The flow's sinks: every decision, on SLOs or on anomalies, goes onto the board of its process."""

import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from slo.decision import Decision

D = TypeVar("D")
Take = Callable[[Decision], None]


def _ignored(_decisions: Sequence[D], _began: int) -> None:
    """Nobody watches."""


class Publish(DynamicSink[tuple[str, D]], Generic[D]):
    """Hands each decision to a function.

    Args:
        take: asked for on each worker, where the sink is built; the board's `publish`, say.
        published: told what was, and since when (`time.perf_counter_ns`).
    """

    def __init__(
        self,
        take: Callable[[], Callable[[D], None]],
        published: Callable[[Sequence[D], int], None] = _ignored,
    ) -> None:
        self.take = take
        self.published = published

    def build(
        self, _step_id: str, _worker_index: int, _worker_count: int
    ) -> StatelessSinkPartition[tuple[str, D]]:
        """The worker's part."""
        return _Partition(self.take(), self.published)


class _Partition(StatelessSinkPartition[tuple[str, D]], Generic[D]):
    def __init__(
        self, take: Callable[[D], None], published: Callable[[Sequence[D], int], None]
    ) -> None:
        self.take = take
        self.published = published

    def write_batch(self, items: list[tuple[str, D]]) -> None:
        began = time.perf_counter_ns()
        for _, decision in items:
            self.take(decision)
        self.published([decision for _, decision in items], began)
