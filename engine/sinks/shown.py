"""An alert as it is shown outside: what was decided, its objective, and the labels that are its identity."""

from dataclasses import dataclass

from slo.decision import Alert
from slo.model import Objective
from slo.rendering import alert_labels

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """An alert as it is shown outside.

    Attributes:
        alert: its newest state.
        objective: what it was decided under; the alert's texts are rendered with it.
        labels: (name, value), sorted: its identity outside.
    """

    alert: Alert
    objective: Objective
    labels: Labels


def labels_of(alert: Alert, objective: Objective) -> Labels:
    """An alert's labels under an objective, as `Shown.labels` has them."""
    return tuple(sorted(alert_labels(alert, objective).items()))
