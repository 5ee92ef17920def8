"""Which detector judges a series: the one place where `burnline detect` makes one."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from detectors import Detector, Verdict

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for.

    Attributes:
        false_alarms: that are accepted, a second and series.
        every: seconds from a reading to its next; None to learn it.
        detector: `default`, or a river estimator.
        parameters: its keyword arguments.
        time_column: None for the usual names.
        value_column: the values' column.
    """

    false_alarms: float
    every: float | None = None
    detector: str = DEFAULT
    parameters: dict[str, Any] = field(default_factory=dict)
    time_column: str | None = None
    value_column: str = "value"


class Observer(Protocol):
    """A detector of one series."""

    def observe(self, at: float, value: float) -> Verdict:
        """Judge a reading, then learn from it.

        Args:
            at: Unix seconds; not before the reading before it.
            value: NaN where there is none.
        """
        ...

    @property
    def trouble(self) -> str:
        """What it could not do, for people; empty in ordinary times."""
        ...


def problem(choice: Choice) -> str | None:
    """Why there is no such detector, with the mend; None where there is one."""
    if choice.detector == DEFAULT:
        if choice.parameters:
            return "the default detector has no parameters; name one with --detector"
        return None
    from detectors.named import check  # noqa: PLC0415  all of river is slow to import

    return check(choice.detector, choice.parameters)


def make(choice: Choice) -> Observer:
    """A detector that has seen nothing."""
    if choice.detector == DEFAULT:
        return _Default(choice)
    from dataflows.detect.named import Named  # noqa: PLC0415

    return Named(choice)


def warm_up(choice: Choice) -> None:
    """Have the kernels compiled, so that processes forked from this one need not."""
    observer = make(choice)
    for at in (0.0, 60.0, 120.0):
        observer.observe(at, at)


class _Default:
    """The default detector."""

    trouble = ""

    def __init__(self, choice: Choice) -> None:
        self.observe = Detector(choice.false_alarms, choice.every).observe
