"""An alert as it is shown outside: what was decided, and the labels that are its identity."""

from dataclasses import dataclass
from typing import NamedTuple

from slo.anomalies.decision import Incident
from slo.anomalies.rendering import incident_labels, render_incident
from slo.decision import Alert
from slo.model import Objective
from slo.rendering import Rendered, alert_labels, render

Labels = tuple[tuple[str, str], ...]
AnyAlert = Alert | Incident


@dataclass(frozen=True, slots=True)
class Shown:
    """An alert as it is shown outside.

    Attributes:
        alert: its newest state.
        objective: what an SLO's alert was decided under; its texts are rendered with it. None for
            incidents, which hold what they say.
        labels: (name, value), sorted: its identity outside.
    """

    alert: AnyAlert
    objective: Objective | None
    labels: Labels

    def rendered(self) -> Rendered:
        """Its labels and annotations."""
        if isinstance(self.alert, Incident):
            return render_incident(self.alert)
        if self.objective is None:
            raise ValueError("an SLO's alert is shown with its objective")
        return render(self.alert, self.objective)


class Change(NamedTuple):
    """What began to fire, and what ended (with `ends_at`)."""

    fired: tuple[Shown, ...]
    ended: tuple[Shown, ...]


class Burning(NamedTuple):
    """Since when which SLO burns."""

    since: float
    objective: str


def labels_of(alert: AnyAlert, objective: Objective | None) -> Labels:
    """An alert's labels, under its objective where it has one, as `Shown.labels` has them."""
    if isinstance(alert, Incident):
        return tuple(sorted(incident_labels(alert).items()))
    if objective is None:
        raise ValueError("an SLO's alert has labels of its objective")
    return tuple(sorted(alert_labels(alert, objective).items()))
