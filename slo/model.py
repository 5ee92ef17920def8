"""The domain's nouns: objectives, what they count, in which window, and when they alert.

Plain frozen values with no I/O; `slo.spec` makes them from YAML and everything else reads them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from slo.columns import Field
from slo.promql import MetricSelector
from slo.traceql import Filter

Severity = Literal["page", "ticket"]
Signal = Literal["traces", "metrics"]
CalendarUnit = Literal["hour", "day", "week", "month", "quarter"]


@dataclass(frozen=True, slots=True)
class RollingWindow:
    """A window that ends now and is `seconds` long."""

    seconds: int


@dataclass(frozen=True, slots=True)
class CalendarWindow:
    """A window that starts with the current hour, day, week (Monday), month or quarter.

    Attributes:
        unit: which of them.
        time_zone: IANA name of the zone in which it starts.
    """

    unit: CalendarUnit
    time_zone: str


@dataclass(frozen=True, slots=True)
class SpanSli:
    """Events from spans: those matching `total`; bad are those that also match `bad`, or do not match `good`.

    Exactly one of `bad` and `good` is set.
    """

    total: Filter
    bad: Filter | None = None
    good: Filter | None = None


@dataclass(frozen=True, slots=True)
class CounterSli:
    """Events from OTLP counters; exactly one of `bad` and `good` is set."""

    total: MetricSelector
    bad: MetricSelector | None = None
    good: MetricSelector | None = None


@dataclass(frozen=True, slots=True)
class HistogramSli:
    """Events from an OTLP histogram: every observation is one, bad when above `above` (the metric's unit)."""

    histogram: MetricSelector
    above: float


@dataclass(frozen=True, slots=True)
class SpendSli:
    """Money: the calls are spans that match `total`, and `cost` says what each costs, in US dollars.

    What is counted in place of (bad, total) is (nanodollars, calls).
    """

    total: Filter
    cost: Field


Sli = SpanSli | CounterSli | HistogramSli | SpendSli


@dataclass(frozen=True, slots=True)
class Slices:
    """Time slices: each slice with traffic is one event, good when at least `target` of it is.

    Attributes:
        seconds: length of a slice.
        target: share of the slice's events that have to be good.
    """

    seconds: int
    target: Fraction


@dataclass(frozen=True, slots=True)
class Tier:
    """A burn-rate condition: both windows burn faster than the factor (Google SRE workbook, chapter 5).

    Attributes:
        severity: the alert this tier can fire.
        short: seconds of the short window.
        long: seconds of the long window.
        share: the part of the period's budget that burns away in the long window at the factor.
        factor: `share x period / long`, lowered where `clamped`.
        threshold: `factor x (1 - target)`: the error ratio that both windows must exceed.
        clamped: the factor was lowered because at its own no error ratio could exceed the threshold.
    """

    severity: Severity
    short: int
    long: int
    share: Fraction
    factor: Fraction
    threshold: Fraction
    clamped: bool = False


@dataclass(frozen=True, slots=True)
class Absent:
    """Missing traffic that is worth an alert: no event at all, of any group, for so long.

    Attributes:
        after: seconds.
        severity: of the alert.
    """

    after: int
    severity: Severity


@dataclass(frozen=True, slots=True)
class Spend:
    """What makes an objective a cost budget: an amount for a period instead of a share of events.

    Attributes:
        amount: nanodollars a period, of each group.
        overrides: of groups with another amount, by their values.
        levels: shares of the amount at which to warn, ascending.
        severities: of each level; None for a level that nobody is told of.
        fixed: of each tier: its factor is the user's own; otherwise it follows from the share and from how
            long the period is.
    """

    amount: int
    overrides: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    levels: tuple[Fraction, ...] = ()
    severities: tuple[Severity | None, ...] = ()
    fixed: tuple[bool, ...] = ()

    def of(self, group: tuple[str, ...]) -> int:
        """The amount of a group."""
        return self.overrides.get(group, self.amount)


@dataclass(frozen=True, slots=True)
class Objective:
    """One SLO of one service, resolved: defaults filled in, tiers computed.

    Attributes:
        target: as a ratio above 0 and below 1 (`99.9` in YAML is 999/1000); of a cost budget without
            meaning.
        by: one budget for every combination of values of these fields. For metric SLIs the
            `Field.name` is the label's name and the scope is ignored.
        by_names: `by` as the user wrote it, for people and JSON.
        evidence: the one-sided confidence that the long window's error ratio exceeds the threshold,
            or None for none.
        explain: the dimensions whose values an alert may name as burning.
        absent: when missing traffic alerts; None for never.
        spend: the amount of a cost budget, whose `sli` is a `SpendSli`; None for an SLO.
    """

    service: str
    name: str
    target: Fraction
    window: RollingWindow | CalendarWindow
    sli: Sli
    slices: Slices | None = None
    by: tuple[Field, ...] = ()
    by_names: tuple[str, ...] = ()
    tiers: tuple[Tier, ...] = ()
    evidence: float | None = 0.95
    explain: tuple[Field, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    alert_labels: dict[Severity, dict[str, str]] = field(default_factory=dict)
    alert_annotations: dict[Severity, dict[str, str]] = field(default_factory=dict)
    absent: Absent | None = None
    spend: Spend | None = None

    @property
    def id(self) -> str:
        """Sloth's identity of an SLO."""
        return f"{self.service}-{self.name}"

    @property
    def generation(self) -> str:
        """Eight hex digits that change when what is counted changes, not when a target or label does."""
        counted = repr((self.sli, self.slices, self.by))
        return hashlib.blake2b(counted.encode(), digest_size=4).hexdigest()

    @property
    def signal(self) -> Signal:
        """The kind of telemetry that this objective reads."""
        return "traces" if isinstance(self.sli, SpanSli | SpendSli) else "metrics"

    @property
    def period(self) -> int:
        """Seconds in the budget period; a calendar unit's nominal length (30 d a month, 90 d a quarter)."""
        if isinstance(self.window, RollingWindow):
            return self.window.seconds
        days = {"day": 1, "week": 7, "month": 30, "quarter": 90}
        return 3600 if self.window.unit == "hour" else days[self.window.unit] * 86400

    @property
    def group_labels(self) -> tuple[str, ...]:
        """`by` as Prometheus label names: `span.gen_ai.request.model` is `gen_ai_request_model`."""
        return tuple(label_name(f.name) for f in self.by)


def label_name(attribute: str) -> str:
    """A Prometheus label name for an attribute's name: other characters become `_`.

    >>> label_name("gen_ai.request.model")
    'gen_ai_request_model'
    """
    text = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in attribute)
    return f"_{text}" if text[:1].isdigit() else text
