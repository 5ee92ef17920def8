"""The single values of an SLO file: how each is read, and how the JSON Schema describes it.

Each validator takes plain YAML data and returns the domain's value, or raises `Wrong`.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import PlainValidator, WithJsonSchema

from slo.columns import Field as SpanField
from slo.durations import format_duration, parse_duration
from slo.problems import SelectorError
from slo.promql import MetricSelector, parse_selector
from slo.traceql import Filter, parse_field, parse_filter
from slo.windows import GRANULARITIES, SHORTEST_WINDOW, level_of

_T = TypeVar("_T")

LONGEST_WINDOW = 3650 * 86400
LONGEST_SLICE = 3600
MOST_DOLLARS = 1_000_000_000
CALENDAR_UNITS = ("hour", "day", "week", "month", "quarter")
# Shorter ones would be told of every deployment; and time counts as listened to up to a minute's gap.
SHORTEST_ABSENCE, LONGEST_ABSENCE = 60, 30 * 86400
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_ZONE = r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,3}"
_LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
RESERVED_LABELS = frozenset({"severity", "consumed"})
# Those of cost budgets' series and alerts.
BUDGET_LABELS = frozenset({"burnline_id", "service", "budget", "period", "period_start"})


class Wrong(ValueError):  # noqa: N818 - pydantic wants a ValueError; it is never seen by callers
    """A value that cannot be used.

    Attributes:
        what: what is wrong.
        mend: what to write.
        offset: the place inside the value's text.
    """

    def __init__(self, what: str, mend: str, offset: int = 0) -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend
        self.offset = offset


def shown(value: object) -> str:
    """A value as a message names it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            return repr(value) if len(value) <= 60 else repr(value[:57] + "...")
        case _:
            return str(value)[:60]


def text(value: object, example: str) -> str:
    """A text; numbers and booleans must stand in quotes."""
    if isinstance(value, str):
        if not value.strip():
            raise Wrong("an empty text", f"write such as {example}")
        return value
    if isinstance(value, bool | int | Decimal):
        raise Wrong(f"{shown(value)} is no text", f'put it in quotes: "{shown(value)}"')
    raise Wrong(f"{shown(value)} where a text is needed", f"write such as {example}")


def _name(value: object) -> str:
    name = text(value, "chat-api")
    if not re.fullmatch(_NAME, name) or len(name) > 200:
        raise Wrong(
            f"{shown(name)} cannot be a name",
            "write letters, digits, - _ and . with a letter or digit first and last",
        )
    return name


def _label_name(value: object) -> str:
    name = _prometheus_name(value)
    if name == "alertname":
        raise Wrong("alertname is set elsewhere", "write alerts: {name: ...} in the SLO")
    if name in RESERVED_LABELS or name.startswith(("sloth_", "__")):
        raise Wrong(f"the label {name} is Burnline's own", "choose another name")
    return name


def _prometheus_name(value: object) -> str:
    name = text(value, "team")
    if not re.fullmatch(_LABEL, name):
        raise Wrong(
            f"{shown(name)} is no label name of Prometheus",
            "write letters, digits and _, with no digit first",
        )
    return name


def as_number(value: object, example: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Wrong(f"{shown(value)} where a number is needed", f"write such as {example}")
    return Decimal(value)


def _percent(value: object) -> Fraction:
    if isinstance(value, str) and value.endswith("%"):
        raise Wrong(f"{shown(value)} is a text", f"write the number alone: {value[:-1].strip()}")
    number = as_number(value, "99.9")
    if not 0 < number < 100:
        hint = "; 1 is one percent" if 0 <= number <= 1 else ""
        raise Wrong(f"{number} % cannot be a target{hint}", "write a percentage above 0, below 100")
    return Fraction(number) / 100


def _warn_level(value: object) -> Fraction:
    number = as_number(value, "80")
    if not 0 < number <= 1000:
        raise Wrong(
            f"a warning at {number} % of the budget", "write a percentage above 0, up to 1000"
        )
    return Fraction(number) / 100


def _dollars(value: object) -> int:
    """Nanodollars."""
    if isinstance(value, str) and re.fullmatch(r"\$?[0-9_,.]+ ?(USD|\$)?", value):
        raise Wrong(f"{shown(value)} is a text", "write the number alone, such as 5000 or 12.50")
    number = as_number(value, "5000")
    if not Decimal("0.01") <= number <= MOST_DOLLARS:
        raise Wrong(
            f"a budget of {number} dollars", f"write an amount from 0.01 to {MOST_DOLLARS:_}"
        )
    return round(Fraction(number) * 10**9)


def _period(value: object) -> str | int:
    """A calendar unit's name, or the seconds of a rolling period."""
    name = text(value, "month")
    if name in CALENDAR_UNITS:
        return name
    try:
        return window_seconds(name)
    except Wrong as wrong:
        units = ", ".join(CALENDAR_UNITS)
        raise Wrong(wrong.what, f"write one of {units}, or a rolling period such as 30d") from None


def _share(value: object) -> Fraction:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,30})?)\s*%", value) if isinstance(value, str) else None
    if match is None:
        raise Wrong(f"{shown(value)} is no share of the budget", "write a percentage, such as 2%")
    share = Fraction(match[1]) / 100
    if not 0 < share <= 1:
        raise Wrong(f"a share of {value}", "write a percentage above 0% and up to 100%")
    return share


