"""The detectors that a monitor can have beside the default one, a series or an entity at a time."""

from typing import Protocol

from detectors import Verdict
from detectors.calibrated import Calibrated
from detectors.named import make
from detectors.together import Together
from slo.anomalies.model import Monitor


class Named(Protocol):
    """A detector that was named in the file, with its calibration."""

    def observe(self, at: float, features: dict[str, float]) -> Verdict:
        """Judge a reading, then learn from it.

        Args:
            at: Unix seconds.
            features: by name, those that have a value.
        """
        ...


def named(monitor: Monitor) -> Named:
    """A new detector as a monitor names it, held to its budget of false alarms."""
    detection = monitor.detection
    kind = Together if detection.together else Calibrated
    return kind(
        make(detection.name, detection.parameters),
        every=float(monitor.every),
        false_alarms=monitor.false_alarms,
    )


def is_default(monitor: Monitor) -> bool:
    """Whether its series are judged by the default detector, each by itself."""
    return monitor.detection.name == "default" or monitor.detection.together
