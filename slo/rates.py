"""Rates as people write them: how many false alarms a time they accept, such as `1 per week`."""

import re

from slo.durations import SECONDS, parse_duration

_WORDS = {
    "second": 1,
    "sec": 1,
    "minute": 60,
    "min": 60,
    "hour": 3600,
    "hr": 3600,
    "day": SECONDS["d"],
    "week": SECONDS["w"],
    "month": 30 * SECONDS["d"],
    "year": 365 * SECONDS["d"],
} | SECONDS
_COUNTS = {"one": 1.0, "once": 1.0, "twice": 2.0}
_RATE = re.compile(r"([0-9.]{1,15}|one|once|twice)\s*(?:/|\bper\b|\ban?\b|\bevery\b)\s*(.+)")
_SPAN = re.compile(r"([0-9]{1,15})?\s*([a-z]+)")
_MEND = "write how many in what time, such as 1 per week, 2/day, 0.5/h or 1 per 30d"


def parse_rate(text: str) -> float:
    """Events a second in a text such as `1 per week`, `2/day`, `0.5/h` or `1 per 30d`.

    A month has 30 days, a year 365.

    Raises:
        ValueError: the text is no rate above zero.

    >>> parse_rate("1 per week") == 1 / 604_800
    True
    >>> parse_rate("2/day") == parse_rate("1 per 12h") == 1 / 43_200
    True
    """
    rate = _RATE.fullmatch(text.strip().lower())
    try:
        count = _COUNTS.get(rate[1]) or float(rate[1]) if rate else None
        seconds = _seconds(rate[2]) if rate else 0
    except ValueError:
        count = None
    shown = repr(text if len(text) <= 60 else f"{text[:57]}...")
    if count is None:
        raise ValueError(f"{shown} is no rate; {_MEND}")
    if not count:
        raise ValueError(
            f"{shown} can be kept by no detector; write a rate above 0, such as 1/year"
        )
    return count / seconds


def _seconds(text: str) -> int:
    """Of `week`, `2 weeks`, `30d` or `1h30m`."""
    span = _SPAN.fullmatch(text)
    unit = _WORDS.get(span[2]) or _WORDS.get(span[2].removesuffix("s")) if span else None
    if span is None or unit is None:
        return parse_duration(text)
    seconds = int(span[1] or 1) * unit
    if not seconds:
        raise ValueError("no time at all")
    return seconds
