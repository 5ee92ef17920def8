"""The single values of a monitor in an SLO file; see `slo._fields`."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import PlainValidator

from slo._fields import Wrong, as_number, as_seconds, described, parsed_with, shown, text
from slo.columns import Field as SpanField
from slo.durations import format_duration
from slo.rates import parse_rate
from slo.traceql import parse_field

SHORTEST_INTERVAL, LONGEST_INTERVAL, DAY = 10, 3600, 86400
DURATION = SpanField("intrinsic", "duration")
RATES = "1 per week, 2/day or 1 per 3 months"
MOST_A_DAY, LEAST_A_YEAR = 24, 1
_PATTERN_NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
LONGEST_FEATURE = 80


def _false_alarms(value: object) -> float:
    if value in ("none", "off", 0):
        raise Wrong(
            "no false alarm at all, which no detector can promise",
            f"write how many a series may have, such as {RATES}; alerts: off tells nobody",
        )
    try:
        rate = parse_rate(text(value, RATES))
    except Wrong:
        raise
    except ValueError as error:
        what, _, mend = str(error).partition("; ")
        raise Wrong(what, mend) from None
    if not LEAST_A_YEAR / (365 * DAY) <= rate <= MOST_A_DAY / DAY:
        raise Wrong(
            f"{value} false alarms a series",
            f"write {LEAST_A_YEAR}/year to {MOST_A_DAY}/day, such as 1 per week",
        )
    return rate


def _interval(value: object) -> int:
    seconds = as_seconds(value, "1m")
    if not SHORTEST_INTERVAL <= seconds <= LONGEST_INTERVAL or DAY % seconds:
        raise Wrong(
            f"every {value}",
            f"write {format_duration(SHORTEST_INTERVAL)} to {format_duration(LONGEST_INTERVAL)} that "
            "divides a day, such as 10s, 1m or 5m",
        )
    return seconds


def _per(value: object) -> int:
    seconds = as_seconds(value, "1m")
    if seconds > DAY:
        raise Wrong(f"per {value}", "write at most 1d, such as 1m")
    return seconds


def _quantile(value: object) -> float:
    number = as_number(value, "95")
    if not 0 < number < 100:
        raise Wrong(f"a quantile of {number}", "write a percentage above 0, below 100, such as 95")
    if 0 < number < 1:
        raise Wrong(
            f"a quantile of {number} %", f"write it as a percentage: {(number * 100).normalize():f}"
        )
    return float(number / 100)


def _numeric(value: object) -> SpanField:
    if value == "duration":
        return DURATION
    if value in ("name", "kind", "status"):
        raise Wrong(f"{value} is no number", "write duration, or an attribute such as span.x")
    return parsed_with(parse_field, "span.gen_ai.usage.output_tokens")(value)


def _feature_name(value: object) -> str:
    name = text(value, "output_tokens")
    if not re.fullmatch(_PATTERN_NAME, name) or len(name) > LONGEST_FEATURE:
        raise Wrong(
            f"{shown(name)} cannot be a feature's name",
            "write letters, digits and _, with no digit first",
        )
    return name


def _parameters(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Wrong(f"{shown(value)} where keys and values are needed", "write {n_trees: 10}")
    return {str(name): _plain(one) for name, one in value.items()}


def _plain(value: object) -> object:
    """YAML's exact numbers as Python's own, which estimators take."""
    match value:
        case Decimal():
            return float(value)
        case list():
            return [_plain(one) for one in value]
        case dict():
            return {str(name): _plain(one) for name, one in value.items()}
        case _:
            return value


_DURATION = r"^(\d+[smhdw])+$"
FalseAlarms = Annotated[
    float,
    PlainValidator(_false_alarms),
    described(type="string", examples=["1 per week", "2/day", "1 per 3 months"]),
]
Interval = Annotated[
    int,
    PlainValidator(_interval),
    described(type="string", pattern=_DURATION, examples=["10s", "1m", "5m", "1h"]),
]
Per = Annotated[
    int,
    PlainValidator(_per),
    described(type="string", pattern=_DURATION, examples=["1s", "1m", "1h"]),
]
Quantile = Annotated[
    float,
    PlainValidator(_quantile),
    described(type="number", exclusiveMinimum=0, exclusiveMaximum=100, examples=[95, 99]),
]
Numeric = Annotated[
    SpanField,
    PlainValidator(_numeric),
    described(type="string", examples=["duration", "span.gen_ai.usage.output_tokens"]),
]
FeatureName = Annotated[
    str, PlainValidator(_feature_name), described(type="string", pattern=f"^{_PATTERN_NAME}$")
]
Detector = Annotated[
    str,
    PlainValidator(lambda value: text(value, "river.anomaly.HalfSpaceTrees")),
    described(type="string", examples=["default", "river.anomaly.HalfSpaceTrees"]),
]
Parameters = Annotated[
    dict[str, Any],
    PlainValidator(_parameters),
    described(type="object", examples=[{"n_trees": 10}]),
]
PlainFeature = Literal["rate", "errors"]