def _factor(value: object) -> Fraction:
    number = as_number(value, "14.4")
    if not 0 < number <= 10**6:
        raise Wrong(f"a burn rate of {number}", "write a number above 0, such as 14.4")
    return Fraction(number)


def _evidence(value: object) -> float | None:
    if value == "none":
        return None
    if value is None or isinstance(value, str | bool):
        raise Wrong(f"{shown(value)} is no evidence", "write none, or a percentage such as 95")
    number = as_number(value, "95")
    if not 50 <= number < 100:
        raise Wrong(f"evidence of {number} %", "write a percentage from 50 to below 100, or none")
    return float(number / 100)


def as_seconds(value: object, example: str) -> int:
    try:
        return parse_duration(text(value, example))
    except Wrong as error:
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            raise Wrong(f"{value} has no unit", f"write such as {example}") from None
        raise error from None
    except ValueError as error:
        what, _, mend = str(error).partition("; ")
        raise Wrong(what, mend or f"write such as {example}") from None


def window_seconds(value: object) -> int:
    """Seconds of a window that the engine can answer exactly."""
    seconds = as_seconds(value, "30d")
    if seconds < SHORTEST_WINDOW:
        raise Wrong(
            f"a window of {value}",
            f"write at least {format_duration(SHORTEST_WINDOW)}: windows are sums of 60 or more "
            f"buckets, and the finest bucket is {GRANULARITIES[0]}s",
        )
    if seconds > LONGEST_WINDOW:
        raise Wrong(f"a window of {value}", f"write at most {format_duration(LONGEST_WINDOW)}")
    bucket = GRANULARITIES[level_of(seconds)]
    if seconds % bucket:
        raise Wrong(
            f"a window of {value} is no multiple of its buckets of {format_duration(bucket)}",
            f"write {format_duration(seconds // bucket * bucket)}",
        )
    return seconds


def _slice_seconds(value: object) -> int:
    seconds = as_seconds(value, "1m")
    if seconds > LONGEST_SLICE or LONGEST_SLICE % seconds or seconds % GRANULARITIES[0]:
        raise Wrong(
            f"slices of {value}",
            f"write a multiple of {GRANULARITIES[0]}s that divides an hour, such as 1m or 5m",
        )
    return seconds


def _absent_seconds(value: object) -> int:
    seconds = as_seconds(value, "15m")
    if not SHORTEST_ABSENCE <= seconds <= LONGEST_ABSENCE:
        raise Wrong(
            f"absent after {value}",
            f"write {format_duration(SHORTEST_ABSENCE)} to {format_duration(LONGEST_ABSENCE)}",
        )
    return seconds


def _time_zone(value: object) -> str:
    name = text(value, "Europe/Berlin")
    # Zones are looked for in packages, too, one below the other: a name of a thousand parts is too deep.
    if re.fullmatch(_ZONE, name) and _is_zone(name):
        return name
    near = get_close_matches(name[:100], _zones(), 1)
    mend = f"did you mean {near[0]}?" if near else "write an IANA name such as Europe/Berlin"
    raise Wrong(f"{shown(name)} is no time zone", mend)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return False
    return True


@cache
def _zones() -> tuple[str, ...]:
    """Every time zone's name; to find them all takes a walk through the files of the zones."""
    return tuple(sorted(available_timezones()))


def _above(value: object) -> float:
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,400}(?:\.[0-9]{1,400})?)(ms|s|m|h)", value)
        if match is None:
            raise Wrong(
                f"{shown(value)} is no bound", "write a number in the metric's unit, or such as 2s"
            )
        unit = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
        return _finite(Decimal(match[1]) * unit[match[2]])
    return _finite(as_number(value, "2.56"))


