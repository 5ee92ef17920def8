"""A sink that takes readings."""

from collections.abc import Callable

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from slo.anomalies.messages import Readings


class ReadingsSink(DynamicSink[tuple[str, Readings]]):
    def __init__(self, take: Callable[[Readings], None]) -> None:
        self.take = take

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> "_Partition":
        return _Partition(self.take)


class _Partition(StatelessSinkPartition[tuple[str, Readings]]):
    def __init__(self, take: Callable[[Readings], None]) -> None:
        self.take = take

    def write_batch(self, items: list[tuple[str, Readings]]) -> None:
        for _, readings in items:
            self.take(readings)
