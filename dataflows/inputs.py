"""Where a live engine reads from: its own spool, which receivers fill, or Kafka."""

from collections.abc import Callable

from dataflows.data_dir import StartError
from dataflows.settings import Settings
from engine.kafka.errors import CannotStart
from engine.kafka.input import KafkaInput
from engine.sinks.board import Board
from engine.spool.arrivals import Arrivals
from engine.spool.clock import Clock
from engine.spool.spool import Spool, SpoolUnavailable
from engine.spool.spool_source import SpoolSource
from engine.telemetry.metrics import EngineMetrics


class SpoolInput:
    """The spool of this process.

    Args:
        settings: of the engine. Of a cluster process 0 has the spool, the others have none.
        metrics: the engine's own.

    Attributes:
        spool: once it is open.
    """

    def __init__(self, settings: Settings, metrics: EngineMetrics) -> None:
        self.spool: Spool | None = None
        self._settings = settings
        self._metrics = metrics
        self._source: SpoolSource | None = None
        # What has been decided on in this process; the rest of the spool waited for us.
        self._decided_through = 0

    @property
    def clock(self) -> Clock | None:
        """The spool's."""
        return self.spool.clock if self.spool else None

    def open(self) -> None:
        """Open the spool.

        Raises:
            engine.spool.spool.SpoolUnavailable: it can't be used.
        """
        cluster = self._settings.cluster
        if cluster is not None and cluster.process:
            return
        path = self._settings.data_dir / "spool.db"
        self.spool = Spool(path, max_bytes=self._settings.spool_bytes)
        self._metrics.watch_clock(self.spool.clock)
        # It may have been, by a process before this one.
        self._decided_through = self.spool.last_id()

    def source(self, stopping: Callable[[], bool]) -> SpoolSource:
        """The source of the next flow."""
        lost = self._metrics.lost_payloads.inc
        self._source = SpoolSource(self.spool, stopping, lost, self._decided_through)
        return self._source

    def flow_ended(self) -> None:
        """Remember what this process has decided on."""
        if self._source is not None and self._source.partition is not None:
            read = self._source.partition.position.after
            self._decided_through = max(self._decided_through, read)

    def set_aside(self, arrivals: Arrivals, failure: Exception) -> None:
        """Nothing: it is logged with its traceback, and there is nowhere to keep it."""

    def close(self) -> None:
        """Close the spool."""
        if self.spool is not None:
            self.spool.close()


def input_of(settings: Settings, metrics: EngineMetrics, board: Board) -> KafkaInput | SpoolInput:
    """What an engine reads from.

    Raises:
        StartError: the file of Kafka's settings can't be used.
    """
    if settings.kafka is None:
        return SpoolInput(settings, metrics)
    try:
        return KafkaInput(
            settings.kafka,
            settings.data_dir,
            metrics,
            board,
            external_url=settings.external_url,
        )
    except CannotStart as error:
        raise StartError(str(error)) from error


def opened(found: KafkaInput | SpoolInput) -> None:
    """Open an input.

    Raises:
        StartError: it can't be.
    """
    try:
        found.open()
    except (CannotStart, SpoolUnavailable) as error:
        raise StartError(str(error)) from error
