"""Service-level objectives: the pure domain, without I/O and without Bytewax.

`load` turns SLO files' texts into `Objective`s; the modules hold the arithmetic on them.
"""

from slo.loading import Loaded, load
from slo.model import (
    CalendarWindow,
    CounterSli,
    HistogramSli,
    Objective,
    RollingWindow,
    Severity,
    Slices,
    SpanSli,
    Tier,
)
from slo.problems import Note, Position, Problem, SelectorError
from slo.promql import MetricSelector, parse_selector
from slo.spec import json_schema, json_schema_text
from slo.traceql import Filter, parse_filter

__all__ = [
    "CalendarWindow",
    "CounterSli",
    "Filter",
    "HistogramSli",
    "Loaded",
    "MetricSelector",
    "Note",
    "Objective",
    "Position",
    "Problem",
    "RollingWindow",
    "SelectorError",
    "Severity",
    "Slices",
    "SpanSli",
    "Tier",
    "json_schema",
    "json_schema_text",
    "load",
    "parse_filter",
    "parse_selector",
]
