"""The flow's sink: every decision goes onto the board of its process."""

from collections.abc import Callable

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from slo.decision import Decision

Take = Callable[[Decision], None]


class Publish(DynamicSink[tuple[str, Decision]]):
    """Hands each decision to a function.

    Args:
        take: asked for on each worker, where the sink is built; the board's `publish`, say.
    """

    def __init__(self, take: Callable[[], Take]) -> None:
        self.take = take

    def build(
        self, _step_id: str, _worker_index: int, _worker_count: int
    ) -> StatelessSinkPartition[tuple[str, Decision]]:
        """The worker's part."""
        return _Partition(self.take())


class _Partition(StatelessSinkPartition[tuple[str, Decision]]):
    def __init__(self, take: Take) -> None:
        self.take = take

    def write_batch(self, items: list[tuple[str, Decision]]) -> None:
        for _, decision in items:
            self.take(decision)
