"""What objectives and monitors ask of metrics: each selector in its role."""

import math
from dataclasses import replace
from typing import NamedTuple

from slo.anomalies.model import Monitor
from slo.increments import Role
from slo.model import CounterSli, HistogramSli, Objective
from slo.promql import MetricSelector


class Rule(NamedTuple):
    """A selector in its role.

    Attributes:
        objective: `Objective.id`.
        key: the rule's identity; changes when the objective counts something else.
        role: what the selected points count.
        selector: the objective's own.
        named: the selector without its labels, to pass over metrics by their names.
        above: the bound of a histogram SLI, None for counters.
        bucket: where a counter's selector says `le="..."`, the selector without that: a bucket of
            an OTLP histogram is a counter too, as `_bucket` is in Prometheus.
        le: the upper edge of that bucket.
        by: label names of the objective's groups.
    """

    objective: str
    key: bytes
    role: Role
    selector: MetricSelector
    named: MetricSelector
    above: float | None
    bucket: MetricSelector | None
    le: float
    by: tuple[str, ...]


def rules(objective: Objective) -> tuple[Rule, ...]:
    """The rules of an objective; none where its SLI is not over metrics."""
    match objective.sli:
        case CounterSli(total, bad, good):
            parts: list[tuple[Role, MetricSelector | None]] = [
                ("total_until_good" if good else "total", total),
                ("bad", bad),
                ("good", good),
            ]
            return tuple(_rule(objective, role, part) for role, part in parts if part is not None)
        case HistogramSli(histogram, above):
            return (_rule(objective, "histogram", histogram, above),)
    return ()


def watch_rules(monitor: Monitor) -> tuple[tuple[int, Rule], ...]:
    """(feature's number, rule) of a monitor; none where it is over spans."""
    found = []
    for number, feature in enumerate(monitor.features):
        if feature.selector is not None:
            # A histogram's quantile needs all of its buckets: `le` is no bucket's there.
            above = None if feature.quantile is None else math.nan
            rule = _rule(monitor, "total", feature.selector, above)
            found.append((number, rule._replace(key=rule.key + f"\0{number}".encode())))
    return tuple(found)


def _rule(
    objective: Objective | Monitor,
    role: Role,
    selector: MetricSelector,
    above: float | None = None,
) -> Rule:
    le, bucket = _bucket(selector) if above is None else (math.nan, None)
    return Rule(
        objective.id,
        f"{objective.id}\0{objective.generation}\0{role}".encode(),
        role,
        selector,
        replace(selector, labels=()),
        above,
        bucket,
        le,
        tuple(field.name for field in objective.by),
    )


def _bucket(selector: MetricSelector) -> tuple[float, MetricSelector | None]:
    edges = [m for m in selector.labels if m.label == "le"]
    if len(edges) != 1 or edges[0].operator != "=":
        return math.nan, None
    try:
        le = float(edges[0].value)
    except ValueError:
        return math.nan, None
    return le, replace(selector, labels=tuple(m for m in selector.labels if m.label != "le"))