def _finite(number: Decimal) -> float:
    result = float(number)
    if result in (float("inf"), float("-inf")):
        raise Wrong(f"{number} is too large", "write a bound that a histogram can have")
    return result


def parsed_with(parse: Callable[[str], _T], example: str) -> Callable[[object], _T]:
    def read(value: object) -> _T:
        if isinstance(value, dict):
            raise Wrong(
                "braces without quotes, which YAML reads as a mapping", f"write '{example}'"
            )
        try:
            return parse(text(value, f"'{example}'"))
        except SelectorError as error:
            raise Wrong(error.message, error.mend, error.position) from None

    return read


def described(**schema: Any) -> WithJsonSchema:  # noqa: ANN401 - JSON Schema's values are any JSON
    return WithJsonSchema({key.rstrip("_"): value for key, value in schema.items()})


_DURATION_PATTERN = r"^(\d+[smhdw])+$"
Name = Annotated[str, PlainValidator(_name), described(type="string", pattern=f"^{_NAME}$")]
Text = Annotated[
    str, PlainValidator(lambda v: text(v, '"some text"')), described(type="string", minLength=1)
]
LabelName = Annotated[
    str, PlainValidator(_label_name), described(type="string", pattern=f"^{_LABEL}$")
]
AnnotationName = Annotated[
    str, PlainValidator(_prometheus_name), described(type="string", pattern=f"^{_LABEL}$")
]
Percent = Annotated[
    Fraction,
    PlainValidator(_percent),
    described(type="number", exclusiveMinimum=0, exclusiveMaximum=100, examples=[99.9, 95]),
]
WarnLevel = Annotated[
    Fraction,
    PlainValidator(_warn_level),
    described(type="number", exclusiveMinimum=0, maximum=1000, examples=[80]),
]
Dollars = Annotated[
    int,
    PlainValidator(_dollars),
    described(type="number", minimum=0.01, maximum=MOST_DOLLARS, examples=[5000, 12.5]),
]
Period = Annotated[
    str | int,
    PlainValidator(_period),
    described(
        anyOf=[
            {"enum": list(CALENDAR_UNITS)},
            {"type": "string", "pattern": _DURATION_PATTERN},
        ],
        examples=["month", "day", "24h", "30d"],
    ),
]
Share = Annotated[
    Fraction,
    PlainValidator(_share),
    described(type="string", pattern=r"^\d+(\.\d+)?\s*%$", examples=["2%"]),
]
Factor = Annotated[
    Fraction, PlainValidator(_factor), described(type="number", exclusiveMinimum=0, examples=[14.4])
]
Evidence = Annotated[
    float | None,
    PlainValidator(_evidence),
    described(
        anyOf=[{"const": "none"}, {"type": "number", "minimum": 50, "exclusiveMaximum": 100}],
        default=95,
    ),
]
Window = Annotated[
    int,
    PlainValidator(window_seconds),
    described(type="string", pattern=_DURATION_PATTERN, examples=["30d", "28d", "7d", "1h"]),
]
SliceLength = Annotated[
    int,
    PlainValidator(_slice_seconds),
    described(type="string", pattern=_DURATION_PATTERN, examples=["1m", "5m"]),
]
AbsentAfter = Annotated[
    int,
    PlainValidator(_absent_seconds),
    described(type="string", pattern=_DURATION_PATTERN, examples=["15m", "2h"]),
]
TimeZone = Annotated[
    str, PlainValidator(_time_zone), described(type="string", examples=["Europe/Berlin"])
]
Above = Annotated[
    float,
    PlainValidator(_above),
    described(
        anyOf=[{"type": "number"}, {"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h)$"}],
        examples=[2.56, "2s"],
    ),
]
SpanFilter = Annotated[
    Filter,
    PlainValidator(parsed_with(parse_filter, "{ status = error }")),
    described(type="string", examples=['{ span.gen_ai.operation.name = "chat" }']),
]
Selector = Annotated[
    MetricSelector,
    PlainValidator(parsed_with(parse_selector, 'llm_requests_total{status="error"}')),
    described(type="string", examples=['llm_requests_total{status="error"}']),
]
Attribute = Annotated[
    SpanField,
    PlainValidator(parsed_with(parse_field, "span.gen_ai.request.model")),
    described(type="string", examples=["span.gen_ai.request.model", "resource.service.name"]),
]
Off = Literal["off"]
