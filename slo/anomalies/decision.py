"""What the flow decides on anomalies: how strange the readings of a moment are, and the incidents open then.

An `AnomalyDecision` is all that a sink gets: `/metrics`, Alertmanager and the backtest's report are made
from it alone.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors import Verdicts
from slo.anomalies.messages import ReadingKey
from slo.anomalies.model import Severity

Pairs = tuple[tuple[str, str], ...]


class Reading(NamedTuple):
    """A reading, and what was expected of it; NaN where the detector does not say.

    Attributes:
        at: Unix seconds at which its interval ended.
        value: what was observed.
        expected: what was forecast.
        lower: the least that would have been ordinary.
        upper: the most.
        probability: the share of ordinary readings that are at least as strange.
    """

    at: float
    value: float
    expected: float
    lower: float
    upper: float
    probability: float


class Member(NamedTuple):
    """A series that is part of an incident.

    Attributes:
        key: which series.
        group: (name, value) of its entity, as the user wrote the names; without empty values.
        unit: for people; `ratio` is shown in percent.
        every: seconds of an interval.
        since: Unix seconds at which the first strange interval ended.
        strangest: its strangest reading so far.
        active: it is still strange.
        stays: it is not strange any more, but far from where it was before: the detector took it for
            the new normal.
    """

    key: ReadingKey
    group: Pairs
    unit: str
    every: int
    since: float
    strangest: Reading
    active: bool
    stays: bool = False


@dataclass(frozen=True, slots=True)
class Incident:
    """Anomalies of one service that belong together, as an alert. A service has one at a time.

    Its identity is (service, severity, opened), outside its labels; all else may change. It holds
    everything that is told of it, so that it can be told after its monitors are gone.

    Attributes:
        service: whose.
        severity: `ticket` or `page`; an incident may be two alerts, the second raised from the first.
        opened: Unix seconds at which the interval ended that opened it.
        starts_at: Unix seconds of the decision that fired the alert.
        ends_at: Unix seconds of the decision that ended it, or None while it fires.
        monitor: `Monitor.id` of the first cause when it was opened.
        labels: the user's, of that monitor.
        annotations: likewise.
        members: the first cause, then the strangest of the others first; a bounded number of them.
        count: how many members there are in all.
        trace_ids: hex ids of a few spans of its members.
        burning: `Objective.id` of a burning SLO of the service that made it a page; else empty.
    """

    service: str
    severity: Severity
    opened: float
    starts_at: float
    ends_at: float | None
    monitor: str
    labels: Pairs
    annotations: Pairs
    members: tuple[Member, ...]
    count: int
    trace_ids: tuple[str, ...] = ()
    burning: str = ""
    kind: Literal["anomaly"] = field(default="anomaly", init=False)

    @property
    def cause(self) -> Member:
        """The likely first cause."""
        return self.members[0]


@dataclass(frozen=True, slots=True)
class AnomalyDecision:
    """How strange the readings of a shard were in one interval of one length; its incidents.

    Attributes:
        shard: the virtual shard's key.
        clock: Unix seconds at which this was decided.
        live: False while the flow still replays what it had read before a restart.
        at: Unix seconds at which the interval ended.
        every: its length in seconds.
        keys: the series, one an element of the arrays.
        values: `float64[keys]`, what was observed, NaN where there was nothing.
        verdicts: what the detectors say of it.
        incidents: every alert of the shard that fires now, whatever its interval.
        ended: those that this decision ended.
        frozen: the source is silent: nothing was judged.
    """

    shard: str
    clock: float
    live: bool
    at: float
    every: int
    keys: tuple[ReadingKey, ...]
    values: NDArray[np.float64]
    verdicts: Verdicts
    incidents: tuple[Incident, ...]
    ended: tuple[Incident, ...]
    frozen: bool = False
