"""A process that reads from the mock cluster, without a flow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.kafka.input import KafkaInput
from engine.kafka.partition import KafkaPartition
from engine.kafka.position import Position
from engine.kafka.settings import KafkaSettings
from engine.sinks.board import Board
from engine.spool.arrivals import Arrivals
from engine.telemetry.metrics import EngineMetrics
from tests.engine.kafka.fakes import names
from tests.servers import eventually


class Process:
    """One process: its clients, and the parts that exist or may come."""

    def __init__(
        self,
        settings: KafkaSettings,
        data_dir: Path,
        positions: dict[str, Position] | None = None,
    ) -> None:
        self.metrics = EngineMetrics()
        self.input = KafkaInput(settings, data_dir, self.metrics, Board([]))
        self.input.open()
        self.source = self.input.source(lambda: False)
        self.parts: dict[str, KafkaPartition] = {
            name: self.source.build_part("kafka", name, (positions or {}).get(name))
            for name in self.source.list_parts()
        }
        self.arrivals: list[Arrivals] = []

    def read(self) -> list[str]:
        """What all parts have read since the start, by the names of spans."""
        for part in self.parts.values():
            self.arrivals += part.next_batch()
        return names(self.arrivals)

    def until(self, holds: Callable[[], object], seconds: float = 20) -> None:
        """Read until something holds."""
        eventually(lambda: (self.read(), holds())[1], seconds)

    def until_read(self, *wanted: str) -> None:
        """Read until everything is there, and no more than that."""
        self.until(lambda: len(names(self.arrivals)) >= len(wanted))
        assert sorted(self.read()) == sorted(wanted)

    def snapshot(self) -> dict[str, Position]:
        return {name: part.snapshot() for name, part in self.parts.items()}

    def counter(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"{name}_total", labels) or 0.0

    def gauge(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def close(self) -> None:
        for part in self.parts.values():
            part.close()
        self.input.close()


@contextmanager
def process(
    settings: KafkaSettings, data_dir: Path, positions: dict[str, Position] | None = None
) -> Iterator[Process]:
    """A process for the time of a block."""
    running = Process(settings, data_dir, positions)
    try:
        yield running
    finally:
        running.close()
