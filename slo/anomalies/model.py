"""What is watched for anomalies, resolved: defaults filled in, selectors parsed."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

from slo.columns import Field
from slo.model import Signal, label_name
from slo.promql import MetricSelector
from slo.traceql import Filter

Severity = Literal["page", "ticket"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One number an interval that is made of an entity's events.

    Attributes:
        name: unique in its monitor; a label's value, such as `rate` or `p95_duration`.
        kind: `rate`: events a second; `errors`: share of the events that match `bad`; `quantile` of `of`;
            `sum`: of `of`, a second; `mean`: of `of`; `metric`: the value of the metric selector (a counter's
            increase a second, a gauge's mean, a histogram's quantile where `quantile` is set).
        of: the numeric field, for quantile, sum and mean.
        bad: for errors, which are; None for spans with status error. For rate: only these; None for all.
        quantile: in (0, 1).
        selector: for metric.
        unit: for people: `s`, `1/s`, `USD/min`, ...; empty for a plain number.
        per: a rate, a sum and a counter's increase are told by so many seconds.
    """

    name: str
    kind: Literal["rate", "errors", "quantile", "sum", "mean", "metric"]
    of: Field | None = None
    bad: Filter | None = None
    quantile: float | None = None
    selector: MetricSelector | None = None
    unit: str = ""
    per: int = 1


@dataclass(frozen=True, slots=True)
class Detection:
    """The detector of a monitor.

    Attributes:
        name: `default`, or a river estimator (`river.anomaly.HalfSpaceTrees`).
        parameters: its keyword arguments.
        together: score the features of an entity as one with it, beside each by the default detector.
    """

    name: str = "default"
    parameters: dict[str, Any] = field(default_factory=dict)
    together: bool = False


@dataclass(frozen=True, slots=True)
class Monitor:
    """Entities, their features, and how they are judged.

    Attributes:
        service: whose file it is in.
        spans: which spans are events; None for metrics.
        by: an entity for every combination of values of these.
        by_names: `by` as the user wrote it.
        every: seconds of an interval.
        false_alarms: that are accepted, a second and series.
        severity: of its alerts while no SLO of the service burns.
        alerts: whether alerts come of it at all; else series alone.
    """

    service: str
    name: str
    spans: Filter | None
    features: tuple[Feature, ...]
    by: tuple[Field, ...] = ()
    by_names: tuple[str, ...] = ()
    every: int = 60
    false_alarms: float = 1 / 604_800
    detection: Detection = field(default_factory=Detection)
    severity: Severity = "ticket"
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    alerts: bool = True

    @property
    def id(self) -> str:
        """Its identity on the wire."""
        return f"{self.service}-{self.name}"

    @property
    def generation(self) -> str:
        """Eight hex digits that change when what is measured changes, not when a label or budget does."""
        measured = repr((self.spans, self.features, self.by, self.every))
        return hashlib.blake2b(measured.encode(), digest_size=4).hexdigest()

    def measures(self, generation: str) -> bool:
        """Whether an entity of a generation (empty for any) is one of what it measures now."""
        return generation in ("", self.generation)

    @property
    def signal(self) -> Signal:
        """The kind of telemetry that it reads."""
        return "metrics" if self.spans is None else "traces"

    @property
    def group_labels(self) -> tuple[str, ...]:
        """`by` as Prometheus label names."""
        return tuple(label_name(f.name) for f in self.by)

    @property
    def fields(self) -> frozenset[Field]:
        """Every field of a span that it needs; none where it is over metrics."""
        if self.spans is None:
            return frozenset()
        filters = [self.spans, *(f.bad for f in self.features if f.bad is not None)]
        numbers = (f.of for f in self.features if f.of is not None)
        return frozenset({*self.by, *numbers}).union(*(which.fields() for which in filters))

    def service_of(self, group: tuple[str, ...]) -> str:
        """The service that an entity belongs to: its own where `by` says it, else the file's."""
        for which, value in zip(self.by, group, strict=True):
            if value and _names_service(which, self.signal):
                return value
        return self.service


def _names_service(which: Field, signal: Signal) -> bool:
    if signal == "metrics":  # the scope of a label says nothing
        return which.name in ("service_name", "service.name")
    return which == Field("resource", "service.name")
