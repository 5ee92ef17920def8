"""Decides on the anomalies of one shard: readings in, `AnomalyDecision`s out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from slo.anomalies._detectors import named
from slo.anomalies.decision import AnomalyDecision
from slo.anomalies.detecting import Detecting, LaneState, Make
from slo.anomalies.incidents import Incidents, IncidentsState
from slo.anomalies.messages import Readings
from slo.anomalies.model import Monitor


@dataclass(slots=True)
class AnomalyState:
    """What a recovery snapshot keeps.

    Attributes:
        lanes: the detectors, by seconds of an interval.
        incidents: the open ones, by service.
    """

    lanes: dict[int, LaneState] = field(default_factory=dict)
    incidents: IncidentsState = field(default_factory=dict)


class AnomalyDecider:
    """Decides for one shard.

    Args:
        monitors: by id.
        state: of a snapshot, or None to begin.
        make: makes a detector that a monitor names.
    """

    def __init__(
        self,
        monitors: Mapping[str, Monitor],
        state: AnomalyState | None = None,
        make: Make = named,
    ) -> None:
        state = state or AnomalyState()
        self._detecting = Detecting(monitors, state.lanes, make)
        self._incidents = Incidents(monitors, state.incidents)

    def take(self, readings: Readings) -> AnomalyDecision | None:
        """Judge a moment's readings, and bring the incidents up to it.

        Returns:
            None where this moment, or a later one, was decided on before.
        """
        judged = self._detecting.judge(readings)
        if judged is None:
            return None
        told = self._incidents.take(readings, judged)
        return AnomalyDecision(
            shard=readings.shard,
            clock=readings.clock,
            live=readings.live,
            at=readings.at,
            every=readings.every,
            keys=judged.keys,
            values=judged.values,
            verdicts=judged.verdicts,
            incidents=told.firing,
            ended=told.ended,
            frozen=readings.frozen,
        )

    def state(self) -> AnomalyState:
        """What a snapshot keeps; to be pickled before the next reading is taken."""
        return AnomalyState(self._detecting.state(), self._incidents.state())
