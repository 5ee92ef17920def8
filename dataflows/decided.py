"""What the engine's own metrics ask of the decisions that are shown."""

from collections import Counter
from collections.abc import Callable

from engine.sinks.board import Board
from engine.sinks.shown import Change
from engine.telemetry.metrics import EngineMetrics
from slo.anomalies.decision import Incident


class Decided:
    """Sums over the decisions of all shards of this process.

    Args:
        board: where they are shown.
    """

    def __init__(self, board: Board) -> None:
        self._board = board

    def clock(self, otherwise: float) -> float:
        """Unix seconds that every shard has come to; `otherwise` before the first decision."""
        decisions = self._board.snapshot().decisions
        return min((decision.clock for decision in decisions), default=otherwise)

    def too_late(self) -> int:
        """Events that no window reaches back to."""
        return sum(decision.too_late for decision in self._board.snapshot().decisions)

    def points(self) -> tuple[Counter[str], int]:
        """Metric points counted apart, by what became of them, and the streams that are known."""
        decisions = self._board.snapshot().decisions
        counts = sum((Counter(decision.points) for decision in decisions), Counter[str]())
        return counts, sum(decision.streams for decision in decisions)

    def watched(self) -> tuple[int, int]:
        """Series that are watched for anomalies: those that are judged, and those that are learnt."""
        decisions = self._board.snapshot().anomalies
        learning = sum(int(d.verdicts.learning.sum()) for d in decisions)
        return sum(len(d.keys) for d in decisions) - learning, learning


def counting(metrics: EngineMetrics) -> Callable[[Change], None]:
    """What counts incidents as they begin."""

    def count(change: Change) -> None:
        for shown in change.fired:
            if isinstance(shown.alert, Incident):
                metrics.incidents.labels(shown.alert.severity).inc()

    return count
