"""Online anomaly detection: one pass, no training, no labels, one default for every series.

Pure: no I/O, no flow. A detector says of each reading how strange it is, by a probability that is
calibrated on the series' own past; `false_alarms` is the budget that alarms are held to.
"""

from detectors.bank import Bank
from detectors.default import Detector
from detectors.verdict import Verdict, Verdicts

__all__ = ["Bank", "Detector", "Verdict", "Verdicts"]
